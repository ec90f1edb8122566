# From a bare machine with Python 3.11, g++ and make: `make demo`, `make test`. Everything else is installed into VENV.
VENV ?= .venv
BIN := $(VENV)/bin
CXX ?= g++
PYTEST_FLAGS ?= -n auto --dist worksteal
MUTATION_FLAGS ?=
SANITIZE_TESTS ?= $(wildcard tests/sim tests/fuzz)

CORE := $(shell find hw_sim/core -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.inl' -o -name '*.c' \))
PACKAGES := $(shell find sdk runtime hw_sim -type f -name '*.py')
INSTALLED := $(VENV)/installed
FILES := $(VENV)/files.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types imports generated sanitize coverage-rtl mutation-rtl fuzz fuzz-dynamic generate synth format clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## create or refresh the environment; nothing to do where nothing changed

demo: $(INSTALLED) ## set up, then compile a digit classifier and run it on the simulated accelerator
	@$(BIN)/python examples/01_digits.py

test: $(INSTALLED) ## set up, then check
	@$(MAKE) --no-print-directory check

check: lint types imports generated ## everything CI checks, in an environment that stands
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: environment
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check .

types: environment
	$(BIN)/mypy

imports: environment
	$(BIN)/lint-imports --no-cache --no-logo

generated: environment
	$(BIN)/python -m weft_sim.isa.generate --check

# The capture leaves file descriptor 2 alone: that is where the sanitizers report before they end the process.
sanitize: $(INSTALLED) ## the tests of the machine on a core with AddressSanitizer and UndefinedBehaviorSanitizer
	@$(BIN)/cmake -S . -B build/sanitize -G Ninja --log-level=WARNING -DWEFT_SANITIZE=ON \
		-DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython_EXECUTABLE=$(abspath $(BIN))/python >/dev/null
	@$(BIN)/cmake --build build/sanitize -- --quiet
	@WEFT_SANITIZED_CORE=$(CURDIR)/build/sanitize/_core.abi3.so \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
		$(BIN)/python -m pytest --capture=sys $(PYTEST_FLAGS) $(SANITIZE_TESTS)

coverage-rtl: $(INSTALLED) ## lines, branches and toggles of the RTL that benches and random programs reach (ten minutes)
	@PYTHONPATH=rtl/tools $(BIN)/python -m rtl_coverage

SECONDS ?= 60
fuzz: environment ## damaged models, artifacts and inputs through the command line, for SECONDS=60
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)

PROGRAMS ?= 100
fuzz-dynamic: environment ## random programs that decide on data through every way in, PROGRAMS=100 each, SEED=a fresh one
	$(BIN)/python tests/random_programs/fuzz_dynamic.py --programs $(PROGRAMS) $(if $(SEED),--seed $(SEED)) --rtl-every 50

mutation-rtl: environment ## plant faults in the RTL and count how many its tests catch (half an hour)
	@$(BIN)/python rtl/tools/mutate.py $(MUTATION_FLAGS)

generate: environment ## write the files that come from the instruction table
	$(BIN)/python -m weft_sim.isa.generate

synth: environment ## size of the RTL on an FPGA and in gates into docs/synthesis.md; needs weft[synth]
	PYTHONPATH=rtl/tools $(BIN)/python -m weft_synthesis
	$(BIN)/python scripts/area_table.py

format: environment ## format the Python code and mend what ruff can mend
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

clean: ## remove the environment and everything built
	rm -rf $(VENV) build out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find sdk runtime hw_sim rtl tests examples scripts -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: environment
environment:
	@test -x $(BIN)/python || { echo "no environment in $(VENV): run 'make setup' first" >&2; exit 1; }

# Python sources are used where they are: only which files there are matters to the installation, not what is in them.
$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt scripts/setup.sh scripts/requirements.py $(CORE) $(FILES)
	@CXX="$(CXX)" sh scripts/setup.sh "$(VENV)"
	@touch $@

$(FILES): FORCE
	@mkdir -p $(VENV)
	@printf '%s\n' $(sort $(CORE) $(PACKAGES)) | cmp -s - $@ || printf '%s\n' $(sort $(CORE) $(PACKAGES)) >$@
FORCE:
