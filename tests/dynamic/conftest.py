"""Makes the oracle and the example networks importable in this folder's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples/dynamic"

PYTORCH = EXAMPLES / "pytorch"
HERE = Path(__file__).parent
NEED_SKLEARN = ("networks", "suite_data", "sequence_data", "suite", "figures")

for _file in (
    HERE / "oracle.py", HERE / "agreement.py", HERE / "follower.py", EXAMPLES / "onnx_writer.py",
    EXAMPLES / "networks.py", EXAMPLES / "voice.py", PYTORCH / "suite_data.py", PYTORCH / "sequence_data.py",
    PYTORCH / "suite.py", PYTORCH / "figures.py", HERE / "loop_networks.py",
):  # fmt: skip
    if _file.stem in sys.modules or (_file.stem in NEED_SKLEARN and importlib.util.find_spec("sklearn") is None):
        continue
    _spec = importlib.util.spec_from_file_location(_file.stem, _file)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_file.stem] = _module
    _spec.loader.exec_module(_module)
