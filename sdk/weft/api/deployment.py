"""`weft run --requests`: a deployment in simulated time, with answers of a sample of requests really computed.

Times come from where the partitioner has them: the host's nodes, packing, the bus and launches from a host profile,
the accelerators' cycles from the device itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from weft.api.arrays import Arrays, random_arrays
from weft.api.execution import RunReport
from weft.api.preparation import PrepareOptions, Source, open_variants
from weft.api.progress import Progress, quiet
from weft.backends import Target
from weft.deployment import Arrivals, Figures, Played, Setting, figures_of, play
from weft.errors import DeviceError, WeftError
from weft.frontend import Model
from weft.partition.costs import DEFAULT_HOST, HostProfile, host_profile
from weft.partition.costs.graphs import graph_nanoseconds
from weft.report import DeploymentView
from weft_runtime.artifact import is_artifact
from weft_runtime.dispatch import Phase, Task, Work, tasks_of
from weft_runtime.executable import Executable, TensorBinding
from weft_runtime.inputs import check_inputs, split_samples
from weft_runtime.profile import Profile
from weft_runtime.session import Session
from weft_runtime.variants import Variants

__all__ = ["DeploymentOptions", "DeploymentReport", "deploy", "graph_nanoseconds", "task_nanoseconds"]

COMPUTED, COMPUTED_PATHS = 4, 64
"""Requests whose answers are computed, one after the other and overlapped (more, where each takes a path of its own);
others repeat their times."""


@dataclass(frozen=True)
class DeploymentOptions:
    """How many requests arrive and when, on which host (a profile's name or file; None: DEFAULT_HOST), with how many
    devices of each processor and room for how many requests; whether requests overlap or each waits for the one before
    is `at_once` (None: they overlap)."""

    requests: int
    arrivals: Arrivals
    host: str | None = None
    devices: int = 1
    queue: int = 16
    at_once: int | None = None


@dataclass(frozen=True)
class DeploymentReport:
    """A deployment played out, its figures, and the run of the sample behind it. `answers_checked` requests were
    computed in an overlapping session and equal the serial ones."""

    run: RunReport
    options: DeploymentOptions
    host: HostProfile
    played: Played
    figures: Figures
    answers_checked: int

    @property
    def view(self) -> DeploymentView:
        """What report and trace show."""
        options = self.options
        devices = f"{options.devices} device{'s' if options.devices > 1 else ''} of each processor"
        how = "requests overlap" if options.at_once is None else "one request at a time"
        title = (
            f"{self.figures.requests:,} requests, arrivals {options.arrivals}, host {self.host.name}, {devices}, {how}"
        )
        return DeploymentView(self.played, self.figures, self.run.executable, title)

    def to_dict(self) -> dict[str, Any]:
        """The figures of the run, and those of the deployment under `deployment`."""
        options = self.options
        return {
            **self.run.to_dict(),
            "deployment": {
                "arrivals": str(options.arrivals),
                "host": self.host.name,
                "devices": options.devices,
                "queue": options.queue,
                "overlap": options.at_once is None,
                "answers_checked": self.answers_checked,
                **self.figures.to_dict(),
            },
        }


def deploy(
    source: Source | Executable,
    options: DeploymentOptions,
    inputs: Mapping[str, Any] | None = None,
    *,
    device: str = "sim",
    target: Target | None = None,
    prepare: PrepareOptions | None = None,
    progress: Progress = quiet,
) -> DeploymentReport:
    """Plays out a deployment. `inputs` holds the samples that requests carry, in turn; without it they are random.
    Raises WeftError, also where an overlapped answer differs from the serial one or the device has no time."""
    wishes = replace(prepare or PrepareOptions(), inputs=inputs)
    if isinstance(source, Model) or not (
        isinstance(source, Executable) or is_artifact(source)
    ):  # an artifact's partition stays
        wishes = replace(wishes, host=options.host)
    variants = Variants(open_variants(source, target, wishes, progress))
    variants = Variants(tuple(_one_by_one(each) for each in variants.executables))
    executable = variants.executables[0]
    count = min(COMPUTED if executable.control is None else COMPUTED_PATHS, options.requests)
    if inputs is None:
        arrays = random_arrays(executable.bound_inputs, executable.batch, count, wishes.seed, wishes.shapes)
    else:
        arrays = check_inputs(inputs, variants.inputs)
        executable = variants.choose(arrays)
    samples = list(split_samples(arrays, executable.bound_inputs, executable.batch))[:count]
    profiles, outputs = _compute(executable, samples, device, options.devices, progress)
    profile = host_profile(options.host or DEFAULT_HOST)
    setting = replace(
        _setting(executable, profile, profiles),
        devices=options.devices,
        queue=options.queue,
        at_once=options.at_once or options.queue,
    )
    progress("deployment", 0, 0)
    played = play(setting, options.arrivals, options.requests, wishes.seed)
    figures = figures_of(played, [each.name for each in executable.processors])
    run = RunReport(executable, outputs, profiles[0], "random" if inputs is None else "given")
    return DeploymentReport(run, options, profile, played, figures, len(samples))


def _one_by_one(executable: Executable) -> Executable:
    """Without batches: every request is on its way by itself."""
    if executable.control is None:
        return executable
    return replace(executable, control=replace(executable.control, batching=None))


def _setting(executable: Executable, host: HostProfile, profiles: Sequence[Profile]) -> Setting:
    """The tasks of the requests that ran, and their times."""
    cycles = [_cycles(each) for each in profiles]
    if executable.control is None:
        rows = tuple(task_nanoseconds(executable, host, each) for each in cycles)
        return Setting(tasks_of(executable), rows)
    graphs = [graph_nanoseconds(graph, host) for graph in executable.host_graphs]
    clocks = [each.clock_mhz for each in executable.processors]
    times = tuple(tuple(_work_nanoseconds(work, host, graphs, clocks) for work in each.works) for each in profiles)
    courses = tuple(tuple(work.task for work in each.works) for each in profiles)
    paths = tuple(" ".join(decision.outcome for decision in each.paths[0]) for each in profiles)
    return Setting((), times, courses=courses, paths=paths)


def _work_nanoseconds(work: Work, host: HostProfile, graphs: Sequence[int], clocks: Sequence[int]) -> int:
    """As `task_nanoseconds`, for what a request on a path of its own really did."""
    match work.task.phase:
        case Phase.HOST:
            return graphs[work.task.step]
        case Phase.LAUNCH:
            return math.ceil(1000 * host.launch_microseconds + 1000 * work.cycles / clocks[work.task.processor])
        case Phase.SEND | Phase.RECEIVE:
            return math.ceil(work.nbytes / host.bus_gbytes)
    return math.ceil(1000 * host.transfer_microseconds + work.nbytes / host.packing_gbytes)


def _compute(
    executable: Executable, samples: Sequence[Arrays], device: str, devices: int, progress: Progress
) -> tuple[list[Profile], Arrays]:
    """The profile of each sample run by itself, and the first one's outputs. The same samples are then submitted all
    at once, and must give the same answers."""
    profiles: list[Profile] = []
    serial: list[Arrays] = []
    with Session(executable, device) as session:
        for index, sample in enumerate(samples):
            serial.append(session.run(sample))
            profiles.append(session.profile)
            progress("run", index + 1, 2 * len(samples))
    with Session(executable, device, devices=devices) as session:
        futures = [session.submit(sample) for sample in samples]
        for index, (future, expected) in enumerate(zip(futures, serial, strict=True)):
            found = future.result()
            for name, array in expected.items():
                if not _same(found[name], array):
                    raise WeftError(
                        f"request {index}: output {name!r} differs from the serial answer (a defect of Weft)"
                    )
            progress("run", len(samples) + index + 1, 2 * len(samples))
    return profiles, serial[0]


def _same(found: Any, expected: Any) -> bool:
    """Equal in every bit of tensors; sequences and maps as they print."""
    if isinstance(found, np.ndarray) and isinstance(expected, np.ndarray):
        if found.dtype == object:
            return bool(found.tolist() == expected.tolist())
        return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    return repr(found) == repr(expected)


def _cycles(profile: Profile) -> list[int]:
    """Cycles by region, in order of execution."""
    if any(not each.cycles for each in profile.regions):
        raise DeviceError(
            f"device {profile.device!r} has no time, so no deployment can be played out; use device 'sim'"
        )
    return [each.cycles for each in profile.regions]


def task_nanoseconds(executable: Executable, profile: HostProfile, cycles: Sequence[int]) -> tuple[int, ...]:
    """What each task of a request takes, in the order of `tasks_of`; `cycles` are those of each device step.

    The terms are those of the partition's cost model: a tensor's fixed time and its packing are the host's, its bytes
    the bus's, a launch and its cycles the device's. So a request alone takes what the partitioner reckons.
    """
    steps = [step.index for step in executable.steps if step.kind == "device"]
    by_region = dict(zip(steps, cycles, strict=True))
    hosts = [graph_nanoseconds(graph, profile) for graph in executable.host_graphs]

    def duration(task: Task) -> int:
        if task.phase is Phase.HOST:
            return hosts[executable.steps[task.step].index]
        region = executable.regions[task.region]
        if task.phase is Phase.LAUNCH:
            seconds = executable.processors[task.processor].seconds(by_region[task.region])
            return math.ceil(1000 * profile.launch_microseconds + 1e9 * seconds)
        bindings = region.inputs if task.phase in (Phase.PACK, Phase.SEND) else region.outputs
        size = sum(each.layout.nbytes for each in bindings)
        if task.phase in (Phase.SEND, Phase.RECEIVE):
            return math.ceil(size / profile.bus_gbytes)
        return math.ceil(1000 * profile.transfer_microseconds * _tensors(bindings) + size / profile.packing_gbytes)

    return tuple(duration(task) for task in tasks_of(executable))


def _tensors(bindings: Sequence[TensorBinding]) -> int:
    """A tensor in two layouts is one tensor."""
    return len({each.name for each in bindings})
