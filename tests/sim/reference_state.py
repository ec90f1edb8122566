"""State and helpers of the plain reference; see reference_machine.py."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from reference_dram import Dram

from weft_sim import isa
from weft_sim.isa import TIMING, Unit
from weft_sim.isa.state import addresses
from weft_sim.machine import MachineConfig

WAYS = {Unit.LOAD: "load", Unit.STORE: "store", Unit.MXU: "mxu", Unit.VPU: "vpu"}


class ReferenceState:
    """What the units of one run share, and what is in each of them."""

    def __init__(self, config: MachineConfig, program: Sequence[isa.Instruction], seed: int = 0) -> None:
        self.config, self.program = config, program
        self.dram = Dram(config, seed)
        self.tokens: Counter[tuple[Unit, Unit]] = Counter()
        self.given: list[tuple[Unit, Unit]] = []
        self.queues: dict[Unit, deque[tuple[int, isa.Instruction, list[int]]]] = {unit: deque() for unit in WAYS}
        self.events: list[list[int]] = []
        self.activity: Counter[tuple[str, str]] = Counter()
        self.registers = [0] * isa.REGISTERS
        self.lanes, self.beat = config.lanes, config.dram_beat_bytes
        self.capacity = TIMING["BYTE_FIFO_BEATS"] * max(self.beat, self.lanes)
        # FETCH
        self.mode, self.fetch_ar, self.next, self.reserved = "run", False, 0, 0
        self.coming: deque[int] = deque()
        self.drop = 0
        self.buffer: deque[int] = deque()
        self.decoder: list[int] | None = None  # [index, countdown]
        # LOAD
        self.load_contexts: deque[dict[str, Any]] = deque()
        self.generator: deque[tuple[int, int]] | None = None  # runs (address, bytes) still to request
        self.generating = -1
        self.load_ar: int | None = None
        self.load_flight: deque[deque[int]] = deque()  # valid bytes of the beats to come
        self.load_fifo = 0
        # STORE
        self.store_contexts: deque[dict[str, Any]] = deque()
        self.aw = False
        self.w: bool | None = None
        self.store_bursts: deque[deque[int]] = deque()
        self.store_flight: deque[bool] = deque()
        self.store_fifo = self.landing = 0
        # MXU
        self.loader: dict[str, Any] | None = None
        self.free, self.shadow = 0, -1
        self.x: dict[str, Any] | None = None
        self.rows: dict[int, tuple[int | None, bool]] = {}  # cycle streamed → row, added
        self.mxu_retire: dict[int, dict[str, Any]] = {}
        # VPU
        self.vpu: dict[str, Any] | None = None

    # Helpers

    def bank(self, byte: int) -> int:
        return byte // self.config.bank_bytes

    def row_bank(self, row: int) -> int:
        return row // self.config.accumulator_bank_rows

    def ready(self, unit: Unit, instruction: isa.Instruction) -> bool:
        return all(self.tokens[source, unit] for source in Unit if instruction.wait >> source & 1)

    def take(self, unit: Unit, instruction: isa.Instruction) -> None:
        for source in Unit:
            self.tokens[source, unit] -= instruction.wait >> source & 1

    def retire(self, unit: Unit, instruction: isa.Instruction, number: int, t: int) -> None:
        self.given += [(unit, target) for target in Unit if instruction.signal >> target & 1]
        self.events[number][4] = t

    def started(self, number: int, t: int) -> None:
        if self.events[number][3] < 0:
            self.events[number][3] = t

    def head(self, unit: Unit) -> str:
        """Whether the queue's head can issue in this cycle: "go", "token" or "idle"."""
        if not self.queues[unit]:
            return "idle"
        return "go" if self.ready(unit, self.queues[unit][0][1]) else "token"

    def pop(self, unit: Unit, t: int) -> tuple[int, isa.Instruction, list[int]]:
        number, instruction, registers = self.queues[unit].popleft()
        self.take(unit, instruction)
        self.events[number][2] = t
        return number, instruction, registers

    def count(self, unit: str, activity: str) -> None:
        self.activity[unit, "idle" if activity == "go" else activity] += 1

    def burst(self, runs: deque[tuple[int, int]]) -> tuple[int, int]:
        """Cuts (address, bytes) off the first run."""
        address, left = runs.popleft()
        size = min(left, self.config.burst_beats * self.beat - address % self.beat, 4096 - address % 4096)
        if size < left:
            runs.appendleft((address + size, left - size))
        return address, size

    def beats(self, address: int, size: int) -> deque[int]:
        first = min(size, self.beat - address % self.beat)
        rest = size - first
        return deque([first] + [min(self.beat, rest - at) for at in range(0, rest, self.beat)])

    def pieces(self, local: isa.AddressStream, run: int) -> deque[tuple[int, int]]:
        """(address, bytes) of the accesses to one vector each."""
        found: deque[tuple[int, int]] = deque()
        for start in addresses(local.base, local.dims).tolist():
            at = start
            while at < start + run:
                size = min(self.lanes - at % self.lanes, start + run - at)
                found.append((at, size))
                at += size
        return found
