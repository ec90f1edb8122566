"""A simple memory plan for backends: every tensor in one place for as long as it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from weft.backends.interface import RegionRequest
from weft.codegen.storage import Storage
from weft.codegen.workspace import Lifetime, plan_workspace
from weft.ir.operators import Tensor
from weft_runtime.executable import REGISTER_IO, REGISTER_WORKSPACE, Layout, TensorBinding

__all__ = ["ALIGNMENT", "RegionStorage", "plan_storage"]

ALIGNMENT = 64
"""Every tensor and constant starts on this boundary."""


@dataclass
class RegionStorage:
    """Where the tensors of a region lie: inputs and outputs in the input/output area, the others in the workspace,
    where those that are not needed at the same time share bytes. `constants` grows with `add_constant`."""

    tensors: dict[str, Storage]
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    io_bytes: int
    workspace_bytes: int
    constants: bytearray = field(default_factory=bytearray)

    def add_constant(self, data: bytes) -> int:
        """Its offset from the base of the constants."""
        offset = len(self.constants)
        self.constants += data + bytes(-len(data) % ALIGNMENT)
        return offset


def plan_storage(request: RegionRequest, layout_of: Callable[[Tensor], Layout]) -> RegionStorage:
    """Places every tensor of the region in the layout that the backend wants it in."""
    given = {operator.output.name for operator in request.operators}
    tensors = {tensor.name: tensor for operator in request.operators for tensor in (*operator.inputs, operator.output)}
    places: dict[str, Storage] = {}
    cursor = 0
    for name, tensor in tensors.items():
        if name not in given or name in request.outputs:
            layout = layout_of(tensor)
            places[name] = Storage(REGISTER_IO, cursor, layout)
            cursor += _aligned(layout.nbytes)
    last = {
        tensor.name: index
        for index, operator in enumerate(request.operators)
        for tensor in (*operator.inputs, operator.output)
    }
    lifetimes = [
        Lifetime(name, layout_of(operator.output).nbytes, index, last[name])
        for index, operator in enumerate(request.operators)
        if (name := operator.output.name) not in places
    ]
    offsets, workspace = plan_workspace(lifetimes)
    places |= {name: Storage(REGISTER_WORKSPACE, offset, layout_of(tensors[name])) for name, offset in offsets.items()}

    def bind(name: str) -> TensorBinding:
        tensor, place = tensors[name], places[name]
        return TensorBinding(name, tensor.shape, tensor.dtype, REGISTER_IO, place.offset, place.layout)

    inputs = tuple(bind(name) for name in tensors if name not in given)
    outputs = tuple(bind(name) for name in tensors if name in given and name in request.outputs)
    return RegionStorage(places, inputs, outputs, cursor, workspace)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
