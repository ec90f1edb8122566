"""What is fused into a convolution's epilogue: residual connections and functions of one value."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

from weft.codegen.convolution_plan import choose_tile, gathers_windows
from weft.codegen.elementwise import pair_constants
from weft.ir.fused import FusedConvolution
from weft.ir.operators import BinaryKind, Convolution, Elementwise, Operator, TableLookup, Tensor, View, same_bytes
from weft_sim.machine import MachineConfig

__all__ = ["fuse_epilogues"]


def fuse_epilogues(
    operators: Sequence[Operator], outputs: set[str], config: MachineConfig, kept: Collection[str] = ()
) -> tuple[Operator, ...]:
    """Joins of a convolution's result with another tensor (residual additions) and functions of it (tables) become part
    of the convolution, which then stands at their place; so do the views between the two.

    Not fused: a result that something else reads or that leaves the region, operands of different layout, a subtraction
    from the other tensor, a join whose division needs passes of its own, what leaves no tile that fits, and operators
    whose names are in `kept`.
    """
    return _Fusion(operators, outputs, config, kept).run()


class _Fusion:
    def __init__(
        self, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, kept: Collection[str]
    ) -> None:
        self.operators, self.outputs, self.config, self.kept = operators, outputs, config, kept
        self.readers = Counter(tensor.name for operator in operators for tensor in operator.inputs)
        self.producers = {operator.output.name: operator for operator in operators}

    def run(self) -> tuple[Operator, ...]:
        """The operators, those that are fused as one."""
        fused: dict[str, FusedConvolution] = {}
        gone: set[str] = set()
        for operator in self.operators:
            if operator.name in self.kept:
                continue
            for position in (1, 0) if isinstance(operator, Elementwise) else (0,):
                behind = self._behind(operator, position)
                joined = None if behind is None else self._fuse(behind[0], operator, position)
                if behind is not None and joined is not None and behind[0].name not in gone:
                    fused[operator.name] = joined
                    gone |= {behind[0].name, *behind[1]}
                    break
        return tuple(fused.get(each.name, each) for each in self.operators if each.name not in gone)

    def _behind(self, operator: Operator, position: int) -> tuple[Convolution, list[str]] | None:
        """The convolution whose result is the operand, if nothing else reads it, and the views between."""
        if not isinstance(operator, Elementwise | TableLookup) or position >= len(operator.inputs):
            return None
        tensor, views = operator.inputs[position], list[str]()
        while self.readers[tensor.name] == 1 and tensor.name not in self.outputs:
            producer = self.producers.get(tensor.name)
            if producer is None or producer.name in self.kept:
                return None
            if isinstance(producer, Convolution):
                return producer, views
            if not isinstance(producer, View) or producer.inputs[0].view != producer.output.view:
                return None
            tensor = producer.inputs[0]
            views.append(producer.name)
        return None

    def _fuse(
        self, anchor: Convolution, tail: Elementwise | TableLookup | Operator, position: int
    ) -> FusedConvolution | None:
        inputs = anchor.inputs[:1]
        match tail:
            case Elementwise():
                other = tail.inputs[1 - position] if len(tail.inputs) == 2 else None
                if other is None or tail.per_channel or not self._stored_as_is(other, tail.output):
                    return None
                if position == 1 and tail.kind == BinaryKind.SUBTRACT:
                    return None
                if position == 1:
                    tail = dataclasses.replace(tail, inputs=(tail.inputs[1], other), second=other)
                if pair_constants(tail) is None:
                    return None
                inputs = (inputs[0], other)
            case TableLookup():
                pass
            case _:
                return None
        if isinstance(anchor, FusedConvolution) or anchor.output.view != tail.output.view:
            return None
        if len(inputs) > 1 and gathers_windows(anchor, self.config):
            return None  # a gathered input lies in rows, the other operand in blocks, and they may be the same tensor
        fields = {field.name: getattr(anchor, field.name) for field in dataclasses.fields(Convolution)}
        fields |= {"nodes": (*anchor.nodes, *tail.nodes), "inputs": inputs, "output": tail.output}
        fused = FusedConvolution(**fields, between=anchor.output, tail=tail)
        fits = choose_tile(fused, fused.inputs[0].view, self.config, gather=False) is not None
        return fused if fits else None

    def _stored_as_is(self, tensor: Tensor, output: Tensor) -> bool:
        """Whether the tensor's bytes lie like the output's: it is no view of something stored in another way."""
        if tensor.view != output.view:
            return False
        while isinstance(producer := self.producers.get(tensor.name), View):
            tensor = producer.inputs[0]
            if not same_bytes(tensor.view, producer.output.view, self.config.lanes):
                return False
        return True
