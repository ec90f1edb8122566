"""The figures of `weft bench dynamic`: what variants of a network cost, and what of the skipped work is saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.interpreter import Decision

__all__ = ["DEVICE_DRIVEN", "HOST_DRIVEN", "SELECT", "STATIC", "Sample", "Variant", "decisions", "paths", "row"]

HOST_DRIVEN, DEVICE_DRIVEN, SELECT, STATIC = "host-driven", "device-driven", "both branches", "static"


@dataclass(frozen=True)
class Sample:
    """What one input cost, its path, and the answer."""

    cycles: int
    transfers: int
    bytes: int
    launches: int
    microseconds: float
    path: tuple[Decision, ...]
    answer: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Variant:
    """A network built in one way: what each input cost; `by_device`: names of the decisions that the device takes;
    `compared`: of how many inputs the answers were compared with the host-driven ones."""

    name: str
    samples: tuple[Sample, ...]
    by_device: frozenset[str]
    compared: int

    def mean(self, figure: str) -> float:
        """Of all inputs."""
        return float(np.mean([getattr(each, figure) for each in self.samples]))


def _count(path: Sequence[Decision], names: frozenset[str] | None = None) -> int:
    """Decisions on a path, perhaps only those named: one for each If, and one for each iteration of a Loop."""
    taken = (each for each in path if names is None or each.name in names)
    return sum(int(each.outcome) if each.outcome.isdigit() else 1 for each in taken)


def row(network: str, variant: Variant) -> dict[str, Any]:
    """Means of a variant."""
    return {
        "network": network, "variant": variant.name, "cycles": variant.mean("cycles"),
        "transfers": variant.mean("transfers"), "bytes": variant.mean("bytes"), "launches": variant.mean("launches"),
        "decisions": float(np.mean([_count(each.path) for each in variant.samples])),
        "microseconds": variant.mean("microseconds"), "compared": variant.compared,
    }  # fmt: skip


def decisions(network: str, variants: Mapping[str, Variant], needed: float) -> dict[str, Any]:
    """What deciding costs on the device, and what the dynamic network saves. Launched one by one, as the host does it,
    the executed sub-networks take what they take alone; `needed` are mean cycles of these without what only decisions
    read."""
    device, host, static = variants[DEVICE_DRIVEN], variants[HOST_DRIVEN], variants.get(STATIC)
    taken = sum(_count(each.path, device.by_device) for each in device.samples)
    more = sum(each.cycles for each in device.samples) - sum(each.cycles for each in host.samples)
    worth = None if static is None else static.mean("cycles") - needed
    saved = None if static is None else static.mean("cycles") - device.mean("cycles")
    return {
        "network": network,
        "decisions": sum(_count(each.path) for each in device.samples),
        "by_device": taken,
        "overhead": more / taken if taken else None,
        "worth": worth,
        "gates": host.mean("cycles") - needed,
        "saved": saved,
        "saved_of_worth": 100 * saved / worth if saved is not None and worth is not None and worth > 0 else None,
        **{
            f"saved_{figure}_{place}": _saved(device, variants.get(name), figure)
            for name, place in ((STATIC, "static"), (SELECT, "both"))
            for figure in ("cycles", "microseconds")
        },
    }


def _saved(dynamic: Variant, other: Variant | None, figure: str) -> float | None:
    """Percent of the other variant's; negative where the dynamic one takes more."""
    return None if other is None else 100 * (1 - dynamic.mean(figure) / other.mean(figure))


def paths(network: str, variant: Variant) -> Iterator[dict[str, Any]]:
    """How many inputs go which way, the most frequent way first."""
    counts = Counter(" ".join(each.outcome for each in sample.path) for sample in variant.samples)
    for path, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        yield {"network": network, "path": path, "percent": 100 * count / len(variant.samples)}
