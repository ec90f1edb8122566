"""LSTM, GRU and RNN of float models as their steps one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from weft.frontend.graph import Graph, has, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import give_reason
from weft.frontend.passes.fold_constants import FoldConstants
from weft.frontend.passes.upgrade_opset import QUANTIZABLE_OPSET
from weft.frontend.recurrent import Recurrence, Unsupported, cost, read_recurrence, unroll

RECURRENT = ("LSTM", "GRU", "RNN")


@dataclass(frozen=True)
class UnrollRecurrent:
    """Writes recurrent operators over a known number of steps as matrix products and functions of one value, which
    the quantizer and the accelerator take. Float models only; the sum's order moves results by float32 rounding.

    The unrolled form of one operator has at most `nodes` nodes, that of all together at most `total`: compile time and
    program grow with every step. What stays one node gets the reason written into it, for `weft explain`.
    """

    nodes: int = 4096
    total: int = 65_536
    name: str = "unroll-recurrent"

    def run(self, model: Model) -> Model:
        if model.is_quantized or model.opset < QUANTIZABLE_OPSET or not has(model, *RECURRENT):
            return model
        graph, spent = Graph(model), 0
        for node in list(graph.nodes):
            if is_standard(node, *RECURRENT):
                try:
                    recurrence = read_recurrence(graph, node)
                    self._check_cost(recurrence, spent)
                except Unsupported as reason:
                    give_reason(node, str(reason))
                    continue
                unroll(graph, recurrence)
                spent += cost(recurrence)
        # What the steps take from constant states and shapes is computed here and now.
        return FoldConstants().run(graph.finish()) if spent else graph.finish()

    def _check_cost(self, recurrence: Recurrence, spent: int) -> None:
        wanted = cost(recurrence)
        if wanted > self.nodes:
            raise Unsupported(
                f"unrolling its {recurrence.steps} steps would make about {wanted:,} nodes, "
                f"more than {self.nodes:,}; run shorter sequences and carry the state over"
            )
        if spent + wanted > self.total:
            raise Unsupported(
                f"unrolling its {recurrence.steps} steps would bring the unrolled nodes to about {spent + wanted:,}, "
                f"more than {self.total:,}; divide the model"
            )
