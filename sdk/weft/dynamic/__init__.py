"""Control flow of ONNX models: If, Loop and Scan taken apart into sub-networks without any, and put together again."""

from __future__ import annotations

from weft.dynamic.assemble import assemble
from weft.dynamic.form import Form
from weft.dynamic.gates import gate_nodes
from weft.dynamic.identity import body_key
from weft.dynamic.margin_runner import DecisionMargins, MarginRunner
from weft.dynamic.narrow import narrow, store_merged
from weft.dynamic.reference import integer_graph
from weft.dynamic.run import ExploringRunner, FormRunner
from weft.dynamic.split import Splitting, split

__all__ = [
    "DecisionMargins",
    "ExploringRunner",
    "Form",
    "FormRunner",
    "MarginRunner",
    "Splitting",
    "assemble",
    "body_key",
    "gate_nodes",
    "integer_graph",
    "narrow",
    "split",
    "store_merged",
]
