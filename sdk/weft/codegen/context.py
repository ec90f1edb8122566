"""What the emitters of one region share: the machine, its slots, constants, storage, and the choice of slots."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from weft.codegen.storage import Storage
from weft.schedule.areas import Areas
from weft.schedule.choice import ANALYTIC, TileChoices
from weft.schedule.ring import Ring
from weft_sim.isa import TABLE_SLOTS
from weft_sim.machine import MachineConfig

__all__ = ["ConstantPool", "Context"]

ALIGNMENT = 64


class ConstantPool:
    """The region's constant data, in the order of first use, equal items once (the steps of an unrolled recurrence
    share their weights); every item starts at a multiple of 64 bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._offsets: dict[bytes, int] = {}

    def add(self, data: bytes) -> int:
        """Appends what is not there yet and returns the offset from the constants' base register."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._offsets:
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self._offsets[digest] = len(self.data)
            self.data.extend(data)
        return self._offsets[digest]


@dataclass
class Context:
    """Mutable state of emission. `storage` maps tensor names to DRAM; `raw_inputs` maps names of region inputs to
    their row-major, host-padded form where a first layer gathers its windows from that. `part` names the part of the
    memories whose slots these are, where operators share the machine. `by_rows`: convolutions walk over positions
    outermost, in several tiles. `tiles` may choose tiles."""

    config: MachineConfig
    areas: Areas
    constants: ConstantPool = field(default_factory=ConstantPool)
    storage: dict[str, Storage] = field(default_factory=dict)
    raw_inputs: dict[str, Storage] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    rings: dict[str, Ring] = field(default_factory=dict)
    tiles: TileChoices = ANALYTIC
    part: str = ""
    by_rows: bool = False

    @property
    def lanes(self) -> int:
        """Bytes of a vector."""
        return self.config.lanes

    def ring(self, kind: str) -> Ring:
        """The ring of that kind, which goes on where the operator before has stopped."""
        return self.rings.setdefault(self.part + kind, Ring())

    def next_slot(self, kind: str) -> int:
        """The slot (an address) of that kind that was not used last."""
        turn = self.turns.get(self.part + kind, 1) ^ 1
        self.turns[self.part + kind] = turn
        slots: tuple[int, int] = getattr(self.areas, kind)
        return slots[turn]

    def next_table(self) -> int:
        """The table slot of the VPU that was not used last."""
        turn = (self.turns.get("table", TABLE_SLOTS - 1) + 1) % TABLE_SLOTS
        self.turns["table"] = turn
        return turn
