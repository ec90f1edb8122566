"""Which names of a program stand for the same storage: what a branch returns, what a loop hands on."""

from __future__ import annotations

from weft_runtime.control import Block, Branch, Loop, statements_within

__all__ = ["shared_names"]


def shared_names(body: Block) -> dict[str, str]:
    """For each name that a branch or loop hands on under another, the name that stands for its group. Names that are
    not there are groups of their own. What a loop collects is stored as each of its slices is."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents.setdefault(name, name) != name:
            name = parents[name]
        return name

    def join(*names: str) -> None:
        for name in names[1:]:
            parents[root(name)] = root(names[0])

    for statement in statements_within(body):
        match statement:
            case Branch():
                for names in zip(
                    statement.results, statement.then.results, statement.otherwise.results, strict=True
                ):  # fmt: skip
                    join(*names)
            case Loop():
                handed_on = statement.body.results[: len(statement.results)]
                for state in zip(
                    statement.results, statement.initial, statement.parameters, handed_on, strict=True
                ):  # fmt: skip
                    join(*state)
                collected = statement.body.results[len(statement.results) :]
                for name, each in zip(collected, statement.stacked, strict=True):
                    join(name, each.name)
    return {name: root(name) for name in list(parents)}
