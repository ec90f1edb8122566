"""Makes the program builders of this folder importable by their names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_NAMES = (
    "timing_programs",
    "adversarial_instructions",
    "functional_programs",
    "reference_dram",
    "reference_state",
    "reference_units",
    "reference_machine",
)  # each behind those that it imports

for _name in _NAMES:
    if _name not in sys.modules:
        _path = Path(__file__).with_name(f"{_name}.py")
        _spec = importlib.util.spec_from_file_location(_name, _path)
        assert _spec is not None and _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_name] = _module
        _spec.loader.exec_module(_module)
