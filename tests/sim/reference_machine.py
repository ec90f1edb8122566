"""docs/machine.md once more, plainly: one cycle at a time, lists instead of address generators.

For programs without faults and without jumps on mailboxes. Slow; the simulator must agree in every number.
"""

from __future__ import annotations

from typing import Any

from reference_state import WAYS
from reference_units import Compute, Transfers

from weft_sim import isa
from weft_sim.isa import TIMING, Unit
from weft_sim.isa.architecture import INSTRUCTION_BYTES


class Reference(Transfers, Compute):
    """One run. Afterwards `events` holds [index, unit, issue, start, end], `activity` cycles per unit."""

    # The machine

    def run(self, limit: int = 1 << 20) -> int:
        for t in range(limit):
            if self.cycle(t):
                return t + 1
        raise AssertionError("the reference does not end")

    def cycle(self, t: int) -> bool:
        signals = self.dram.signals(t)
        idle = not any(self.queues.values()) and not self.load_contexts and not self.store_contexts
        idle = idle and self.loader is None and self.x is None and not self.mxu_retire and self.vpu is None
        heads = {unit: self.head(unit) for unit in WAYS}
        rooms = {unit: len(self.queues[unit]) < self.config.queue_depth for unit in WAYS}
        written = self.rows.get(t - TIMING["MXU_LATENCY"], (None, False))[0]
        read, added = self.rows.get(t - TIMING["MXU_LATENCY"] + 1, (None, False))
        vpu = self.vpu_asks(written)
        load_piece, store_piece = self.load_asks(), self.store_asks()
        ports: list[tuple[str, str, int | None]] = [
            ("read", "mxu", self.bank(self.x["inputs"][0]) if self.x else None),
            ("read", "weight", self.weight_asks(t)),
            ("read", "a", vpu["a"]),
            ("read", "b", vpu["b"]),
            ("read", "store", self.bank(store_piece[0]) if store_piece else None),
            ("rows", "mxu", self.row_bank(read) if read is not None and added else None),
            ("rows", "a", vpu["row_a"]),
            ("rows", "b", vpu["row_b"]),
            ("write", "vpu", vpu["write"]),
            ("write", "load", self.bank(load_piece[0]) if load_piece else None),
        ]
        taken: set[tuple[str, int]] = set()
        grants: set[str] = set()
        for port, name, bank in ports:
            if bank is not None and (port, bank) not in taken:
                taken.add((port, bank))
                grants.add(name)
        ar = [INSTRUCTION_BYTES // self.beat if self.fetch_ar else None, self.load_ar]
        receives = signals["r"][1] is not None and self.load_fifo + self.beat <= self.capacity
        ready, aw, w = [True, receives], self.aw, self.w
        done = self.step_fetch(t, signals, rooms, idle)
        self.step_load(t, signals, heads[Unit.LOAD], load_piece, "load" in grants, receives)
        self.step_store(t, signals, heads[Unit.STORE], store_piece, "store" in grants)
        self.step_mxu(t, heads[Unit.MXU], "weight" in grants)
        self.step_vpu(t, heads[Unit.VPU], vpu, grants)
        self.dram.step(t, signals, ar, ready, aw, w)
        for channel in self.given:
            self.tokens[channel] += 1
        self.given = []
        return done

    # FETCH

    def step_fetch(self, t: int, signals: dict[str, Any], rooms: dict[Unit, bool], idle: bool) -> bool:
        mode, buffered, decoder = self.mode, len(self.buffer), self.decoder
        done = mode != "run" and idle and not self.fetch_ar and not self.coming
        requests = mode == "run" and (not self.fetch_ar or signals["ar_ready"][0])
        requests = requests and self.next < len(self.program) and self.reserved < self.config.fetch_depth
        if signals["ar_ready"][0]:
            self.fetch_ar = False
        if signals["r"][0]:
            index = self.coming.popleft()
            if self.drop:
                self.drop -= 1
            elif mode == "run":
                self.buffer.append(index)
        jumps = False
        if mode != "run":
            self.count("fetch", "idle")
        elif decoder is None:
            self.count("fetch", "dram")
            if buffered:
                self.decoder = [self.buffer.popleft(), TIMING["DECODE_CYCLES"]]
                self.reserved -= 1
        elif decoder[1]:
            self.count("fetch", "busy")
            decoder[1] -= 1
        else:
            jumps = self.leave(t, decoder[0], rooms)
        if requests and not jumps:
            self.fetch_ar = True
            self.coming.append(self.next)
            self.next += 1
            self.reserved += 1
        return done

    def leave(self, t: int, index: int, rooms: dict[Unit, bool]) -> bool:
        instruction = self.program[index]
        unit = instruction.UNIT
        if unit != Unit.FETCH and not rooms[unit]:
            self.count("fetch", "queue")
            return False
        if unit == Unit.FETCH and not self.ready(unit, instruction):
            self.count("fetch", "token")
            return False
        self.count("fetch", "busy")
        number = len(self.events)
        self.events.append([index, int(unit), -1, -1, -1])
        self.decoder = None
        if unit != Unit.FETCH:
            self.queues[unit].append((number, instruction, list(self.registers)))
            return False
        self.take(unit, instruction)
        self.events[number][2:] = [t, t, t]
        self.retire(unit, instruction, number, t)
        if isinstance(instruction, isa.Halt):
            self.mode = "halting"
        if isinstance(instruction, isa.Register):
            base = 0 if instruction.source == isa.NO_REGISTER else self.registers[instruction.source]
            self.registers[instruction.destination] = (base + instruction.offset) & 0xFFFFFFFF
        if not isinstance(instruction, isa.Jump) or not instruction.taken(0):
            return False
        self.next, self.drop, self.reserved = instruction.target, len(self.coming), 0
        self.buffer.clear()
        return True
