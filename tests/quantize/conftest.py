"""Networks for the quantizer's tests, importable by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_FILE = Path(__file__).with_name("float_networks.py")

if "float_networks" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("float_networks", _FILE)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["float_networks"] = _module
    _spec.loader.exec_module(_module)
