"""Rewriting of statements: other names read, other sub-networks launched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar, Statement

__all__ = ["with_networks", "with_reads"]


def with_reads(block: Block, names: Mapping[str, str]) -> Block:
    """The block reading, and returning, other values in place of those named; what is assigned keeps its name."""
    statements = tuple(_reading(statement, names) for statement in block.statements)
    return Block(statements, _renamed(block.results, names))


def with_networks(block: Block, numbers: Mapping[int, int]) -> Block:
    """The block launching sub-networks under other numbers."""
    return Block(tuple(_launching(statement, numbers) for statement in block.statements), block.results)


def _reading(statement: Statement, names: Mapping[str, str]) -> Statement:
    match statement:
        case Launch():
            return replace(statement, inputs=_renamed(statement.inputs, names))
        case ReadScalar():
            return replace(statement, value=names.get(statement.value, statement.value))
        case Branch():
            then, otherwise = with_reads(statement.then, names), with_reads(statement.otherwise, names)
            return replace(statement, then=then, otherwise=otherwise)
        case Loop():
            initial = _renamed(statement.initial, names)
            return replace(statement, initial=initial, body=with_reads(statement.body, names))


def _launching(statement: Statement, numbers: Mapping[int, int]) -> Statement:
    match statement:
        case Launch():
            return replace(statement, network=numbers[statement.network])
        case Branch():
            then, otherwise = with_networks(statement.then, numbers), with_networks(statement.otherwise, numbers)
            return replace(statement, then=then, otherwise=otherwise)
        case Loop():
            return replace(statement, body=with_networks(statement.body, numbers))
    return statement


def _renamed(given: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(name, name) for name in given)
