"""What is fused into a convolution's epilogue: an element-wise operator whose other operand is there already."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from weft.codegen.convolution_plan import choose_tile
from weft.codegen.elementwise import pair_constants
from weft.ir.joined import JoinedConvolution
from weft.ir.operators import BinaryKind, Convolution, Elementwise, Operator, Tensor, View
from weft_sim.machine import MachineConfig

__all__ = ["fuse_joins"]


def fuse_joins(operators: Sequence[Operator], outputs: set[str], config: MachineConfig) -> tuple[Operator, ...]:
    """Joins of a convolution's result with another tensor (residual additions) become part of the convolution, which
    then stands at the join's place.

    Not fused: a result that something else reads or that leaves the region, operands of different layout, a subtraction
    from the other tensor, and a join whose division needs passes of its own.
    """
    readers = Counter(tensor.name for operator in operators for tensor in operator.inputs)
    producers = {operator.output.name: operator for operator in operators}
    fused: dict[str, JoinedConvolution] = {}
    gone: set[str] = set()
    for operator in operators:
        if not isinstance(operator, Elementwise) or operator.per_channel or operator.constant is not None:
            continue
        for position in (1, 0):
            tensor = operator.inputs[position]
            anchor = producers.get(tensor.name)
            alone = readers[tensor.name] == 1 and tensor.name not in outputs
            if not alone or not isinstance(anchor, Convolution) or isinstance(producers.get(anchor.output.name), View):
                continue
            joined = _join(anchor, operator, position, producers)
            if joined is not None and choose_tile(joined, joined.inputs[0].view, config, gather=False) is not None:
                fused[operator.name] = joined
                gone.add(anchor.name)
                break
    return tuple(fused.get(operator.name, operator) for operator in operators if operator.name not in gone)


def _join(
    anchor: Convolution, join: Elementwise, position: int, producers: dict[str, Operator]
) -> JoinedConvolution | None:
    """The convolution with its result as operand a of the join, or None where that cannot be."""
    other = join.inputs[1 - position]
    if position == 1:
        if join.kind == BinaryKind.SUBTRACT:
            return None
        join = dataclasses.replace(join, inputs=(join.inputs[1], join.inputs[0]), second=join.inputs[0])
    if isinstance(producers.get(other.name), View) or not _alike(anchor.output, other, join.output):
        return None
    if isinstance(anchor, JoinedConvolution) or pair_constants(join) is None:
        return None
    fields = {field.name: getattr(anchor, field.name) for field in dataclasses.fields(Convolution)}
    fields |= {"nodes": (*anchor.nodes, *join.nodes), "inputs": (anchor.inputs[0], other), "output": join.output}
    return JoinedConvolution(**fields, between=anchor.output, join=join)


def _alike(*tensors: Tensor) -> bool:
    return len({(tensor.view, tensor.form) for tensor in tensors}) == 1
