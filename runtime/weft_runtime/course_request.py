"""A request of a dynamic program: what it does next follows from what it has decided."""

from __future__ import annotations

from typing import Any

from weft_runtime.dispatch import Phase, Task
from weft_runtime.interpreter import Decision
from weft_runtime.seat import Seat, Tasks

__all__ = ["CourseRequest", "Path", "Tensors"]

Tensors = dict[str, Any]
Path = tuple[Decision, ...]

BEGIN = Task(-1, Phase.HOST)
"""Finding out what is to be done first."""


class CourseRequest:
    """One sample on its way. `pending` is the task that it waits to do, None when it has ended."""

    def __init__(self, inputs: Tensors) -> None:
        self.inputs = inputs
        self.pending: Task | None = BEGIN
        self.outputs: Tensors = {}
        self.path: Path = ()
        self.seat: Seat | None = None
        self._tasks: Tasks[tuple[Tensors, Path]] | None = None

    @property
    def begun(self) -> bool:
        """Whether it has a place on the devices."""
        return self._tasks is not None

    def begin(self, seat: Seat, tasks: Tasks[tuple[Tensors, Path]]) -> None:
        """It gets a place on the devices, and everything there is to do."""
        self.seat, self._tasks = seat, tasks

    def go_on(self) -> None:
        """Does what is pending, up to the next task."""
        assert self._tasks is not None
        try:
            self.pending = next(self._tasks)
        except StopIteration as end:
            self.pending = None
            self.outputs, self.path = end.value

    def forget(self) -> None:
        """The request is answered: only what it has cost is still of use."""
        self.inputs, self.outputs, self._tasks = {}, {}, None

    def forget_launches(self) -> None:
        """Nor are its launches, but for their sums."""
        if self.seat is not None:
            self.seat.launched = []
