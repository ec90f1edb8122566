"""Takes out what no result needs: operators, outputs of branches, values that loops carry for nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from torch import fx

from weft.frontend.torch.program import COND, WHILE_LOOP, Block, changes_in_place


def prune(block: Block) -> None:
    """Prunes a block and all within it, in place. Changes in place within a block and what they read stay."""
    for node in reversed(list(block.graph.nodes)):
        if node.op not in ("call_function", "get_attr"):
            continue
        if not node.users and not changes_in_place(node):
            block.graph.erase_node(node)
        elif node.target is COND:
            _prune_branches(block, node)
        elif node.target is WHILE_LOOP:
            _prune_loop(block, node)


def _prune_branches(block: Block, node: fx.Node) -> None:
    used = _used_outputs(node)
    for body in node.args[1:3]:
        inner = _inner(block, body)
        _keep_outputs(inner, used)
        prune(inner)
    _renumber(node, used)


def _prune_loop(block: Block, node: fx.Node) -> None:
    test, body = (_inner(block, each) for each in node.args[:2])
    carried = cast(Sequence[Any], node.args[2])
    prune(test)
    needed = set(_used_outputs(node)) | _entering(test, _outputs(test), len(carried))
    while True:
        wider = needed | _entering(body, [_outputs(body)[index] for index in needed], len(carried))
        if wider == needed:
            break
        needed = wider
    kept = sorted(needed)
    _keep_outputs(body, kept)
    prune(body)
    for inner in (test, body):
        for index, placeholder in enumerate(inner.placeholders[: len(carried)]):
            if index not in needed:
                inner.graph.erase_node(placeholder)
    node.args = (*node.args[:2], tuple(carried[index] for index in kept), *node.args[3:])
    _renumber(node, kept)


def _inner(block: Block, node: Any) -> Block:
    return block.blocks[str(node.target)]


def _used_outputs(node: fx.Node) -> list[int]:
    return sorted({_output_number(user) for user in node.users})


def _output_number(user: fx.Node) -> int:
    """Which output an operator.getitem node takes."""
    return cast(int, user.args[1])


def _outputs(block: Block) -> list[Any]:
    results = next(node for node in block.graph.nodes if node.op == "output").args[0]
    return list(results) if isinstance(results, tuple | list) else [results]


def _keep_outputs(block: Block, kept: Iterable[int]) -> None:
    output = next(node for node in block.graph.nodes if node.op == "output")
    results = _outputs(block)
    output.args = (tuple(results[index] for index in kept),)


def _renumber(node: fx.Node, kept: Sequence[int]) -> None:
    for user in list(node.users):
        user.args = (node, kept.index(_output_number(user)))
    node.meta["val"] = tuple(node.meta["val"][index] for index in kept)


def _entering(block: Block, ends: Iterable[Any], count: int) -> set[int]:
    """Which of the first `count` placeholders lead to `ends`."""
    changing = [node for node in block.graph.nodes if changes_in_place(node)]
    found: set[fx.Node] = set()
    pending = [end for end in (*ends, *changing) if isinstance(end, fx.Node)]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += node.all_input_nodes
    return {index for index, node in enumerate(block.placeholders[:count]) if node in found}
