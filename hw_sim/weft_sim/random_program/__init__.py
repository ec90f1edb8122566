"""Random programs that golden model, simulator and RTL must agree on."""

from __future__ import annotations

from weft_sim.random_program.build import RandomProgram, generate

__all__ = ["RandomProgram", "generate"]
