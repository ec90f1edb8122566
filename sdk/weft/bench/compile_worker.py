"""Compiles a quantized model in a process of its own: `python -m weft.bench.compile_worker MODEL.onnx OUT.weft TARGET`.

Prints one JSON object: seconds by stage, and the most memory that the process had. Started by `compilation.py`.
"""

from __future__ import annotations

import json
import resource
import sys
import time

KIB = 1024


def work(model: str, output: str, target: str) -> dict[str, object]:
    """Load, compile and save; importing the compiler is a stage of its own."""
    marks: list[tuple[str, float]] = [("import", time.perf_counter())]
    from weft.compiler import compile as compile_model
    from weft.frontend import load
    from weft_runtime.artifact import save

    marks.append(("load", time.perf_counter()))
    loaded = load(model)

    def progress(stage: str, fraction: float) -> None:
        if stage != marks[-1][0]:
            marks.append((stage, time.perf_counter()))

    executable = compile_model(loaded, target, progress=progress)
    marks.append(("save", time.perf_counter()))
    save(executable, output)
    marks.append(("", time.perf_counter()))
    stages = {name: after[1] - start for (name, start), after in zip(marks, marks[1:], strict=False)}
    return {
        "stages": stages,
        "seconds": marks[-1][1] - marks[0][1],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
        "instructions": sum(len(region.sources) for region in executable.regions),
        "estimated_cycles": sum(region.estimated_cycles for region in executable.regions),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(work(*sys.argv[1:4])) + "\n")
