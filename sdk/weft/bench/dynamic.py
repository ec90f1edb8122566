"""`weft bench dynamic`: networks whose path depends on the input, by who decides, and without control flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.api.deployment import graph_nanoseconds
from weft.bench.dynamic_networks import ExampleNetwork, example_networks
from weft.bench.static_networks import NoSuchVariant, always_executed, both_branches
from weft.compiler import compile as compile_model
from weft.dynamic import split
from weft.errors import WeftError
from weft.frontend import Model, load, normalize
from weft.lowering import Driver
from weft.partition.costs import HostProfile, host_profile
from weft.quantize import quantize
from weft_runtime.executable import Executable, RegionCount, RegionDecision
from weft_runtime.interpreter import Decision
from weft_runtime.profile import Profile
from weft_runtime.session import Session

__all__ = ["run"]

CALIBRATION = 200
GOAL_CYCLES = 500
HOST_DRIVEN, DEVICE_DRIVEN, SELECT, STATIC = "host-driven", "device-driven", "both branches", "static"
Row = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Sample:
    """What one input cost, its path, and the answer."""

    cycles: int
    transfers: int
    bytes: int
    launches: int
    microseconds: float
    path: tuple[Decision, ...]
    answer: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Variant:
    """A network built in one way: what each input cost; `by_device`: names of the decisions that the device takes;
    `compared`: of how many inputs the answers were compared with the host-driven ones."""

    name: str
    samples: tuple[_Sample, ...]
    by_device: frozenset[str]
    compared: int

    def mean(self, figure: str) -> float:
        """Of all inputs."""
        return float(np.mean([getattr(each, figure) for each in self.samples]))


def run(
    examples: str = "examples",
    networks: str = "",
    inputs: str = "60",
    target: str = "weft-16",
    host: str = "cortex-a53",
    offload: str = "all",
    seed: str = "0",
) -> dict[str, Any]:
    """Each network of `examples`/dynamic (or those named) on the same seeded choice of inputs: decided by the device
    where it can, by the host, with both branches and a select, and as a static network. `offload` is "all", or
    "cheapest" for the partition that is cheapest on `host`; latency is reckoned with `host` in both cases.

    Raises ValueError for unknown names or numbers below 1, WeftError where the examples are absent or an answer
    differs from the host-driven one.
    """
    known = example_networks(Path(examples))
    chosen = [name.strip() for name in networks.split(",") if name.strip()] or list(known)
    for name in chosen:
        if name not in known:
            raise ValueError(f"unknown network {name!r}; known: {', '.join(known)}")
    if int(inputs) < 1 or offload not in ("all", "cheapest"):
        raise ValueError("inputs must be 1 or more, and offload all or cheapest")
    bench = _Bench(target, host_profile(host), offload == "all", int(inputs), int(seed))
    rows: list[dict[str, Any]] = []
    decisions: list[dict[str, Any]] = []
    paths: list[dict[str, Any]] = []
    absent: list[dict[str, str]] = []
    for name in chosen:
        found = bench.measure(known[name]())
        absent += [{"network": name, "variant": variant, "reason": why} for variant, why in found.absent.items()]
        rows += [_row(name, variant) for variant in found.variants.values()]
        decisions.append(_decisions(name, found.variants))
        paths += list(_paths(name, found.variants[HOST_DRIVEN]))
    overheads = [each["overhead"] for each in decisions if each["overhead"] is not None]
    return {
        "inputs": int(inputs), "target": target, "host": host, "offload": offload,
        "goal_cycles": GOAL_CYCLES, "worst_overhead": max(overheads, default=None),
        "within_goal": all(each < GOAL_CYCLES for each in overheads),
        "networks": rows, "decisions": decisions, "paths": paths, "absent": absent,
    }  # fmt: skip


@dataclass(frozen=True)
class _Measured:
    variants: Mapping[str, _Variant]
    absent: Mapping[str, str]


@dataclass(frozen=True)
class _Bench:
    target: str
    host: HostProfile
    offloads_all: bool
    inputs: int
    seed: int

    def measure(self, network: ExampleNetwork) -> _Measured:
        """All variants of a network. Raises WeftError where answers differ."""
        quantized = quantize(load(network.model), {key: rows[:CALIBRATION] for key, rows in network.inputs.items()})
        form = split(normalize(quantized)).form
        if form is None:
            raise WeftError(f"{quantized.name}: has no control flow that can be taken apart")
        samples = self._samples(network)
        driven = self._samples_of(self._compiled(quantized, "host"), samples)
        variants = {HOST_DRIVEN: _Variant(HOST_DRIVEN, driven, frozenset(), 0)}
        program = self._compiled(quantized, "device")
        by_device = frozenset(name for region in program.regions for name in _names(region.decisions))
        variants[DEVICE_DRIVEN] = self._checked(DEVICE_DRIVEN, program, samples, driven, None, by_device)
        absent: dict[str, str] = {}
        try:
            program = self._compiled(both_branches(form), "host")
            variants[SELECT] = self._checked(SELECT, program, samples, driven)
        except NoSuchVariant as why:
            absent[SELECT] = str(why)
        try:
            model, outcomes = always_executed(form)
            variants[STATIC] = self._checked(STATIC, self._compiled(model, "host"), samples, driven, outcomes)
        except NoSuchVariant as why:
            absent[STATIC] = str(why)
        return _Measured(variants, absent)

    def _samples(self, network: ExampleNetwork) -> list[Row]:
        """Rows that were not calibrated with, where there are enough."""
        count = min(len(rows) for rows in network.inputs.values())
        first = CALIBRATION if count - CALIBRATION >= self.inputs else 0
        generator = np.random.default_rng(self.seed)
        chosen = first + generator.choice(count - first, self.inputs, replace=count - first < self.inputs)
        return [{key: rows[index : index + 1] for key, rows in network.inputs.items()} for index in chosen]

    def _compiled(self, model: Model, driver: Driver) -> Executable:
        host = self.host
        if self.offloads_all:  # on such a host whatever the accelerator can take is cheaper there
            host = replace(host, name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0)
        return compile_model(model, self.target, host=host, driver=driver)

    def _samples_of(self, executable: Executable, samples: Sequence[Row]) -> tuple[_Sample, ...]:
        with Session(executable) as session:
            return tuple(self._sample(session, sample) for sample in samples)

    def _sample(self, session: Session, sample: Row) -> _Sample:
        answer = session.run(sample)
        profile = session.profile
        return _Sample(
            profile.cycles, profile.transfers, profile.transfer_bytes, len(profile.regions),
            self._nanoseconds(session.executable, profile) / 1000, profile.paths[0] if profile.paths else (), answer,
        )  # fmt: skip

    def _nanoseconds(self, executable: Executable, profile: Profile) -> float:
        """A sample by itself, one thing after the other, with the terms of the partitioner's cost model."""
        host = self.host
        graphs = {graph.name: graph for graph in executable.host_graphs}
        time = sum(each.runs * graph_nanoseconds(graphs[each.name], host) for each in profile.host)
        time += 1e9 * profile.device_seconds + 1000 * host.launch_microseconds * len(profile.regions)
        time += 1000 * host.transfer_microseconds * profile.transfers
        return time + profile.transfer_bytes * (1 / host.bus_gbytes + 1 / host.packing_gbytes)

    def _checked(
        self,
        name: str,
        executable: Executable,
        samples: Sequence[Row],
        driven: Sequence[_Sample],
        outcomes: Mapping[str, str] | None = None,
        by_device: frozenset[str] = frozenset(),
    ) -> _Variant:
        """A variant whose answers are the host-driven ones; a static one's (`outcomes` given) on inputs that go the
        same way by themselves. Raises WeftError where one differs in a bit."""
        found, compared = self._samples_of(executable, samples), 0
        for index, (ours, theirs) in enumerate(zip(found, driven, strict=True)):
            if outcomes is not None and any(outcomes.get(each.name) != each.outcome for each in theirs.path):
                continue
            compared += 1
            if ours.path and ours.path != theirs.path:
                raise WeftError(f"{name}: input {index} takes another path than host-driven (a defect of Weft)")
            for key, array in theirs.answer.items():
                if ours.answer[key].shape != array.shape or ours.answer[key].tobytes() != array.tobytes():
                    raise WeftError(f"{name}: input {index}: output {key!r} differs from the host-driven answer")
        return _Variant(name, found, by_device, compared)


def _names(decisions: Sequence[RegionDecision | RegionCount]) -> Iterator[str]:
    for each in decisions:
        yield each.name
        inner = (*each.when_below, *each.when_above) if isinstance(each, RegionDecision) else each.decisions
        yield from _names(inner)


def _count(path: Sequence[Decision], names: frozenset[str] | None = None) -> int:
    """Decisions on a path, perhaps only those named: one for each If, and one for each iteration of a Loop."""
    taken = (each for each in path if names is None or each.name in names)
    return sum(int(each.outcome) if each.outcome.isdigit() else 1 for each in taken)


def _row(network: str, variant: _Variant) -> dict[str, Any]:
    return {
        "network": network, "variant": variant.name, "cycles": variant.mean("cycles"),
        "transfers": variant.mean("transfers"), "bytes": variant.mean("bytes"), "launches": variant.mean("launches"),
        "decisions": float(np.mean([_count(each.path) for each in variant.samples])),
        "microseconds": variant.mean("microseconds"), "compared": variant.compared,
    }  # fmt: skip


def _decisions(network: str, variants: Mapping[str, _Variant]) -> dict[str, Any]:
    """What deciding costs on the device, and what the dynamic network saves. Launched one by one, as the host does it,
    the executed sub-networks take what they take alone."""
    device, host = variants[DEVICE_DRIVEN], variants[HOST_DRIVEN]
    taken = sum(_count(each.path, device.by_device) for each in device.samples)
    more = sum(each.cycles for each in device.samples) - sum(each.cycles for each in host.samples)
    return {
        "network": network,
        "decisions": sum(_count(each.path) for each in device.samples),
        "by_device": taken,
        "overhead": more / taken if taken else None,
        **{
            f"saved_{figure}_{place}": _saved(device, variants.get(name), figure)
            for name, place in ((STATIC, "static"), (SELECT, "both"))
            for figure in ("cycles", "microseconds")
        },
    }


def _saved(dynamic: _Variant, other: _Variant | None, figure: str) -> float | None:
    """Percent of the other variant's; negative where the dynamic one takes more."""
    return None if other is None else 100 * (1 - dynamic.mean(figure) / other.mean(figure))


def _paths(network: str, variant: _Variant) -> Iterator[dict[str, Any]]:
    counts = Counter(" ".join(each.outcome for each in sample.path) for sample in variant.samples)
    for path, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        yield {"network": network, "path": path, "percent": 100 * count / len(variant.samples)}
