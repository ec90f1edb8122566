"""The examples run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_digits() -> None:
    """`make demo`: exit status 0 says that every output agrees with ONNX Runtime's."""
    folders = [str(ROOT / name) for name in ("sdk", "runtime", "hw_sim")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, str(ROOT / "examples" / "01_digits.py")]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    assert "where the cycles go" in found.stdout
