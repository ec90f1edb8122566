#!/bin/sh
# Creates or refreshes the project's environment: sh scripts/setup.sh VENV
# Needs Python 3.11 or newer with its headers, g++ and make; everything else comes through pip.
set -eu
venv=$1
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found${PYTHON:+ under the name $PYTHON}; install one, or name it: make PYTHON=..."
}

check_compiler() {
    command -v "$CXX" >/dev/null 2>&1 || fail "no C++ compiler '$CXX' found; install g++, or name one: make CXX=..."
    "$CXX" -std=c++20 -fsyntax-only -x c++ /dev/null >/dev/null 2>&1 ||
        fail "$CXX does not know C++20; g++ 11 or newer does"
}

check_headers() {
    "$1" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' ||
        fail "$1 has no C headers (Python.h); install its development package, such as python3-dev"
}

install() {
    "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check "$@"
}

# The versions that the project was tested with; where they cannot be had, any that the project allows.
install_requirements() {
    "$venv/bin/python" scripts/requirements.py >"$venv/requirements.txt"
    install -c constraints.txt -r "$venv/requirements.txt" 2>"$venv/pip-errors.txt" && return
    printf 'setup: the tested versions (constraints.txt) cannot be installed here; trying the newest allowed\n' >&2
    install -r "$venv/requirements.txt"
}

CXX=${CXX:-g++}
export CXX
check_compiler
if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    check_headers "$python"
    printf 'setup: creating %s with %s\n' "$venv" "$("$python" --version)"
    "$python" -m venv "$venv" >/dev/null ||
        fail "$python cannot create environments; install its venv package, such as python3-venv"
fi
check_headers "$venv/bin/python"

printf 'setup: installing dependencies\n'
install_requirements

printf 'setup: building the simulator, installing weft (editable)\n'
install --no-build-isolation --no-deps -C build-dir=build/editable -e .
