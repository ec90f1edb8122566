"""Makes the hand-built executables importable as `sample_program` in this folder's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "sample_program" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("sample_program", Path(__file__).with_name("sample_program.py"))
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["sample_program"] = _module
    _spec.loader.exec_module(_module)
