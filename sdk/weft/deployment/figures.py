"""What a played deployment amounts to: throughput, latencies, use of the parts, and the bound of the busiest one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.deployment.simulate import Played
from weft_runtime.dispatch import HOST, Part, Phase, Task

__all__ = ["Figures", "PartFigures", "PathFigures", "figures_of", "part_name"]

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class PartFigures:
    """One part: seconds at work, share of the whole time, and the requests per second that it alone would allow (for
    devices of one processor, all of them together; 0 where it has no work)."""

    name: str
    busy_seconds: float
    utilization: float
    limit: float


@dataclass(frozen=True)
class PathFigures:
    """Requests that took one path: how many were answered, their latencies in seconds, and what one takes alone."""

    path: str
    requests: int
    latency_p50: float
    latency_p99: float
    serial_seconds: float


@dataclass(frozen=True)
class Figures:
    """Requests per second from the first arrival to the last answer; latencies in seconds from arrival to answer, by
    nearest rank; `limit` is what the busiest part alone allows, `efficiency` the throughput's share of it. `paths` has
    the paths of a model whose path depends on its input, the most frequent first."""

    requests: int
    completed: int
    rejected: int
    seconds: float
    throughput: float
    latency_p50: float
    latency_p90: float
    latency_p99: float
    latency_max: float
    serial_seconds: float
    parts: tuple[PartFigures, ...]
    busiest: str
    limit: float
    efficiency: float
    paths: tuple[PathFigures, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        lists = {name: [dict(each.__dict__) for each in getattr(self, name)] for name in ("parts", "paths")}
        return {**self.__dict__, **lists}


def figures_of(played: Played, processors: Sequence[str]) -> Figures:
    """The figures of a played deployment; `processors` are the accelerators' names."""
    setting, seconds = played.setting, played.nanoseconds / NANOSECONDS
    latencies = sorted(each.end - each.arrival for each in played.served)
    busy: dict[Part, int] = dict.fromkeys(played.parts, 0)
    for each in played.occupations:
        busy[each.part] += each.end - each.start
    parts = tuple(
        PartFigures(
            part_name(part, processors, setting.devices),
            busy[part] / NANOSECONDS,
            busy[part] / played.nanoseconds if played.nanoseconds else 0.0,
            _limit(played, part),
        )
        for part in played.parts
    )
    working = [each for each in parts if each.limit]
    slowest = min(working, key=lambda each: each.limit, default=None)
    throughput = len(latencies) / seconds if seconds else 0.0
    limit = slowest.limit if slowest else 0.0
    return Figures(
        requests=len(played.served) + len(played.rejected), completed=len(latencies), rejected=len(played.rejected),
        seconds=seconds, throughput=throughput,
        latency_p50=_rank(latencies, 50), latency_p90=_rank(latencies, 90), latency_p99=_rank(latencies, 99),
        latency_max=_rank(latencies, 100),
        serial_seconds=sum(map(sum, setting.nanoseconds)) / len(setting.nanoseconds) / NANOSECONDS,
        parts=parts, busiest=slowest.name if slowest else "", limit=limit,
        efficiency=throughput / limit if limit else 0.0, paths=_paths(played),
    )  # fmt: skip


def _paths(played: Played) -> tuple[PathFigures, ...]:
    setting = played.setting
    if not setting.paths:
        return ()
    latencies: dict[str, list[int]] = {path: [] for path in setting.paths}
    alone: dict[str, list[int]] = {path: [] for path in setting.paths}
    for path, row in zip(setting.paths, setting.nanoseconds, strict=True):
        alone[path].append(sum(row))
    for each in played.served:
        latencies[setting.paths[each.number % len(setting.paths)]].append(each.end - each.arrival)
    found = [
        PathFigures(
            path, len(times), _rank(sorted(times), 50), _rank(sorted(times), 99),
            sum(alone[path]) / len(alone[path]) / NANOSECONDS,
        )
        for path, times in latencies.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda each: -each.requests))


def part_name(part: Part, processors: Sequence[str], devices: int) -> str:
    """What people call it: host, bus, the processor's name, or that with a number where it has several devices."""
    if part.kind != "device":
        return part.kind
    return processors[part.processor] + (f" #{part.device}" if devices > 1 else "")


def _limit(played: Played, part: Part) -> float:
    """From the work of the requests that were answered: rows are used equally often only where these are a multiple of
    them."""
    setting = played.setting
    weights = Counter(each.number % len(setting.nanoseconds) for each in played.served)
    times = (
        weights[index] * time
        for index, (tasks, row) in enumerate(setting.rows)
        for task, time in zip(tasks, row, strict=True)
        if _kind(task) == (part.kind, part.processor)
    )
    work = sum(times) / max(1, len(played.served))
    servers = setting.devices if part.kind == "device" else 1
    return servers * NANOSECONDS / work if work else 0.0


def _kind(task: Task) -> tuple[str, int]:
    if task.phase is Phase.LAUNCH:
        return "device", task.processor
    return ("bus", 0) if task.phase in (Phase.SEND, Phase.RECEIVE) else (HOST.kind, 0)


def _rank(ordered: Sequence[int], percent: int) -> float:
    """Nearest rank, in seconds."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / NANOSECONDS
