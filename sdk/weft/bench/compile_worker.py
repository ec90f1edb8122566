"""Compiles a quantized model in a process of its own: `python -m weft.bench.compile_worker MODEL.onnx OUT.weft TARGET`.

Prints one JSON object: seconds by stage, processor time, and the most memory that the process had, its start and
imports included. Started by `compilation.py`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import pairwise

from weft.compiler import compile as compile_model
from weft.frontend import load
from weft_runtime.artifact import save

__all__ = ["work"]

KIB = 1024


def work(model: str, output: str, target: str) -> dict[str, object]:
    """Load, compile and save."""
    marks: list[tuple[str, float]] = [("load", time.perf_counter())]
    loaded = load(model)

    def progress(stage: str, fraction: float) -> None:
        if stage != marks[-1][0]:
            marks.append((stage, time.perf_counter()))

    executable = compile_model(loaded, target, progress=progress)
    marks.append(("save", time.perf_counter()))
    save(executable, output)
    marks.append(("", time.perf_counter()))
    return {
        "stages": {name: end - start for (name, start), (_, end) in pairwise(marks)},
        "cpu_seconds": time.process_time(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
        "instructions": sum(len(region.sources) for region in executable.regions),
        "estimated_cycles": sum(region.estimated_cycles for region in executable.regions),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(work(*sys.argv[1:4])) + "\n")
