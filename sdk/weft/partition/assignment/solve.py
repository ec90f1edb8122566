"""The way to solve an assignment problem that fits its number of processors."""

from __future__ import annotations

from weft.partition.assignment.problem import Assignment, Problem

__all__ = ["assign"]


def assign(problem: Problem) -> Assignment:
    """The cheapest assignment: a minimum cut for two processors, an integer program for any other number.

    Equal problems get equal answers. Raises CompileError if no assignment is possible.
    """
    # Imported on use: scipy takes a third of a second, which every start of the command line would wait for.
    if len(problem.processors) == 2:
        from weft.partition.assignment.cut import cut

        return cut(problem)
    from weft.partition.assignment.integer_program import solve_integer_program

    return solve_integer_program(problem)
