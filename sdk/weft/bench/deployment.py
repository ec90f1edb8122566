"""`weft bench deployment`: detectors whose boxes the host decodes, in simulated time, with and without overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.api.deployment import DeploymentOptions, DeploymentReport, deploy
from weft.api.preparation import PrepareOptions, open_program
from weft.deployment import Arrivals, Figures, Setting, figures_of, play
from weft.errors import WeftError
from weft.partition.costs import profile_names
from weft_runtime.dispatch import tasks_of

__all__ = ["run"]

DETECTORS = {"UltraFace": "ultraface/version-RFB-320.onnx", "FastestDet": "fastestdet/FastestDet.onnx"}
GOAL = 0.95


def run(
    models: str = "../shared/models",
    target: str = "weft-16",
    requests: str = "200",
    hosts: str = "",
    detectors: str = ",".join(DETECTORS),
) -> dict[str, Any]:
    """The detectors named on the host profiles named (none: on all of them), saturating arrivals. Raises WeftError
    where none of the models is there, ValueError for unknown names."""
    count = int(requests)
    chosen = [name.strip() for name in hosts.split(",") if name.strip()] or list(profile_names())
    found: dict[str, Path] = {}
    for name in (each.strip() for each in detectors.split(",")):
        if name not in DETECTORS:
            raise ValueError(f"unknown detector {name!r}; known: {', '.join(DETECTORS)}")
        if (Path(models) / DETECTORS[name]).exists():
            found[name] = Path(models) / DETECTORS[name]
    if not found:
        raise WeftError(f"none of {', '.join(DETECTORS.values())} is in {models}; set models=FOLDER")
    rows = [row for name, path in found.items() for host in chosen for row in _rows(name, path, target, host, count)]
    reached = [row["reached"] for row in rows if row["overlap"]]
    return {
        "requests": count,
        "target": target,
        "absent": ", ".join(name for name in DETECTORS if name not in found),
        "least_reached": min(reached),
        "within_goal": min(reached) >= GOAL,
        "deployments": rows,
    }


def _rows(name: str, path: Path, target: str, host: str, requests: int) -> Iterator[dict[str, Any]]:
    """One at a time, overlapped, and overlapped with two devices. Answers are checked in the first."""
    executable = open_program(path, target, PrepareOptions(host=host))
    options = DeploymentOptions(requests, Arrivals("saturating"), host, at_once=1)
    serial = deploy(executable, options, target=None)
    rows = serial.played.setting.nanoseconds
    base = Setting(tasks_of(executable), rows, queue=options.queue, at_once=1)
    for devices, at_once in ((1, 1), (1, options.queue), (2, options.queue)):
        played = play(replace(base, devices=devices, at_once=at_once), options.arrivals, requests)
        yield _row(
            name, host, devices, at_once, serial, figures_of(played, [each.name for each in executable.processors])
        )


def _row(
    name: str, host: str, devices: int, at_once: int, report: DeploymentReport, figures: Figures
) -> dict[str, Any]:
    return {
        "model": name, "host": host, "devices": devices, "overlap": at_once > 1, "per_second": figures.throughput,
        "busiest": figures.busiest, "allows": figures.limit, "reached": figures.efficiency,
        "p50_ms": 1e3 * figures.latency_p50, "p99_ms": 1e3 * figures.latency_p99,
        **{f"use_{kind}": _use(figures, kind) for kind in ("host", "bus")},
        "use_devices": max(part.utilization for part in figures.parts[2:]) if len(figures.parts) > 2 else 0.0,
        "answers_checked": report.answers_checked,
    }  # fmt: skip


def _use(figures: Figures, kind: str) -> float:
    return next(part.utilization for part in figures.parts if part.name == kind)
