"""The optimum is an optimum: minimum cut and integer program against every possible assignment."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from weft.bench.partition import random_problem
from weft.errors import CompileError
from weft.partition.assignment import Problem, Tensor, Unit, assign
from weft.partition.assignment.integer_program import solve_integer_program


def brute_force(problem: Problem) -> int | None:
    places = range(len(problem.processors))
    costs = (problem.cost(choice) for choice in itertools.product(places, repeat=len(problem.units)))
    return min((cost for cost in costs if cost is not None), default=None)


def small_problem(seed: int, processors: int, units: int) -> Problem:
    """Small numbers, so that ties are frequent, or large ones that need more than 32 bits; some moves impossible."""
    most = (9, 1000, 1 << 20, 1 << 43)[seed % 4]
    problem = random_problem(1 + seed % units, processors, seed, most=most, reach=6)
    draw = random.Random(seed)
    if seed % 5:
        return problem
    tensors = [
        dataclasses.replace(
            tensor,
            moves=tuple(tuple(None if cost and draw.random() < 0.2 else cost for cost in row) for row in tensor.moves),
        )
        for tensor in problem.tensors
    ]
    return dataclasses.replace(problem, tensors=tuple(tensors))


def check_optimum(problem: Problem) -> None:
    wanted = brute_force(problem)
    if wanted is None:
        with pytest.raises(CompileError, match="no assignment is possible"):
            assign(problem)
        return
    found = assign(problem)
    assert found.optimal and found.cost == problem.cost(found.choice) == wanted


def test_minimum_cut_equals_brute_force_on_500_graphs() -> None:
    for seed in range(500):
        check_optimum(small_problem(seed, 2, 9))


def test_integer_program_equals_brute_force_with_three_processors() -> None:
    for seed in range(60):
        check_optimum(small_problem(seed - seed % 4 + seed % 3, 3, 6))


def test_both_ways_agree_beyond_brute_force() -> None:
    for seed in range(5):
        problem = random_problem(120, 2, seed, most=10_000)
        assert assign(problem).cost == solve_integer_program(problem).cost


def test_ten_thousand_units() -> None:
    """No seconds are asserted (`weft bench partition` prints them); the answer must beat every uniform choice, and no
    single unit may improve it by changing sides."""
    problem = random_problem(10_000, 2, 0)
    found = assign(problem)
    assert problem.cost(found.choice) == found.cost
    for place in range(2):
        uniform = tuple(place if unit.costs[place] is not None else 1 - place for unit in problem.units)
        other = problem.cost(uniform)
        assert other is not None and found.cost <= other
    touching: dict[int, list[Tensor]] = {}
    for tensor in problem.tensors:
        for index in {tensor.producer, *tensor.readers}:
            touching.setdefault(index, []).append(tensor)
    for index in random.Random(1).sample(range(10_000), 300):
        if problem.units[index].costs[1 - found.choice[index]] is None:
            continue
        around = dataclasses.replace(problem, tensors=tuple(touching.get(index, ())))
        changed = list(found.choice)
        changed[index] = 1 - changed[index]
        before, after = around.cost(found.choice), around.cost(changed)
        assert before is not None and after is not None and before <= after


def test_a_tensor_is_paid_once_for_all_its_readers() -> None:
    """Three readers at 4 saved each are worth one move of 10, and two are not."""
    moves = ((0, 10), (10, 0))
    units = (Unit("a", (0, None)), *(Unit(f"r{index}", (5, 1)) for index in range(3)))
    for readers, place in ((3, 1), (2, 0)):
        tensor = Tensor("t", 0, tuple(range(1, 1 + readers)), moves)
        found = assign(Problem(("host", "accelerator"), units[: 1 + readers], (tensor,)))
        assert found.choice == (0, *[place] * readers)


def test_ties_go_to_the_first_processor() -> None:
    tensor = Tensor("t", 0, (1,), ((0, 0), (0, 0)))
    assert assign(Problem(("host", "x"), (Unit("a", (3, 3)), Unit("b", (2, 2))), (tensor,))).choice == (0, 0)


def test_pins_and_impossible_ones() -> None:
    problem = Problem(("host", "x"), (Unit("a", (1, 9)), Unit("b", (1, None))), ())
    assert assign(problem.pinned({0: 1})).choice == (1, 0)
    with pytest.raises(CompileError, match="no processor can run 'b'"):
        assign(problem.pinned({1: 1}))


def test_empty_problem() -> None:
    for count in (1, 2, 3):
        assert assign(Problem(tuple("abc"[:count]), (), ())).choice == ()


@pytest.mark.parametrize(
    ("units", "tensors", "reason"),
    [
        ((Unit("a", (1,)),), (), "needs 2 costs"),
        ((Unit("a", (1, -1)),), (), "whole numbers"),
        ((Unit("a", (1, 1 << 60)),), (), "whole numbers"),
        ((Unit("a", (1, 1)),), (Tensor("t", 0, (1,), ((0, 1), (1, 0))),), "does not exist"),
        ((Unit("a", (1, 1)),), (Tensor("t", 0, (), ((0, 1),)),), "2 × 2"),
        ((Unit("a", (1, 1)),), (Tensor("t", 0, (), ((1, 1), (1, 0))),), "must cost 0"),
    ],
)
def test_malformed_problems_are_refused(units: tuple[Unit, ...], tensors: tuple[Tensor, ...], reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        Problem(("host", "x"), units, tensors)
