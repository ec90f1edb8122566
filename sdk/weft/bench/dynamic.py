"""`weft bench dynamic`: networks whose path depends on the input, by who decides, and without control flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.bench.dynamic_costs import choosing_host, sequential_nanoseconds
from weft.bench.dynamic_figures import (
    DEVICE_DRIVEN,
    HOST_DRIVEN,
    SELECT,
    STATIC,
    Sample,
    Variant,
    decisions,
    paths,
    row,
)
from weft.bench.dynamic_networks import ExampleNetwork, chosen_networks, example_networks
from weft.bench.needed_work import NeededWork, zeros
from weft.bench.static_networks import NoSuchVariant, always_executed, both_branches
from weft.compiler import compile as compile_model
from weft.dynamic import Form, narrow, split
from weft.dynamic.form import normalize_network
from weft.errors import WeftError
from weft.frontend import Model, load, normalize
from weft.lowering import Driver
from weft.partition.costs import HostProfile, host_profile
from weft.quantize import quantize
from weft_runtime.executable import Executable, RegionCount, RegionDecision
from weft_runtime.session import Session

__all__ = ["run"]

CALIBRATION = 200
GOAL_CYCLES = 500
Row = Mapping[str, npt.NDArray[Any]]


def run(
    examples: str = "examples",
    networks: str = "",
    inputs: str = "60",
    target: str = "weft-16",
    host: str = "cortex-a53",
    offload: str = "all",
    seed: str = "0",
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Networks of `examples`/dynamic on the same seeded choice of inputs: decided by the device where it can, by the
    host, with both branches and a select, and as a static network. `networks` are names, "trained", "written" or
    "all"; without any, one of each kind. `offload` is "all", or "cheapest" for the partition that is cheapest on
    `host`; latency is reckoned with `host` in both cases.

    Raises ValueError for unknown names or numbers below 1, WeftError where the examples are absent or an answer
    differs from the host-driven one.
    """
    known = example_networks(Path(examples))
    chosen = chosen_networks(networks, known)
    if int(inputs) < 1:
        raise ValueError("inputs must be 1 or more")
    profile = host_profile(host)
    bench = _Bench(target, profile, choosing_host(profile, offload), int(inputs), int(seed))
    figures: dict[str, list[dict[str, Any]]] = {"networks": [], "decisions": [], "paths": [], "absent": []}
    for index, name in enumerate(chosen):
        progress("bench dynamic", index, len(chosen))
        found = bench.measure(known[name]())
        figures["absent"] += [{"network": name, "variant": key, "reason": why} for key, why in found.absent.items()]
        figures["networks"] += [row(name, variant) for variant in found.variants.values()]
        figures["decisions"].append(decisions(name, found.variants, found.needed))
        figures["paths"] += paths(name, found.variants[HOST_DRIVEN])
    overheads = [each["overhead"] for each in figures["decisions"] if each["overhead"] is not None]
    return {
        "inputs": int(inputs), "target": target, "host": host, "offload": offload,
        "goal_cycles": GOAL_CYCLES, "worst_overhead": max(overheads, default=None),
        "within_goal": all(each < GOAL_CYCLES for each in overheads), **figures,
    }  # fmt: skip


@dataclass(frozen=True)
class _Measured:
    """`needed` are mean cycles of the sub-networks on each input's path, without what its answer does not need."""

    variants: Mapping[str, Variant]
    absent: Mapping[str, str]
    needed: float


@dataclass(frozen=True)
class _Bench:
    target: str
    host: HostProfile
    chooser: HostProfile
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
        variants = {HOST_DRIVEN: Variant(HOST_DRIVEN, driven, frozenset(), 0)}
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
        return _Measured(variants, absent, self._needed(form, samples, driven))

    def _needed(self, form: Form, samples: Sequence[Row], driven: Sequence[Sample]) -> float:
        """Mean cycles. Raises WeftError where the integer program goes another way."""
        narrowed = narrow(form.with_networks(tuple(normalize_network(each) for each in form.networks)))
        work, total = NeededWork(narrowed, self._cycles), 0
        for index, (sample, theirs) in enumerate(zip(samples, driven, strict=True)):
            cycles, path = work.measure(sample)
            if path != theirs.path:
                raise WeftError(f"input {index} takes another path than host-driven (a defect of Weft)")
            total += cycles
        return total / len(samples)

    def _cycles(self, model: Model) -> int:
        """Of one run of a model without any control flow."""
        with Session(self._compiled(model, "host")) as session:
            session.run(zeros(model))
            return session.profile.cycles

    def _samples(self, network: ExampleNetwork) -> list[Row]:
        """Rows that were not calibrated with, where there are enough."""
        count = min(len(rows) for rows in network.inputs.values())
        first = CALIBRATION if count - CALIBRATION >= self.inputs else 0
        generator = np.random.default_rng(self.seed)
        chosen = first + generator.choice(count - first, self.inputs, replace=count - first < self.inputs)
        return [{key: rows[index : index + 1] for key, rows in network.inputs.items()} for index in chosen]

    def _compiled(self, model: Model, driver: Driver) -> Executable:
        return compile_model(model, self.target, host=self.chooser, driver=driver)

    def _samples_of(self, executable: Executable, samples: Sequence[Row]) -> tuple[Sample, ...]:
        with Session(executable) as session:
            return tuple(self._sample(session, sample) for sample in samples)

    def _sample(self, session: Session, sample: Row) -> Sample:
        answer = session.run(sample)
        profile = session.profile
        time = sequential_nanoseconds(session.executable, profile, 1e9 * profile.device_seconds, self.host)
        return Sample(
            profile.cycles, profile.transfers, profile.transfer_bytes, len(profile.regions), time / 1000,
            profile.paths[0] if profile.paths else (), answer,
        )  # fmt: skip

    def _checked(
        self,
        name: str,
        executable: Executable,
        samples: Sequence[Row],
        driven: Sequence[Sample],
        outcomes: Mapping[str, str] | None = None,
        by_device: frozenset[str] = frozenset(),
    ) -> Variant:
        """A variant whose answers are the host-driven ones; a static one's (`outcomes` given) on inputs that go the
        same way by themselves. Raises WeftError where one differs in a bit."""
        found, compared = self._samples_of(executable, samples), 0
        for index, (ours, theirs) in enumerate(zip(found, driven, strict=True)):
            if outcomes is not None and any(
                outcomes.get(each.name, each.outcome) != each.outcome for each in theirs.path
            ):
                continue
            compared += 1
            if ours.path and ours.path != theirs.path:
                raise WeftError(f"{name}: input {index} takes another path than host-driven (a defect of Weft)")
            for key, array in theirs.answer.items():
                if ours.answer[key].shape != array.shape or ours.answer[key].tobytes() != array.tobytes():
                    raise WeftError(f"{name}: input {index}: output {key!r} differs from the host-driven answer")
        return Variant(name, found, by_device, compared)


def _names(decisions: Sequence[RegionDecision | RegionCount]) -> Iterator[str]:
    for each in decisions:
        yield each.name
        inner = (*each.when_below, *each.when_above) if isinstance(each, RegionDecision) else each.decisions
        yield from _names(inner)
