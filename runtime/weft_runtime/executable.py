"""The executable: what the compiler hands to the runtime, and what an artifact holds. Plain frozen data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from weft_runtime.control import ControlFlow
from weft_runtime.errors import LayoutError
from weft_runtime.steps import Step, TensorSignature

__all__ = [
    "IN_LOG",
    "NUMBER_BYTES",
    "REGISTER_CONSTANTS",
    "REGISTER_COUNT",
    "REGISTER_IO",
    "REGISTER_WORKSPACE",
    "UNCHANGING",
    "Executable",
    "HostGraph",
    "Layout",
    "NodeReport",
    "PartitionCandidate",
    "PartitionReport",
    "Processor",
    "ProcessorCost",
    "Region",
    "RegionArea",
    "RegionCount",
    "RegionDecision",
    "RegionNumber",
    "Relation",
    "Step",
    "TensorBinding",
    "TensorSignature",
]

REGISTER_CONSTANTS = 0
REGISTER_WORKSPACE = 1
REGISTER_IO = 2
REGISTER_COUNT = 16

Relation = Literal["below", "equal"]
"""How a number is compared with a value."""

IN_LOG = -1
"""In place of a mailbox: the outcomes are in the region's log, in the order in which they came."""

NUMBER_BYTES = 3
"""Bytes of a number that the host writes for a program: whole numbers below 2²⁴ are exact in float32."""

UNCHANGING = -2
"""In place of a loop's mailbox: every iteration that it may have is one that it has."""


@dataclass(frozen=True)
class Layout:
    """How a logical tensor lies in device DRAM: viewed as (n, c, h, w), channels in blocks.

    Bytes are ordered [n][ceil(c / block)][top + h + bottom][left + w + right][block]; everything outside the
    tensor (pads, and the channels that fill up the last block) holds `fill`, a raw byte 0..255. `pads` is
    (top, left, bottom, right). Raises LayoutError for negative extents, block < 1 or fill outside 0..255.
    """

    view: tuple[int, int, int, int]
    block: int
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    fill: int = 0

    def __post_init__(self) -> None:
        if len(self.view) != 4 or min(self.view) < 0:
            raise LayoutError(f"layout view {self.view} must be four extents (n, c, h, w), none negative")
        if len(self.pads) != 4 or min(self.pads) < 0:
            raise LayoutError(f"layout pads {self.pads} must be (top, left, bottom, right), none negative")
        if self.block < 1:
            raise LayoutError(f"layout block {self.block} must be at least 1 channel")
        if not 0 <= self.fill <= 255:
            raise LayoutError(f"layout fill {self.fill} must be a raw byte, 0 to 255")

    @property
    def channel_blocks(self) -> int:
        """Number of channel blocks, the last one possibly partly filled."""
        return -(-self.view[1] // self.block)

    @property
    def packed_shape(self) -> tuple[int, int, int, int, int]:
        """(n, channel blocks, padded height, padded width, block)."""
        samples, _, height, width = self.view
        top, left, bottom, right = self.pads
        return (samples, self.channel_blocks, top + height + bottom, left + width + right, self.block)

    @property
    def elements(self) -> int:
        """Elements of the logical tensor."""
        samples, channels, height, width = self.view
        return samples * channels * height * width

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes in DRAM, pads and partly filled channel blocks included."""
        samples, blocks, height, width, block = self.packed_shape
        return samples * blocks * height * width * block


@dataclass(frozen=True)
class TensorBinding:
    """Where a region finds or leaves a tensor: device address = registers[register] + offset.

    `shape` is the logical ONNX shape; its row-major elements are those of `layout.view`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str  # "int8" | "uint8"
    register: int
    offset: int
    layout: Layout


@dataclass(frozen=True)
class Processor:
    """An accelerator that a model was compiled for.

    `backend` is the name of the backend that knows it; `configuration` a JSON object (text, sorted keys) with its
    parameters in that backend's words. `macs_per_cycle` is its peak, `clock_mhz` turns its cycles into seconds.
    """

    name: str
    backend: str
    configuration: str
    macs_per_cycle: int
    clock_mhz: int

    def seconds(self, cycles: int) -> float:
        """So many cycles at its clock."""
        return cycles / (self.clock_mhz * 1e6)

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of everything that a program can depend on; the name is not part of it."""
        values = {key: value for key, value in json.loads(self.configuration).items() if key != "name"}
        return hashlib.sha256(json.dumps([self.backend, values], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class RegionDecision:
    """A decision that a region's program takes: below `threshold` or not, as mailbox `mailbox` says after the launch;
    with the relation "equal", whether it is the threshold. `below` names the outcome where that holds, `above` the
    other one, `macs_below` and `macs_above` count what either way always multiplies; what is decided further on either
    way follows. In place of a mailbox the log may have a 0 for the one and a 1 for the other (IN_LOG). Where
    `tally_below` or `tally_above` is a name, the region gives by it how often it came out so, int64 of shape (), on the
    host."""

    name: str
    mailbox: int
    threshold: int
    below: str
    above: str
    macs_below: int
    macs_above: int
    when_below: tuple[RegionDecision | RegionCount, ...] = ()
    when_above: tuple[RegionDecision | RegionCount, ...] = ()
    relation: Relation = "below"
    tally_below: str = ""
    tally_above: str = ""

    def holds(self, number: int) -> bool:
        """Whether a mailbox with this number decides for `below`."""
        return number == self.threshold if self.relation == "equal" else number < self.threshold


@dataclass(frozen=True)
class RegionCount:
    """A loop in a region's program, of at most `limit` iterations, or fewer where the region's number `number` says so.

    After the launch mailbox `mailbox` holds how many of these were not run; or the log (IN_LOG) has a 1 before each
    iteration and a 0 behind the last; or all were run (UNCHANGING). Each multiplies `macs` times, and decides what
    `decisions` says. More than `most` iterations are an error: the program stopped there, not the loop. Where `tally`
    is a name, the region gives the number of iterations by it, int64 of shape (), on the host, 0 on ways without the
    loop; only loops in no other loop may have one. Outputs in `collected` have one part for each iteration, and so may
    be shorter than their binding says.
    """

    name: str
    mailbox: int
    macs: int
    limit: int
    most: int
    number: str = ""
    decisions: tuple[RegionDecision | RegionCount, ...] = ()
    tally: str = ""
    collected: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionNumber:
    """A number that the host writes before a launch: the only element of value `name`, as NUMBER_BYTES bytes at
    `offset` in the workspace, the lowest first; what is below 0 becomes 0, what is above `most` that."""

    name: str
    offset: int
    most: int


@dataclass(frozen=True)
class RegionArea:
    """`size` bytes at `offset` in a region's workspace."""

    offset: int
    size: int


@dataclass(frozen=True)
class Region:
    """One launch: an instruction stream, its constants, and the tensors it takes and gives.

    `instructions` are in the backend's own format; `sources` holds the ONNX node name of each instruction (the empty
    string where no single node is the cause), or nothing where the backend does not say. `processor` is an index
    into the executable's processors. A program that takes decisions itself names them in `decisions`, what the host
    tells it by value in `numbers`, where it writes what it decides inside loops, a byte each, in `log`, and where it
    moves registers otherwise in `areas`; `macs` and `estimated_cycles` are then those of its longest way.
    """

    name: str
    instructions: bytes
    sources: tuple[str, ...]
    constants: bytes
    workspace_bytes: int
    io_bytes: int
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    macs: int
    estimated_cycles: int
    processor: int = 0
    decisions: tuple[RegionDecision | RegionCount, ...] = ()
    numbers: tuple[RegionNumber, ...] = ()
    log: RegionArea | None = None
    areas: tuple[RegionArea, ...] = ()

    @property
    def tallies(self) -> tuple[str, ...]:
        """Numbers of iterations and of outcomes that it gives, by name."""
        return tuple(_tallies(self.decisions))


def _tallies(decisions: Sequence[RegionDecision | RegionCount]) -> Iterator[str]:
    for each in decisions:
        if isinstance(each, RegionCount):
            yield from filter(None, (each.tally,))
            yield from _tallies(each.decisions)
        else:
            yield from filter(None, (each.tally_below, each.tally_above))
            yield from _tallies((*each.when_below, *each.when_above))


@dataclass(frozen=True)
class HostGraph:
    """A part of the model that ONNX Runtime runs on the CPU: a serialized ONNX model."""

    name: str
    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ProcessorCost:
    """What something is estimated to take on a processor ("host" or a target's name), in nanoseconds."""

    processor: str
    nanoseconds: int


@dataclass(frozen=True)
class PartitionCandidate:
    """One way to divide the model that was considered, with its estimated nanoseconds for one inference: nodes on the
    host, operators on the accelerator, transfers and launches."""

    name: str
    host: int
    accelerator: int
    transfers: int
    launches: int

    @property
    def total(self) -> int:
        """All of it, one after the other."""
        return self.host + self.accelerator + self.transfers + self.launches


@dataclass(frozen=True)
class PartitionReport:
    """How the division between host and accelerator was chosen: the host profile's name, the name of the chosen
    candidate, and all candidates."""

    host_profile: str
    chosen: str
    candidates: tuple[PartitionCandidate, ...]


@dataclass(frozen=True)
class NodeReport:
    """Where one node of the model runs, and why. `device` is "host" or a processor's name.

    `costs` are the nanoseconds it was estimated to take on each processor that could run it. Of nodes that are one
    operator of an accelerator, the node that the operator is named after has the whole operator's cycles and costs;
    there, `reads` and `writes` are the operator's, too. They are empty for its other nodes. Constants are excluded.
    """

    name: str
    op: str
    device: str
    reason: str
    region: str
    estimated_cycles: int
    macs: int
    costs: tuple[ProcessorCost, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Executable:
    """A compiled model. `batch` is the leading extent it was compiled for, `extents` the values of all symbolic ones
    by name; `inexact` holds "node: bound" lines; `calibration` is "file", "input", "random" or "none"; `partition` is
    None where no choice was made. A model whose path depends on its input has `control`, and then no `steps`: those are
    in its sub-networks."""

    processors: tuple[Processor, ...]
    regions: tuple[Region, ...]
    host_graphs: tuple[HostGraph, ...]
    steps: tuple[Step, ...]
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    batch: int
    nodes: tuple[NodeReport, ...]
    macs: int
    offloaded_macs: int
    inexact: tuple[str, ...]
    calibration: str
    partition: PartitionReport | None = None
    extents: tuple[tuple[str, int], ...] = ()
    control: ControlFlow | None = None

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, those of all sub-networks where the path depends on the input."""
        if self.control is None:
            return self.steps
        return tuple(step for network in self.control.networks for step in network.steps)

    @property
    def target(self) -> str:
        """The processors' names, joined by commas: what it was compiled for."""
        return ",".join(processor.name for processor in self.processors)

    @property
    def bound_inputs(self) -> tuple[TensorSignature, ...]:
        """The inputs with the extents that it was compiled for in place of their symbols."""
        values = dict(self.extents)

        def bound(extent: int | str) -> int | str:
            return values.get(extent, extent) if isinstance(extent, str) else extent

        return tuple(replace(each, shape=tuple(map(bound, each.shape))) for each in self.inputs)
