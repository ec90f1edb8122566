"""What ONNX Runtime's default session answers, for comparison only.

It runs in a process of its own: its fusions have been seen to abort the whole process on models that ONNX
Runtime runs well without them, and a figure for comparison must not take the run down.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weft.api.arrays import Arrays, load_arrays, save_arrays
from weft.frontend import Model
from weft_sim.errors import WeftError

__all__ = ["FusedAnswers", "run_fused"]


@dataclass(frozen=True)
class FusedAnswers:
    """Outputs by name for each sample; or None, and why the session failed."""

    samples: tuple[Arrays, ...] | None
    failure: str = ""


def run_fused(model: Model, samples: Sequence[Arrays]) -> FusedAnswers:
    """Run the model's samples in ONNX Runtime's default session. Never raises for what ONNX Runtime does."""
    with tempfile.TemporaryDirectory(prefix="weft-") as name:
        folder = Path(name)
        inputs: Arrays = {"count": np.array(len(samples))}
        for index, sample in enumerate(samples):
            inputs |= {f"{index}/{key}": array for key, array in sample.items()}
        try:
            (folder / "model.onnx").write_bytes(model.proto.SerializeToString())
            save_arrays(folder / "inputs.npz", inputs)
            failure = _start_worker(folder)
            if failure:
                return FusedAnswers(None, failure)
            found = load_arrays(folder / "outputs.npz")
        except (OSError, WeftError) as error:
            return FusedAnswers(None, " ".join(str(error).split())[:300])
    outputs = [output.name for output in model.outputs]
    return FusedAnswers(
        tuple(
            {output: _native(found[f"{index}/{position}"]) for position, output in enumerate(outputs)}
            for index in range(len(samples))
        )
    )


def _start_worker(folder: Path) -> str:
    """The reason why the worker failed; empty if it did not."""
    worker = Path(__file__).with_name("fused_worker.py")
    # -P: the worker's folder is no place to import from, its neighbours' names are those of this package.
    process = subprocess.run(
        [sys.executable, "-P", str(worker), str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode == 0:
        return ""
    if process.returncode < 0:
        return f"ONNX Runtime's default session ended with signal {-process.returncode}"
    lines = process.stderr.strip().splitlines() or ["no message"]
    return f"ONNX Runtime's default session fails: {lines[-1][:300]}"


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind == "U" else array
