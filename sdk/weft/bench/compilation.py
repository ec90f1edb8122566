"""`weft bench compile`: from an ONNX file to an artifact, quantization excluded, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from weft.bench.networks import resnet18, resnet50
from weft.errors import WeftError

__all__ = ["run"]

NETWORKS = {"resnet18": resnet18, "resnet50": resnet50}
GOAL_SECONDS, GOAL_BYTES = 10.0, 1.5 * (1 << 30)


def run(target: str = "weft-16", size: str = "224", network: str = "resnet50") -> dict[str, Any]:
    """Compiles twice: with an empty cache of operators' cycles, which is what the goal is about, and with the filled
    one. Raises ValueError for an unknown network."""
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(NETWORKS)}")
    with tempfile.TemporaryDirectory(prefix="weft-") as name:
        folder = Path(name)
        model = folder / "model.onnx"
        model.write_bytes(NETWORKS[network](int(size)).SerializeToString())
        cold, warm = (_compile(model, folder, target) for _ in range(2))
        artifact = (folder / "model.weft").stat().st_size
    return {
        "network": network, "target": target, "size": int(size), "cores": os.cpu_count(),
        "seconds": cold["seconds"], "cpu_seconds": cold["cpu_seconds"], "peak_bytes": cold["peak_bytes"],
        "seconds_with_cache": warm["seconds"], "cpu_seconds_with_cache": warm["cpu_seconds"],
        "within_goal": cold["seconds"] <= GOAL_SECONDS and cold["peak_bytes"] < GOAL_BYTES,
        "instructions": cold["instructions"], "estimated_cycles": cold["estimated_cycles"], "artifact_bytes": artifact,
        "stages": [
            {"stage": stage, "seconds": seconds, "with_cache": warm["stages"].get(stage, 0.0)}
            for stage, seconds in cold["stages"].items()
        ],
    }  # fmt: skip


def _compile(model: Path, folder: Path, target: str) -> dict[str, Any]:
    environment = {**os.environ, "WEFT_CACHE": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "weft.bench.compile_worker", str(model), str(folder / "model.weft"), target],
        capture_output=True, text=True, errors="replace", check=False, env=environment,
    )  # fmt: skip
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        raise WeftError(f"compiling {model.name} failed: {lines[-1][:300]}")
    found: dict[str, Any] = json.loads(process.stdout)
    seconds = time.perf_counter() - start
    start_up = {"start and imports": seconds - sum(found["stages"].values())}
    return {**found, "seconds": seconds, "stages": {**start_up, **found["stages"]}}
