"""Token bookkeeping in program order, as dispatch does it: what makes every program that starts also
finish."""

from __future__ import annotations

from weft_sim.isa.architecture import TOKEN_LIMIT, FaultCause, Unit
from weft_sim.isa.instruction import Instruction, StaticFault

__all__ = ["TokenLedger"]


class TokenLedger:
    """Tokens signalled and not yet waited for, per channel, counting instructions in program order.

    Dispatch refuses an instruction that waits for a token which no earlier instruction signals (cause
    DEADLOCK). So the oldest unfinished instruction can always go on, and no program that passes can hang.
    """

    def __init__(self) -> None:
        self.counts = [[0] * len(Unit) for _ in Unit]

    def dispatch(self, instruction: Instruction) -> StaticFault | None:
        """Books the instruction's tokens, or returns the fault and books nothing."""
        unit = instruction.UNIT
        for source in Unit:
            if instruction.wait >> source & 1 and not self.counts[source][unit]:
                words = f"{unit.name} waits for a token from {source.name} that no earlier instruction signals"
                return StaticFault(FaultCause.DEADLOCK, words)
        for target in Unit:
            if instruction.signal >> target & 1 and self.counts[unit][target] >= TOKEN_LIMIT:
                words = f"more than {TOKEN_LIMIT} tokens from {unit.name} to {target.name} are not waited for"
                return StaticFault(FaultCause.TOKEN_OVERFLOW, words)
        for other in Unit:
            self.counts[other][unit] -= instruction.wait >> other & 1
            self.counts[unit][other] += instruction.signal >> other & 1
        return None
