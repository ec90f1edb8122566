"""Runs a model in ONNX Runtime's default session, in a process of its own: `fused_worker.py FOLDER`.

FOLDER holds model.onnx and inputs.npz (`count`, the number of samples, and arrays named "sample/input"); the
results are written to outputs.npz as "sample/output's position". Started by `fused.py`; it imports nothing of
Weft, so that it starts fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def work(folder: Path) -> None:
    """Run every sample of inputs.npz."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    inputs = [value.name for value in session.get_inputs()]
    outputs: dict[str, Any] = {}
    with np.load(folder / "inputs.npz", allow_pickle=False) as arrays:
        for sample in range(int(arrays["count"])):
            feed = {name: arrays[f"{sample}/{name}"] for name in inputs}
            for position, result in enumerate(session.run(names, feed)):
                array = np.asarray(result)
                outputs[f"{sample}/{position}"] = array.astype(str) if array.dtype == object else array
    np.savez(folder / "outputs.npz", **outputs)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
