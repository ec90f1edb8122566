"""LSTM, GRU and RNN of float models as their steps one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from weft.frontend.graph import Graph, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import give_reason
from weft.frontend.passes.fold_constants import FoldConstants
from weft.frontend.passes.upgrade_opset import QUANTIZABLE_OPSET
from weft.frontend.recurrent import Unsupported, cost, read_recurrence, unroll


@dataclass(frozen=True)
class UnrollRecurrent:
    """Writes recurrent operators over a known number of steps as matrix products and functions of one value, which
    the quantizer and the accelerator take. Float models only; the sum's order moves results by float32 rounding.

    The unrolled form of one operator has at most `nodes` nodes: compile time and program grow with every step. What
    stays one node gets the reason written into it, for `weft explain`.
    """

    nodes: int = 4096
    name: str = "unroll-recurrent"

    def run(self, model: Model) -> Model:
        if model.is_quantized or model.opset < QUANTIZABLE_OPSET:
            return model
        graph, unrolled = Graph(model), False
        for node in list(graph.nodes):
            if is_standard(node, "LSTM", "GRU", "RNN"):
                try:
                    recurrence = read_recurrence(graph, node)
                    if cost(recurrence) > self.nodes:
                        raise Unsupported(
                            f"unrolling its {recurrence.steps} steps would make about {cost(recurrence):,} nodes, "
                            f"more than {self.nodes:,}; run shorter sequences and carry the state over"
                        )
                except Unsupported as reason:
                    give_reason(node, str(reason))
                    continue
                unroll(graph, recurrence)
                unrolled = True
        # What the steps take from constant states and shapes is computed here and now.
        return FoldConstants().run(graph.finish()) if unrolled else graph.finish()
