"""Any number of processors: the assignment as an integer program, solved to proven optimality by HiGHS."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from weft.errors import CompileError
from weft.partition.assignment.problem import Assignment, Problem, Tensor

__all__ = ["solve_integer_program"]

MOST_NODES = 10_000
"""Branch-and-bound nodes after which the best assignment is taken: a count, so equal inputs give equal answers."""

LARGEST = 1e6
"""The largest cost as HiGHS sees it: it works with absolute tolerances of 1e-6 in double precision."""


def solve_integer_program(problem: Problem) -> Assignment:
    """The cheapest assignment, in the multi-commodity form, whose linear relaxation is tight.

    x[u, p] is 1 where unit u runs on p. y[t, p, q] is 1 where tensor t is made on p and read on q:
    Σ_p y[t, p, q] ≥ x[r, q] for every reader r, and y[t, p, q] ≤ x[producer, p]. Exact up to HiGHS's tolerances (1e-6
    of the largest cost); the cost returned is computed in whole numbers from the assignment.
    Raises CompileError if no assignment is possible.
    """
    if not problem.units:
        return Assignment((), 0)
    program = _Program(problem)
    result = milp(
        program.objective, constraints=program.constraints(), bounds=Bounds(np.zeros(program.size), program.upper),
        integrality=program.integrality, options={"mip_rel_gap": 0.0, "node_limit": MOST_NODES},
    )  # fmt: skip
    if result.x is None:
        raise CompileError(f"no assignment is possible, or none was found: {result.message}")
    count = len(problem.processors)
    placed = result.x[: len(problem.units) * count].reshape(-1, count)
    choice = tuple(int(place) for place in placed.argmax(axis=1))
    cost = problem.cost(choice)
    if cost is None:
        raise CompileError("no assignment is possible: the integer program's answer breaks a constraint")
    return Assignment(choice, cost, optimal=result.status == 0)


class _Program:
    """Variables, objective and rows of the program: first x[u, p], then y[t, p, q]."""

    def __init__(self, problem: Problem) -> None:
        self.count = len(problem.processors)
        self.first = len(problem.units) * self.count
        self.size = self.first + len(problem.tensors) * self.count**2
        self.objective = np.zeros(self.size)
        self.upper = np.ones(self.size)
        self.integrality = np.zeros(self.size)
        self.integrality[: self.first] = 1
        self._entries: list[tuple[int, int, int]] = []
        self._lower: list[float] = []
        self._most: list[float] = []
        for index, unit in enumerate(problem.units):
            for place, cost in enumerate(unit.costs):
                self._price(index * self.count + place, cost)
            self._row([(index * self.count + place, 1) for place in range(self.count)], 1, 1)
        for index, tensor in enumerate(problem.tensors):
            self._tensor(tensor, self.first + index * self.count**2)
        self.objective *= LARGEST / max(1.0, float(self.objective.max(initial=0)))

    def constraints(self) -> LinearConstraint:
        rows, columns, values = np.array(self._entries, np.int64).T
        matrix = sparse.csr_matrix((values.astype(float), (rows, columns)), shape=(len(self._lower), self.size))
        return LinearConstraint(matrix, np.array(self._lower), np.array(self._most))

    def _tensor(self, tensor: Tensor, first: int) -> None:
        count = self.count
        for source in range(count):
            for target in range(count):
                variable = first + source * count + target
                self._price(variable, tensor.moves[source][target])
                self._row([(tensor.producer * count + source, 1), (variable, -1)], 0, np.inf)
        for reader in dict.fromkeys(tensor.readers):
            for target in range(count):
                arriving = [(first + source * count + target, 1) for source in range(count)]
                self._row([*arriving, (reader * count + target, -1)], 0, np.inf)

    def _price(self, variable: int, cost: int | None) -> None:
        if cost is None:
            self.upper[variable] = 0
        else:
            self.objective[variable] = cost

    def _row(self, entries: list[tuple[int, int]], lower: float, most: float) -> None:
        self._entries += [(len(self._lower), variable, value) for variable, value in entries]
        self._lower.append(lower)
        self._most.append(most)
