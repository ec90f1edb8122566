"""The cocotb benches of the RTL's modules (rtl/tb), one pytest test per module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).resolve().parents[2] / "rtl" / "tb"


def _runner():
    spec = importlib.util.spec_from_file_location("weft_rtl_runner", BENCHES / "runner.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runner = _runner()
lacking = runner.missing()
pytestmark = pytest.mark.skipif(bool(lacking), reason=f"needs {lacking}")


@pytest.mark.parametrize("name", runner.BENCHES)
def test_bench(name: str) -> None:
    runner.run(name)
