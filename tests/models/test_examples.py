"""The examples run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_digits() -> None:
    """`make demo`: exit status 0 says that every output agrees with ONNX Runtime's."""
    assert "where the cycles go" in run("01_digits.py")


def test_dynamic_networks() -> None:
    printed = run("02_dynamic.py", "loop_in_if", "trained/skipnet")
    assert printed.count("loop_in_if") == printed.count("trained/skipnet") == 2 and "device" in printed


def test_requests() -> None:
    """Exit status 0 says that overlapped answers equal those of a plain run."""
    printed = run("03_requests.py")
    assert "answers equal" in printed and "cortex-a53" in printed


def run(script: str, *arguments: str) -> str:
    folders = [str(ROOT / name) for name in ("sdk", "runtime", "hw_sim")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout
