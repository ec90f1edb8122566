"""What an input's answer needs of a dynamic program: the sub-networks on its path, without what only decisions read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from weft.dynamic import Form, FormRunner
from weft.dynamic.types import is_static
from weft.frontend import Model, integerize
from weft.frontend.topology import needed_nodes, used_names
from weft_runtime.interpreter import Decision
from weft_runtime.steps import TensorSignature

__all__ = ["NeededWork", "zeros"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Value:
    """An array, and which outputs of which launches it was made of."""

    array: Any
    makers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Launched:
    """One launch on an input's path: the sub-network's number and what it read."""

    network: int
    inputs: tuple[_Value, ...]


class NeededWork(FormRunner):
    """Follows each input through a narrowed form, and then from its outputs backwards.

    Of every launch only the sub-network's outputs count that lead to this input's answer: at an exit that is not taken
    neither the classifier nor what it alone reads, of a gate nothing. A sub-network that is cut down to these outputs
    costs what `cycles` says of it alone; each is asked for once.
    """

    def __init__(self, form: Form, cycles: Callable[[Model], int]) -> None:
        super().__init__(form.with_networks(tuple(map(integerize, form.networks))))
        self._networks = form.networks
        self._cycles = cycles
        self._known: dict[tuple[int, frozenset[int]], tuple[int, frozenset[int]]] = {}
        self._launched: list[_Launched] = []

    def measure(self, inputs: Mapping[str, Array]) -> tuple[int, tuple[Decision, ...]]:
        """Cycles of the work that the outputs for these inputs need, every launch by itself, and the path."""
        self._launched = []
        results, path = self._interpreter.run({name: _Value(array) for name, array in inputs.items()})
        needed: set[tuple[int, int]] = {maker for value in results for maker in value.makers}
        total = 0
        for index in reversed(range(len(self._launched))):
            wanted = frozenset(place for launch, place in needed if launch == index)
            if wanted:
                cycles, read = self._cut(self._launched[index].network, wanted)
                total += cycles
                needed |= {maker for place in read for maker in self._launched[index].inputs[place].makers}
        return total, path

    def launch(self, network: int, inputs: Sequence[Any]) -> Sequence[Any]:
        """A sub-network's outputs, with where they come from."""
        outputs = super().launch(network, [each.array for each in inputs])
        index = len(self._launched)
        self._launched.append(_Launched(network, tuple(inputs)))
        return [_Value(array, ((index, place),)) for place, array in enumerate(outputs)]

    def scalar(self, value: Any) -> int:
        """The value's only element."""
        return super().scalar(value.array)

    def constant(self, number: int | bool, rank: int) -> Any:
        """An int64 or bool value that no launch made."""
        return _Value(super().constant(number, rank))

    def stack(self, slices: Sequence[Any], each: TensorSignature) -> Any:
        """The slices along a new leading axis, made of what they are made of."""
        makers = tuple(maker for one in slices for maker in one.makers)
        return _Value(super().stack([one.array for one in slices], each), makers)

    def _cut(self, network: int, wanted: frozenset[int]) -> tuple[int, frozenset[int]]:
        """Cycles of a sub-network with only these outputs, and which inputs it then reads."""
        if (network, wanted) not in self._known:
            whole = self._networks[network]
            model = _with_outputs(whole, wanted)
            names = {value.name for value in model.proto.graph.input}
            read = frozenset(place for place, value in enumerate(whole.proto.graph.input) if value.name in names)
            runs = model.proto.graph.node and all(is_static(value.type) for value in model.proto.graph.input)
            self._known[network, wanted] = (self._cycles(model) if runs else 0, read)
        return self._known[network, wanted]


def _with_outputs(model: Model, places: frozenset[int]) -> Model:
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    graph = proto.graph
    outputs = [value for place, value in enumerate(graph.output) if place in places]
    nodes = needed_nodes(list(graph.node), {value.name for value in outputs})
    used = {name for node in nodes for name in used_names(node)} | {value.name for value in outputs}
    inputs = [value for value in graph.input if value.name in used]
    weights = [each for each in graph.initializer if each.name in used]
    for field, kept in ((graph.output, outputs), (graph.node, nodes), (graph.input, inputs)):
        kept = [type(each).FromString(each.SerializeToString()) for each in kept]
        del field[:]
        field.extend(kept)
    weights = [onnx.TensorProto.FromString(each.SerializeToString()) for each in weights]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    return model.with_proto(proto)


def zeros(model: Model) -> dict[str, Array]:
    """Inputs of known extents, for a model without any control flow: what it takes does not depend on them."""
    shapes = {each.name: tuple(int(extent) for extent in each.shape) for each in model.inputs}
    return {each.name: np.zeros(shapes[each.name], each.dtype) for each in model.inputs}
