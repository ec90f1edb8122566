"""If whose condition is known replaced by the branch that is taken."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from weft.errors import ModelError
from weft.frontend.graph import Graph, is_standard
from weft.frontend.model import Model
from weft.frontend.passes.fold_constants import FoldConstants
from weft.frontend.passes.lift_constants import LiftConstants
from weft.frontend.passes.remove_identities import RemoveIdentities
from weft.frontend.renaming import renamed
from weft.frontend.session import reference_session

ROUNDS = 32


@dataclass(frozen=True)
class InlineConditions:
    """Folds constants and puts the taken branch in the place of each If whose condition became one, until none is
    left, 32 times at most (exporters ask for ranks and extents this way). Any other If stays whole, for the host.

    A branch's tensors get shapes only once it stands in the graph, and ONNX Runtime is stricter about shapes that it
    knows; where it refuses the result, the model stays as it is.
    """

    name: str = "inline-conditions"

    def run(self, model: Model) -> Model:
        inlined = _inlined(model)
        if inlined is model:
            return model
        settled = FoldConstants().run(RemoveIdentities().run(inlined))
        try:
            reference_session(settled)
        except ModelError:
            return model
        return settled


def _inlined(model: Model) -> Model:
    current = result = model
    # A round takes one level of nesting away; what lies deeper stays whole.
    for _ in range(ROUNDS if any(is_standard(node, "If") for node in model.proto.graph.node) else 0):
        current = FoldConstants().run(LiftConstants().run(current))
        graph = Graph(current)
        known = [node for node in graph.nodes if is_standard(node, "If") and _branch(graph, node) is not None]
        if not known:
            break
        for node in known:
            _inline(graph, node)
        current = result = graph.finish()
    return result


def _branch(graph: Graph, node: onnx.NodeProto) -> onnx.GraphProto | None:
    """The branch that is taken, or None where that is not known or the branch is not plain."""
    condition = graph.constant(node.input[0]) if node.input else None
    if condition is None or condition.size != 1:
        return None
    wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    branches = [attribute.g for attribute in node.attribute if attribute.name == wanted]
    if len(branches) != 1 or len(branches[0].output) != len(node.output):
        return None
    return None if branches[0].input or branches[0].sparse_initializer else branches[0]


def _inline(graph: Graph, node: onnx.NodeProto) -> None:
    branch = _branch(graph, node)
    if branch is None:
        return
    inner = [tensor.name for tensor in branch.initializer]
    inner += [name for each in branch.node for name in each.output if name]
    names = {name: graph.fresh(name) for name in inner}
    graph.remove(node)
    for tensor in branch.initializer:
        constant = onnx.TensorProto()
        constant.CopyFrom(tensor)
        constant.name = names[tensor.name]
        graph.constants[constant.name] = constant
    for each in branch.node:
        copy = renamed(each, names)
        copy.name = graph.fresh_node_name(each.name or f"{node.name}_{each.op_type}")
        graph.add(copy)
    for output, result in zip(node.output, branch.output, strict=True):
        if output:
            source = names.get(result.name, result.name)
            graph.add(helper.make_node("Identity", [source], [output], name=graph.fresh_node_name(f"{output}_value")))
