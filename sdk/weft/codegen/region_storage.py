"""Where the tensors of a region lie: inputs and outputs in the io area, everything else in a planned workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from weft.codegen.chain.layout import ChainPlan
from weft.codegen.context import ALIGNMENT
from weft.codegen.convolution_plan import gathers_windows
from weft.codegen.joins import joined_parts, place_parts
from weft.codegen.storage import Storage, blocked_layout
from weft.codegen.workspace import Lifetime, plan_workspace
from weft.ir.fused import FusedConvolution
from weft.ir.operators import Convolution, Operator, Tensor, View, same_bytes
from weft_runtime.executable import REGISTER_IO, REGISTER_WORKSPACE, Layout, TensorBinding
from weft_sim.machine import MachineConfig

__all__ = ["InputLayouts", "RegionStorage", "input_layouts"]

NO_CHAINS: Mapping[int, ChainPlan] = MappingProxyType({})


@dataclass(frozen=True)
class InputLayouts:
    """How a region's input lies in memory: row-major with its padding in `window` for the convolutions in `gathering`,
    and in channel blocks where `blocked`, for the other readers."""

    window: Layout | None
    gathering: tuple[Convolution, ...]
    blocked: bool

    def nbytes(self, tensor: Tensor, config: MachineConfig) -> int:
        """Bytes of all its forms together."""
        blocks = blocked_layout(tensor.view, config.lanes).nbytes if self.blocked else 0
        return blocks + (0 if self.window is None else self.window.nbytes)


def input_layouts(tensor: Tensor, readers: Sequence[Operator], config: MachineConfig) -> InputLayouts:
    """The forms in which these operators read a tensor that comes from outside the region."""
    gathering = tuple(each for each in readers if isinstance(each, Convolution) and gathers_windows(each, config))
    if len({(each.pads, each.inputs[0].view, each.inputs[0].zero_byte) for each in gathering}) != 1:
        return InputLayouts(None, (), True)
    seen = gathering[0].inputs[0]
    window = Layout(seen.view, seen.view[1], gathering[0].pads, seen.zero_byte)
    return InputLayouts(window, gathering, len(gathering) < len(readers))


class RegionStorage:
    """Where every tensor of the region lies: inputs and outputs in the io area, the rest in the workspace, but for
    tensors that only the members of one chain need."""

    def __init__(
        self, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, blocked: frozenset[str],
        overlapped: int = 0, chains: Mapping[int, ChainPlan] = NO_CHAINS,
    ) -> None:  # fmt: skip
        self.config = config
        self._overlapped = overlapped
        self.blocked: dict[str, Storage] = {}
        self.raw: dict[str, Storage] = {}
        self.io_bytes = 0
        self._roots: dict[str, str] = {}
        self._tensors: dict[str, Tensor] = {}
        for operator in operators:
            for tensor in (*operator.inputs, operator.output):
                self._tensors[tensor.name] = tensor
            if isinstance(operator, View):
                self._roots[operator.output.name] = self.root(operator.inputs[0].name)
        self.input_bindings = self._bind_inputs(operators, outputs, blocked)
        self.output_bindings = self._bind_outputs(outputs)
        joins = {each.output.name: joined_parts(each, config.lanes) for each in operators}
        self._places = place_parts(operators, joins, self.blocked.keys())
        self.workspace_bytes = self._place_internal(operators, chains)

    def root(self, name: str) -> str:
        """The tensor whose storage this one shares."""
        return self._roots.get(name, name)

    def registers(self, constant_bytes: int) -> list[int]:
        """Base addresses as far apart as the areas are large: what the synchronizer needs to tell them apart."""
        constants = -(-constant_bytes // ALIGNMENT) * ALIGNMENT
        workspace = -(-self.workspace_bytes // ALIGNMENT) * ALIGNMENT
        return [0, constants, constants + workspace]

    def _bind_inputs(
        self, operators: Sequence[Operator], outputs: set[str], blocked: frozenset[str]
    ) -> tuple[TensorBinding, ...]:
        produced = {operator.output.name for operator in operators}
        bindings: list[TensorBinding] = []
        for name, tensor in self._tensors.items():
            if name in produced:
                continue
            computing = [part for operator in operators for part in _computing(operator)]
            readers = [each for each in computing if any(self.root(t.name) == name for t in each.inputs)]
            layouts = InputLayouts(None, (), True)
            if name not in blocked:
                layouts = input_layouts(tensor, readers, self.config)
            if layouts.window is not None:  # under every name by which a view lets a reader see it
                raw = self._add_io(tensor, layouts.window, bindings)
                self.raw.update({reader.inputs[0].name: raw for reader in layouts.gathering})
            leaves = any(self.root(output) == name for output in outputs)
            if layouts.blocked or leaves:
                self.blocked[name] = self._add_io(tensor, blocked_layout(tensor.view, self.config.lanes), bindings)
        return tuple(bindings)

    def _bind_outputs(self, outputs: set[str]) -> tuple[TensorBinding, ...]:
        bindings: list[TensorBinding] = []
        for name in (name for name in self._tensors if name in outputs):
            root = self._tensors[self.root(name)]
            if root.name not in self.blocked:
                self.blocked[root.name] = self._add_io(root, blocked_layout(root.view, self.config.lanes), [])
            storage, tensor = self.blocked[root.name], self._tensors[name]
            bindings.append(
                TensorBinding(name, tensor.shape, tensor.dtype, REGISTER_IO, storage.offset, storage.layout)
            )
        return tuple(bindings)

    def _add_io(self, tensor: Tensor, layout: Layout, bindings: list[TensorBinding]) -> Storage:
        storage = Storage(REGISTER_IO, self.io_bytes, layout)
        bindings.append(TensorBinding(tensor.name, tensor.shape, tensor.dtype, REGISTER_IO, self.io_bytes, layout))
        self.io_bytes += -(-layout.nbytes // ALIGNMENT) * ALIGNMENT
        return storage

    def _viewed(self, root: Storage, tensor: Tensor) -> Storage:
        """The root's bytes under the view's own extents, where these give the same bytes; else as they are stored."""
        if not same_bytes(root.layout.view, tensor.view, self.config.lanes):
            return root
        return Storage(root.register, root.offset, blocked_layout(tensor.view, self.config.lanes))

    def _whole(self, name: str) -> str:
        """The tensor in whose bytes this one lies."""
        root = self.root(name)
        return self._places[root].whole if root in self._places else root

    def _nbytes(self, name: str) -> int:
        return blocked_layout(self._tensors[name].view, self.config.lanes).nbytes

    def _place_internal(self, operators: Sequence[Operator], chains: Mapping[int, ChainPlan]) -> int:
        """All members of a chain count as one step: tiles of its results are stored while its inputs are still read."""
        first_use: dict[str, int] = {}
        last_use: dict[str, int] = {}
        kept: set[str] = set()
        behind = step = 0
        for index, operator in enumerate(operators):
            if index in chains:
                behind = index + len(chains[index].members)
                kept.update({each.output.name for each in chains[index].members} - chains[index].stored)
            step = step if index < behind and index not in chains else index
            for tensor in (*operator.inputs, operator.output):
                if tensor.name not in kept:
                    whole = self._whole(tensor.name)
                    first_use.setdefault(whole, step)
                    last_use[whole] = step
        produced = [name for name in map(self.root, (each.output.name for each in operators)) if name not in kept]
        made = {each.output.name for each in operators}
        lifetimes = [
            Lifetime(name, self._nbytes(name), first_use[name], last_use[name] + self._overlapped)
            for name in dict.fromkeys(map(self._whole, produced))
            if name not in self.blocked and name in made
        ]
        offsets, total = plan_workspace(lifetimes)
        for name, offset in offsets.items():
            layout = blocked_layout(self._tensors[name].view, self.config.lanes)
            self.blocked[name] = Storage(REGISTER_WORKSPACE, offset, layout)
        for name, place in self._places.items():
            if place.whole not in self.blocked:
                continue
            whole_storage, layout = (
                self.blocked[place.whole],
                blocked_layout(self._tensors[name].view, self.config.lanes),
            )
            self.blocked[name] = Storage(whole_storage.register, whole_storage.offset + place.offset, layout)
        for name in self._roots:
            if self.root(name) in self.blocked:  # else it is an input that only window-gathering readers take
                self.blocked[name] = self._viewed(self.blocked[self.root(name)], self._tensors[name])
        return total


def _computing(operator: Operator) -> tuple[Operator, ...]:
    """What reads tensors: the parts of what is fused, and no views."""
    if isinstance(operator, FusedConvolution):
        return (operator.anchor, operator.tail)
    return () if isinstance(operator, View) else (operator,)
