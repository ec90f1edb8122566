"""Branches that depend on data, recorded as `cond` nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from weft.frontend.torch.effects import Guard
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import Pair, Slot, merge
from weft.frontend.torch.program import COND
from weft.frontend.torch.recorder import Recorder, Region
from weft.frontend.torch.scalars import Scalar

MAX_DEPTH = 24
Body = Callable[..., Any]


def predicate(value: torch.Tensor | Scalar) -> torch.Tensor:
    """The truth value of a tensor of one element as a bool tensor of shape ()."""
    tensor = value.tensor if isinstance(value, Scalar) else value
    if tensor.numel() != 1:
        raise refuse(
            f"the truth value of a tensor of shape {list(tensor.shape)} is "
            "undefined; each sample takes its own path, so give "
            "from_torch one sample, or reduce with any() or all()"
        )
    tensor = tensor.reshape(())
    return tensor if tensor.dtype is torch.bool else tensor != 0


def branch(recorder: Recorder, test: Any, then: Body, other: Body, state: tuple[Any, ...], names: Sequence[Any]) -> Any:
    """What `then(*state)` gives where `test` holds, else what `other(*state)` gives.

    A state's element i is named `names[i]` in messages. Both paths are recorded, on copies of the state.
    """
    if recorder.region.depth >= MAX_DEPTH:
        raise refuse(
            f"decisions on data are nested deeper than {MAX_DEPTH} levels here (recursion or an unrolled loop)"
        )
    condition = predicate(test)
    regions: list[Region] = []
    values: list[Any] = []
    for path in (then, other):
        region = Region(recorder.region)
        with recorder.inside(region), Guard(recorder):
            values.append(path(*copied(recorder, state)))
        regions.append(region)
    pairs, structure = merge(values[0], values[1], names if names else "the result")
    return _emit(recorder, condition, regions, pairs, structure)


def copied(recorder: Recorder, state: Sequence[Any]) -> tuple[Any, ...]:
    """The state as a path may change it: tensors of its own, containers of its own."""
    seen: dict[int, torch.Tensor] = {}

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in seen:
            seen[id(tensor)] = recorder.own_copy(tensor)
        return seen[id(tensor)]

    return tuple(pytree.tree_map_only(torch.Tensor, copy, each) for each in state)


def _emit(
    recorder: Recorder, condition: torch.Tensor, regions: Sequence[Region], pairs: Sequence[Pair], structure: Any
) -> Any:
    results: list[list[torch.Tensor]] = []
    for region, leaves in zip(regions, ([pair.one for pair in pairs], [pair.other for pair in pairs]), strict=True):
        with recorder.inside(region):
            tensors = [
                recorder.fake(pair.merged.tensor(leaf))
                for pair, leaf in zip(pairs, leaves, strict=True)
                if isinstance(pair.merged, Slot)
            ]
            for tensor in tensors:
                recorder.node(tensor)
        results.append(tensors)
    outputs = iter(_node(recorder, condition, regions, results) if results[0] else ())
    leaves = [pair.merged.leaf(next(outputs)) if isinstance(pair.merged, Slot) else pair.merged.value for pair in pairs]
    return pytree.tree_unflatten(leaves, structure)


def _node(
    recorder: Recorder, condition: torch.Tensor, regions: Sequence[Region], results: Sequence[Sequence[torch.Tensor]]
) -> list[torch.Tensor]:
    operands = list({key: each for region in regions for key, each in region.captured.items()}.values())
    blocks = [recorder.close(*pair, operands) for pair in zip(regions, results, strict=True)]
    bodies = [recorder.body(block) for block in blocks]
    given = [recorder.operand(each) for each in operands]
    graph: fx.Graph = recorder.region.graph
    for region in regions:
        recorder.leave(region)
    node = graph.call_function(COND, (recorder.operand(condition), *bodies, given))
    node.meta["val"] = tuple(results[0])
    return [recorder.new_result(node, index, like, (like, results[1][index])) for index, like in enumerate(results[0])]


__all__ = ["branch", "copied", "predicate"]
