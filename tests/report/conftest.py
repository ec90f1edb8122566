"""Makes `browser` importable in this folder's tests, and the sample program of the runtime's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

FILES = {
    "browser": Path(__file__).with_name("browser.py"),
    "sample_program": Path(__file__).parents[1] / "runtime" / "sample_program.py",
}

for _name, _file in FILES.items():
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, _file)
        assert _spec is not None and _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_name] = _module
        _spec.loader.exec_module(_module)
