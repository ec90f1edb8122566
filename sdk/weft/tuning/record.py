"""Which problems a model poses: what the compiler asks for as it lowers the regions."""

from __future__ import annotations

from weft.ir import Operator
from weft.schedule.choice import Shape, Tile
from weft.schedule.search import Problem
from weft.tuning.cache import problem_key
from weft.tuning.search import Target
from weft.tuning.subject import subject
from weft_sim.machine import MachineConfig

__all__ = ["Recorder"]


class Recorder:
    """Takes the place of the choices of tiles, leaves all to the estimate, and remembers the questions."""

    def __init__(self, machine: MachineConfig) -> None:
        self._machine = machine
        self._asked: dict[Shape, list[Operator]] = {}

    def tile(self, shape: Shape, operator: Operator) -> Tile | None:
        """None."""
        self._asked.setdefault(shape, []).append(operator)
        return None

    @property
    def targets(self) -> list[tuple[Target, tuple[str, ...]]]:
        """Every shape once, with the names of all operators that have it, in the order of the program."""
        result: list[tuple[Target, tuple[str, ...]]] = []
        for shape, operators in self._asked.items():
            problem = Problem(shape, self._machine)
            subjected = subject(problem_key(problem), operators[0], shape, self._machine)
            result.append((Target(problem, subjected), tuple(dict.fromkeys(each.name for each in operators))))
        return result
