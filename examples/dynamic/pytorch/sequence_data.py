"""Data of the networks that write sequences: captions of digits, and symbols in reverse. Seeded, without PyTorch."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
from suite_data import Array, Data, Samples, digits, parted

WORDS = (
    "<stop>", "<start>", "faint", "small", "large", "odd", "even", "prime",
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip
STOP, START = 0, 1
MOST_WORDS = 5
FAINTNESS, FAINT = 0.55, 0.4

SYMBOLS, POSITIONS, FEWEST = 14, 8, 3


def caption(digit: int, faint: bool) -> list[int]:
    """The words for a digit, two to five: "faint small even prime two"."""
    said = ["faint"] if faint else []
    said += ["small"] if digit < 3 else ["large"] if digit > 6 else []
    said += ["odd" if digit % 2 else "even"]
    said += ["prime"] if digit in (2, 3, 5, 7) else []
    return [WORDS.index(word) for word in said] + [WORDS.index("zero") + digit]


@cache
def captions() -> Data:
    """The digits, two of five of them with weaker ink; targets: int64 [n, MOST_WORDS], STOP behind the last word."""
    whole = digits()
    generator = np.random.default_rng(12)
    return Data(*(_captioned(each, generator) for each in (whole.training, whole.calibration, whole.evaluation)))


def _captioned(samples: Samples, generator: np.random.Generator) -> Samples:
    faint = generator.random(len(samples)) < FAINT
    strength = np.where(faint, FAINTNESS, 1).astype(np.float32)
    targets = _padded([caption(*each) for each in zip(samples.targets.tolist(), faint, strict=True)], MOST_WORDS)
    return Samples({"image": samples.inputs["image"] * strength[:, None, None, None]}, targets)


def reversed_symbols(symbols: list[int]) -> list[int]:
    """The symbols last first, those that follow themselves once."""
    return [each for index, each in enumerate(symbols) if index == 0 or symbols[index - 1] != each][::-1]


@cache
def reversals() -> Data:
    """Input `symbols`: int64 [n, POSITIONS], FEWEST to POSITIONS symbols (2, 3, …) and STOP behind them; targets alike,
    the symbols in reverse. 8,000 + 300 + 600 samples, all different."""
    generator = np.random.default_rng(13)
    drawn: dict[tuple[int, ...], list[int]] = {}
    while len(drawn) < 8900:
        length = min(int(generator.integers(FEWEST, POSITIONS + 2)), POSITIONS)
        symbols = generator.integers(2, 2 + SYMBOLS, length).tolist()
        drawn[tuple(symbols)] = symbols
    targets = [reversed_symbols(each) for each in drawn.values()]
    return parted(Samples({"symbols": _padded(drawn.values(), POSITIONS)}, _padded(targets, POSITIONS)), 8000, 300)


def _padded(rows: Collection[list[int]], length: int) -> Array:
    table = np.full((len(rows), length), STOP, np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def same_sequence(answer: Array, target: Array) -> bool:
    """Whether the first output, tokens [1, length], is the target throughout."""
    return bool((answer == target).all())
