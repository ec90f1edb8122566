"""Makes the builder of small QDQ models importable as `qdq` in this folder's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "qdq" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("qdq", Path(__file__).with_name("qdq.py"))
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["qdq"] = _module
    _spec.loader.exec_module(_module)
