"""Machine configurations: the parameters that a Weft accelerator is built from, and the named presets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft_sim.errors import MachineError

__all__ = ["PRESETS", "MachineConfig", "machine"]


@dataclass(frozen=True)
class MachineConfig:
    """Everything that may differ between two Weft machines. Sizes in bytes, rows, beats or cycles as named.

    The scratchpad is `scratchpad_banks` contiguous banks (bank = address ÷ bank size), each with one read and
    one write port of one vector (`lanes` bytes) per cycle. The accumulator memory holds rows of `lanes`
    32-bit words in `accumulator_banks` contiguous banks, likewise with one read and one write port each. DRAM
    moves at most one beat per cycle over one bus shared by reads and writes, limited to `dram_rate_numerator
    / dram_rate_denominator` beats per cycle on average.
    """

    name: str
    lanes: int
    scratchpad_bytes: int
    scratchpad_banks: int
    accumulator_rows: int
    accumulator_banks: int
    dram_beat_bytes: int
    dram_rate_numerator: int = 1
    dram_rate_denominator: int = 1
    dram_latency: int = 64
    burst_beats: int = 64
    outstanding_bursts: int = 32
    queue_depth: int = 8
    fetch_depth: int = 4
    line_depth: int = 128
    clock_mhz: int = 1000

    def __post_init__(self) -> None:
        for name, low, high, power_of_two in _RANGES:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise MachineError(
                    f"machine {self.name!r}: {name}={value!r} must be a whole number from {low} to {high}"
                )
            if power_of_two and value & (value - 1):
                raise MachineError(f"machine {self.name!r}: {name}={value} must be a power of two")
        if self.scratchpad_bytes % (self.scratchpad_banks * self.lanes):
            raise MachineError(
                f"machine {self.name!r}: scratchpad_bytes={self.scratchpad_bytes} must be a multiple of "
                f"scratchpad_banks × lanes = {self.scratchpad_banks * self.lanes}"
            )
        if self.accumulator_rows % self.accumulator_banks:
            raise MachineError(
                f"machine {self.name!r}: accumulator_rows={self.accumulator_rows} must be a multiple of "
                f"accumulator_banks={self.accumulator_banks}"
            )
        if self.dram_rate_numerator > self.dram_rate_denominator:
            raise MachineError(f"machine {self.name!r}: the DRAM rate must be at most one beat per cycle")
        if self.burst_beats * self.dram_beat_bytes > 4096:
            raise MachineError(f"machine {self.name!r}: a burst must fit in 4096 bytes (AXI's boundary)")

    @property
    def vectors(self) -> int:
        """Scratchpad capacity in vectors."""
        return self.scratchpad_bytes // self.lanes

    @property
    def bank_bytes(self) -> int:
        """Bytes in one scratchpad bank."""
        return self.scratchpad_bytes // self.scratchpad_banks

    @property
    def accumulator_bank_rows(self) -> int:
        """Rows in one accumulator bank."""
        return self.accumulator_rows // self.accumulator_banks

    @property
    def macs_per_cycle(self) -> int:
        """Peak multiply-accumulates per cycle."""
        return self.lanes * self.lanes

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Peak DRAM bandwidth in bytes per cycle, reads and writes together."""
        return self.dram_beat_bytes * self.dram_rate_numerator / self.dram_rate_denominator

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MachineConfig:
        """The inverse of `to_dict`. Raises MachineError on unknown, missing or impossible values."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise MachineError(f"unknown machine parameter {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if not isinstance(values.get("name"), str):
            raise MachineError("a machine needs a name (a string)")
        try:
            return cls(**values)
        except TypeError as error:
            raise MachineError(f"machine {values['name']!r}: {error}") from error

    def hash(self) -> str:
        """SHA-256 (hex) of every parameter that a program can depend on; the name is not one of them."""
        values = {key: value for key, value in self.to_dict().items() if key != "name"}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


_RANGES: tuple[tuple[str, int, int, bool], ...] = (
    ("lanes", 4, 64, True),
    ("scratchpad_bytes", 4096, 1 << 24, False),
    ("scratchpad_banks", 1, 64, True),
    ("accumulator_rows", 64, 1 << 16, False),
    ("accumulator_banks", 1, 16, True),
    ("dram_beat_bytes", 4, 64, True),
    ("dram_rate_numerator", 1, 1000, False),
    ("dram_rate_denominator", 1, 1000, False),
    ("dram_latency", 1, 1023, False),
    ("burst_beats", 1, 256, True),
    ("outstanding_bursts", 1, 64, True),
    ("queue_depth", 2, 64, True),
    ("fetch_depth", 2, 64, True),
    ("line_depth", 16, 1024, True),
    ("clock_mhz", 1, 10000, False),
)

_KIB = 1024

PRESETS: dict[str, MachineConfig] = {
    config.name: config
    for config in (
        MachineConfig(
            name="weft-8", lanes=8, scratchpad_bytes=128 * _KIB, scratchpad_banks=8,
            accumulator_rows=1024, accumulator_banks=4, dram_beat_bytes=8, dram_latency=40, clock_mhz=500,
        ),
        MachineConfig(
            name="weft-16", lanes=16, scratchpad_bytes=512 * _KIB, scratchpad_banks=16,
            accumulator_rows=4096, accumulator_banks=4, dram_beat_bytes=16,
        ),
        MachineConfig(
            name="weft-32", lanes=32, scratchpad_bytes=1024 * _KIB, scratchpad_banks=16,
            accumulator_rows=4096, accumulator_banks=4, dram_beat_bytes=32,
        ),
        # VTA's buffers sum to 448 KiB (uop 32, input 32, weight 256, accumulator 128). Here: scratchpad 272,
        # accumulators 128, tables 2 × 1 KiB for each of 16 lanes = 32, depthwise lines 6, queues 5: 443 KiB.
        MachineConfig(
            name="vta-16", lanes=16, scratchpad_bytes=272 * _KIB, scratchpad_banks=16,
            accumulator_rows=2048, accumulator_banks=4, dram_beat_bytes=8, clock_mhz=100,
        ),
    )
}  # fmt: skip


def machine(name: str) -> MachineConfig:
    """The preset of that name. Raises MachineError naming the presets that exist."""
    config = PRESETS.get(name)
    if config is None:
        raise MachineError(f"unknown target {name!r}; known targets: {', '.join(PRESETS)}")
    return config
