"""What a backend declares, and what it is asked for. Everything else (recognition, quantization, partition, packing of
tensors, packaging, sessions, the CPU's part, profiles) is the same for all backends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from weft.ir import Graph, Operator, Tensor
from weft.ir.device_control import JoinRequest, Unjoinable
from weft.ir.recognize import Pattern
from weft.partition.placement import Placement
from weft_runtime.devices import Device
from weft_runtime.executable import Processor, Region, TensorBinding
from weft_sim.result import RunOptions

__all__ = ["Accelerator", "Backend", "EmittedRegion", "RegionRequest"]


@dataclass(frozen=True)
class RegionRequest:
    """What to emit: operators in topological order, and the names of the tensors that are read outside of them.

    Tensors that no operator gives are the region's inputs.
    """

    name: str
    operators: tuple[Operator, ...]
    outputs: frozenset[str]


@dataclass(frozen=True)
class EmittedRegion:
    """A region's program in the backend's own format.

    The runtime writes `instructions` and `constants` to device memory once, packs `inputs` into the input/output area
    (register 2), launches with the base addresses of constants, workspace and input/output area in registers 0 to 2,
    and unpacks `outputs`. `sources` names the ONNX node of each instruction, or is empty. `cycles` is the estimate
    for a launch, `cycles_by_node` its parts by operator name.
    """

    instructions: bytes
    constants: bytes
    workspace_bytes: int
    io_bytes: int
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    cycles: int
    sources: tuple[str, ...] = ()
    cycles_by_node: Mapping[str, int] = field(default_factory=dict)


class Accelerator(ABC):
    """One processor to compile for: a backend with its parameters."""

    processor: Processor
    keeps_values: ClassVar[bool] = False
    """Whether `resident` has an effect, so that a value between two regions of a dynamic program is not transferred."""
    decides: ClassVar[bool] = False
    """Whether `join` mostly can: it is what running both branches of an If is compared with."""

    @abstractmethod
    def refuse(self, operator: Operator) -> str | None:
        """Why it cannot compute the operator, in words for `weft explain`; None if it can.

        Whatever it takes it must compute to the same bits as the reference, or `operator.inexact` must say how far off.
        """

    @abstractmethod
    def cycles(self, operator: Operator) -> int:
        """Estimated cycles of an operator that it does not refuse, by itself, from device memory to device memory."""

    @abstractmethod
    def emit(self, request: RegionRequest) -> EmittedRegion:
        """The program of a region of operators that `place` left. Raises CompileError if that cannot be."""

    def resident(self, region: Region) -> Region:
        """The region with tensors in buffers of their own (base registers from 3 on, offset 0) where its program can
        be told at each launch where they lie: a dynamic program then hands tensors on in device memory. As it is, it
        takes and gives them through its input/output area, and the host copies them."""
        return region

    def join(self, request: JoinRequest) -> Region:
        """One program of regions and decisions that it takes itself, launched once. Raises Unjoinable where it cannot;
        the host then decides, and launches one region after the other."""
        raise Unjoinable("this accelerator takes no decisions")

    def stored_bytes(self, tensor: Tensor, readers: Sequence[Operator] = ()) -> int:
        """Bytes that a tensor takes in device memory, which is what crosses the bus: packed for these operators, or, if
        none are given, as it comes back."""
        return math.prod(tensor.shape)

    def place(self, graph: Graph, operators: Sequence[Operator], insisted: frozenset[str] = frozenset()) -> Placement:
        """Of the operators that were assigned to it, those that it takes together, and why it leaves the others. It is
        asked for several assignments before one is chosen. The user wants those named in `insisted` on it, also where
        that does not pay."""
        refused = {operator.name: self.refuse(operator) for operator in operators}
        reasons = {
            node: reason
            for operator in operators
            if (reason := refused[operator.name]) is not None
            for node in operator.nodes
        }
        return Placement(tuple(each for each in operators if refused[each.name] is None), reasons)


class Backend(ABC):
    """A kind of accelerator: its targets, its patterns, its devices. Registered by an entry point in the group
    `weft.backends` that names an instance, under the backend's name."""

    name: ClassVar[str]

    @property
    def device_names(self) -> tuple[str, ...]:
        """The kinds of device that it can open, the default one first."""
        return ("sim",)

    @property
    def patterns(self) -> Mapping[str, Pattern]:
        """Matchers of its own, by root operator type, besides those of `weft.ir`: each makes an Operator around a node
        of the integer graph, or raises `weft.ir.patterns.common.Refusal`. Of several that match a node, the one with
        the most nodes wins."""
        return {}

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The names that `--target` takes."""

    @abstractmethod
    def accelerator(self, target: str) -> Accelerator:
        """The accelerator of that name. Raises MachineError for one that it does not have."""

    @abstractmethod
    def check_region(self, processor: Processor, region: Region) -> None:
        """Raises ExecutableError for a configuration or instructions that are not its own: both may come from a
        file. What a device checks as it runs need not be checked here."""

    @abstractmethod
    def open_device(self, device: str, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        """Opens one of `device_names` with so many bytes of memory, all zero."""

    def disassemble(self, region: Region) -> Sequence[str]:
        """The program as text, a line per instruction."""
        return [f"{len(region.instructions)} bytes"]
