"""Liveness over the control-flow form: after which statement a value is needed no more."""

from __future__ import annotations

from weft_runtime.control import Block, Branch, Loop, Statement, blocks_within, read_by, written_by

__all__ = ["Expiry", "expiry"]

Expiry = dict[tuple[int, int], tuple[str, ...]]
"""By block (its `id`) and position of a statement: the values that die there."""


def expiry(body: Block) -> Expiry:
    """Of each statement, the values that nothing reads after it.

    Backwards through each block: live before = read + (live after − written). What a loop's body reads from outside is
    live throughout the loop; its results are live at its end.
    """
    found: Expiry = {}
    _visit(body, frozenset(body.results), found)
    return found


def _visit(block: Block, live_after: frozenset[str], found: Expiry) -> frozenset[str]:
    """The values that are live before a block, given those that are live behind it."""
    live = live_after | set(block.results)
    for position in reversed(range(len(block.statements))):
        statement = block.statements[position]
        before = _before(statement, live, found)
        known = before | set(written_by(statement)) | _made_within(statement)
        found[id(block), position] = tuple(sorted(known - live))
        live = before
    return live


def _before(statement: Statement, live: frozenset[str], found: Expiry) -> frozenset[str]:
    outer = live - set(written_by(statement))
    match statement:
        case Branch():
            inner = _visit(statement.then, outer, found) | _visit(statement.otherwise, outer, found)
            return inner | {statement.condition}
        case Loop():
            body = statement.body
            free = _reads(body) - _made(body) - set(statement.parameters) - {statement.index, statement.going}
            # Whatever the body takes from outside must be there again in the next iteration.
            _visit(body, outer | free, found)
            return outer | free | set(read_by(statement))
    return outer | set(read_by(statement))


def _reads(block: Block) -> frozenset[str]:
    """Every name that is read anywhere in a block."""
    names = set(block.results)
    for statement in block.statements:
        names.update(read_by(statement))
        if isinstance(statement, Loop):
            names.add(statement.proceed)
        for inner in blocks_within(statement):
            names |= _reads(inner)
    return frozenset(names)


def _made(block: Block) -> frozenset[str]:
    """Every name that is assigned anywhere in a block."""
    names: set[str] = set()
    for statement in block.statements:
        names.update(written_by(statement))
        names |= _made_within(statement)
    return frozenset(names)


def _made_within(statement: Statement) -> frozenset[str]:
    names = frozenset[str]().union(*(_made(inner) for inner in blocks_within(statement)))
    if isinstance(statement, Loop):
        names |= {*statement.parameters, statement.index, statement.going}
    return names
