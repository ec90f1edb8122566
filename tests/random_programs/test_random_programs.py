"""A few structured programs through each way in; fresh seeds are for `make fuzz-dynamic`."""

from __future__ import annotations

from pathlib import Path

import pytest
from checks import HAS_TORCH, Figures, check

SEEDS = {"onnx": (3, 13, 22, 3033), "export": (0, 7), "source": (6, 25)}
CASES = [(way, seed) for way, seeds in SEEDS.items() for seed in seeds]


@pytest.mark.parametrize(("way", "seed"), CASES)
def test_random_program(way: str, seed: int, tmp_path: Path) -> None:
    if way != "onnx" and not HAS_TORCH:
        pytest.skip("PyTorch (weft[torch]) is absent")
    print(f"again: python tests/random_programs/fuzz_dynamic.py --ways {way} --seed {seed} --programs 1")
    found = check(way, seed, tmp_path)
    assert isinstance(found, Figures)
    assert not found.refused
    assert found.samples
