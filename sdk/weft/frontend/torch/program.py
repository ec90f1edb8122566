"""A captured PyTorch program: operator graphs with control-flow nodes whose bodies are such graphs again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import fx

COND = torch.ops.higher_order.cond
WHILE_LOOP = torch.ops.higher_order.while_loop
SCAN = torch.ops.higher_order.scan
# How `torch.tensor(…)` within a program stands in its graph; the constant itself is meant.
CONSTANT_COPIES = {torch.ops.aten.lift_fresh_copy.default, torch.ops.aten.detach_.default}


@dataclass(frozen=True)
class Block:
    """One operator graph.

    Its nodes are placeholders, `call_function` nodes of ATen operators, of `operator.getitem` and of the higher-order
    operators `cond`, `while_loop` and `scan`, `get_attr` nodes, and one output. A `get_attr` node names a body in
    `blocks` or a tensor in `tensors`. Every node with a value has an example of it (dtype, shape) in `meta["val"]`.
    """

    graph: fx.Graph
    blocks: Mapping[str, Block] = field(default_factory=dict)
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def placeholders(self) -> tuple[fx.Node, ...]:
        """The graph's placeholders in order."""
        return tuple(node for node in self.graph.nodes if node.op == "placeholder")


@dataclass(frozen=True)
class CapturedProgram:
    """A whole program: the main block, which of its placeholders are weights, and the names of the others.

    `weights` maps placeholders' names to (name in the module, tensor). `inputs` names the other placeholders in order.
    """

    block: Block
    weights: Mapping[str, tuple[str, torch.Tensor]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str


def changes_in_place(node: fx.Node) -> bool:
    """Whether a node's operator changes one of its arguments."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)
