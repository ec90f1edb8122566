"""Compiled programs against the oracle on many inputs: outputs bit for bit, and paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from oracle import Oracle, Path, Values

import weft
from weft.dynamic import integer_graph, split
from weft.frontend import Model, normalize
from weft.program import Program
from weft_runtime.control import Block, Branch, Loop


def agreed(
    quantized: Model, programs: Sequence[Program], samples: Sequence[Mapping[str, np.ndarray]], others: int
) -> tuple[list[Values], dict[str, Counter[str]]]:
    """Runs the first program on all samples, the other ones on the first `others`, and asserts that all give the
    oracle's bits on the oracle's path. Gives the oracle's outputs, and of each decision how often each outcome came.

    An If in which nothing is multiplied is a host node, and no decision in a session's path; its outcomes count all the
    same."""
    form = split(normalize(quantized)).form
    assert form is not None
    opened = set(decisions(form.body))
    oracle = Oracle(integer_graph(normalize(quantized)).proto)
    answers: list[Values] = []
    outcomes: dict[str, Counter[str]] = {}
    sessions = [weft.Session(program) for program in programs]
    try:
        for index, feeds in enumerate(samples):
            wanted, path = oracle.run(feeds)
            for session in sessions if index < others else sessions[:1]:
                found = session.run(feeds)
                taken = [(step.name, step.outcome) for step in session.profile.paths[0]]
                assert taken == [step for step in path if step[0] in opened]
                for key, array in wanted.items():
                    np.testing.assert_array_equal(found[key], array)
            answers.append(wanted)
            count_outcomes(outcomes, path)
    finally:
        for session in sessions:
            session.close()
    return answers, outcomes


def decisions(block: Block) -> Iterator[str]:
    """The names of all Ifs and Loops of a program."""
    for statement in block.statements:
        if isinstance(statement, Branch):
            yield statement.name
            yield from decisions(statement.then)
            yield from decisions(statement.otherwise)
        elif isinstance(statement, Loop):
            yield statement.name
            yield from decisions(statement.body)


def count_outcomes(outcomes: dict[str, Counter[str]], path: Path) -> None:
    for node, outcome in path:
        outcomes.setdefault(node, Counter())[outcome] += 1


def assert_all_taken(outcomes: Mapping[str, Counter[str]]) -> None:
    """Both branches of every If by at least 5 % of those that come to it, and at least one decision differs."""
    for node, counts in outcomes.items():
        if {"then", "else"} & counts.keys():
            assert len(counts) == 2 and min(counts.values()) >= 0.05 * counts.total(), (node, counts)
    assert any(len(counts) > 1 for counts in outcomes.values())
