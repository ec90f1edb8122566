"""Which processor runs what, as a problem on graphs: no ONNX, no machine, only costs."""

from __future__ import annotations

from weft.partition.assignment.problem import Assignment, Problem, Tensor, Unit
from weft.partition.assignment.solve import assign

__all__ = ["Assignment", "Problem", "Tensor", "Unit", "assign"]
