"""DRAM of docs/machine.md, as plainly as possible; see reference_machine.py."""

from __future__ import annotations

from collections import deque
from typing import Any

from weft_sim.isa import TIMING
from weft_sim.machine import MachineConfig

MASK64 = (1 << 64) - 1


def mix(seed: int, a: int, b: int) -> int:
    """The documented random numbers of DRAM stalls."""
    z = (seed + a * 0x9E3779B97F4A7C15 + b * 0xBF58476D1CE4E5B9) & MASK64
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & MASK64
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & MASK64
    return z ^ z >> 31


class Dram:
    """Ports 0 FETCH and 1 LOAD read, STORE writes."""

    def __init__(self, config: MachineConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.credit = config.dram_rate_denominator
        self.bursts: list[deque[list[int]]] = [deque(), deque()]  # [ready, beats]
        self.output: list[bool | None] = [None, None]  # last?
        self.numbers = [0, 0]
        self.buffer: deque[bool] = deque()
        self.open_writes = 0
        self.responses: deque[int] = deque()
        self.read_beats = self.write_beats = 0

    def signals(self, t: int) -> dict[str, Any]:
        limit = self.config.outstanding_bursts
        return {
            "ar_ready": [len(queue) < limit for queue in self.bursts],
            "r": list(self.output),
            "aw_ready": self.open_writes < limit,
            "w_ready": len(self.buffer) < TIMING["DRAM_WRITE_BUFFER"],
            "b": bool(self.responses) and self.responses[0] <= t,
        }

    def step(
        self,
        t: int,
        signals: dict[str, Any],
        ar: list[int | None],
        ready: list[bool],
        aw: bool,
        w: bool | None,
    ) -> None:
        """`ar`: beats of the burst presented; `w`: last flag of the beat presented."""
        config = self.config
        for port in (0, 1):
            if self.output[port] is not None and ready[port]:
                self.output[port] = None
        moved = self._move(t)
        for port in (0, 1):
            beats = ar[port]
            if beats is not None and signals["ar_ready"][port]:
                late = mix(self.seed, port, self.numbers[port]) % 32 if self.seed else 0
                self.bursts[port].append([t + config.dram_latency + late, beats])
                self.numbers[port] += 1
        if signals["b"]:
            self.responses.popleft()
            self.open_writes -= 1
        if aw and signals["aw_ready"]:
            self.open_writes += 1
        if w is not None and signals["w_ready"]:
            self.buffer.append(w)
        top = config.dram_rate_denominator + config.dram_rate_numerator - 1
        spent = config.dram_rate_denominator if moved else 0
        self.credit = min(self.credit - spent + config.dram_rate_numerator, top)

    def _move(self, t: int) -> bool:
        if self.credit < self.config.dram_rate_denominator or (self.seed and mix(self.seed, 3, t) % 4 == 0):
            return False
        for port in (0, None, 1):
            if port is None and self.buffer:
                self.write_beats += 1
                if self.buffer.popleft():
                    self.responses.append(t + self.config.dram_latency)
                return True
            if port is None or self.output[port] is not None:
                continue
            queue = self.bursts[port]
            if queue and queue[0][0] <= t:
                queue[0][1] -= 1
                self.output[port] = queue[0][1] == 0
                if self.output[port]:
                    queue.popleft()
                self.read_beats += 1
                return True
        return False
