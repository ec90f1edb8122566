"""Sub-networks that are equal but for weights and scales: ordered, synchronized and timed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_writer import FLOAT, GraphWriter

import weft
from weft.codegen import arranged, estimate
from weft.frontend import load
from weft_runtime.executable import Executable

CHANNELS, EXTENT = 16, 8


def blocks(count: int) -> onnx.ModelProto:
    """Residual blocks of one form, each with weights and a gate of its own."""
    random = np.random.default_rng(0)
    g = GraphWriter()

    def conv(body: GraphWriter, source: str) -> str:
        kernel = (random.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 12).astype(np.float32)
        return body.conv(source, kernel, (random.standard_normal(CHANNELS) / 10).astype(np.float32))

    state = conv(g, g.value("image", FLOAT, [1, CHANNELS, EXTENT, EXTENT]))
    for _ in range(count):
        score = g.dense(g.pooled(state), random.standard_normal((CHANNELS, 1)).astype(np.float32), np.zeros(1, "f4"))
        then, otherwise = g.body(), g.body()
        added = then.node("Add", [state, conv(then, conv(then, state))])
        state = g.if_(g.above(score, 0.0), then, [added], otherwise, [state])
    return g.model([(g.pooled(state), FLOAT, [1, CHANNELS])])


def compiled(count: int, patch: pytest.MonkeyPatch) -> tuple[Executable, dict[str, int]]:
    """A program compiled with nothing remembered, and how often programs were put in order and timed."""
    calls = {"order": 0, "time": 0}
    for module, name, key in ((arranged, "interleave", "order"), (estimate, "time_program", "time")):
        original = getattr(module, name)

        def counted(*given: Any, original: Any = original, key: str = key) -> Any:
            calls[key] += 1
            return original(*given)

        patch.setattr(module, name, counted)
    patch.setattr(arranged, "_ORDERS", arranged.Memo(arranged.MOST_PROGRAMS))
    patch.setattr(estimate, "_TIMES", arranged.Memo(arranged.MOST_PROGRAMS))
    images = np.random.default_rng(1).standard_normal((24, CHANNELS, EXTENT, EXTENT)).astype(np.float32)
    model = weft.quantize(load(blocks(count)), {"image": images})
    return weft.compile(model, driver="host", host="cortex-a53").executable, calls


def test_more_blocks_are_no_more_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (3, 9):
        with monkeypatch.context() as patch:
            compiled(count, patch)  # what operators take alone is remembered on disk
        with monkeypatch.context() as patch:
            executable, calls = compiled(count, patch)
        found.append((calls, len({region.constants for region in executable.regions})))
    (few, _), (many, constants) = found
    assert few == many and few["order"] > 0
    assert constants >= 2 * 9  # a gate and two layers of each block: all weights are there


def test_what_is_remembered_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit the program that comes without a memory."""
    with monkeypatch.context() as patch:
        remembered, _ = compiled(3, patch)
    with monkeypatch.context() as patch:
        patch.setattr(arranged, "MOST_INSTRUCTIONS", 0)
        plain, calls = compiled(3, patch)
    assert plain == remembered
    assert calls["order"] > len({region.instructions for region in plain.regions})


def test_numbers_are_all_that_may_differ() -> None:
    """Fields that are left out of the key decide neither about addresses nor about time."""
    for kind, names in arranged.NUMBERS.items():
        known = {field.name for field in kind.FIELDS}
        assert known.issuperset(names)
        assert not {name for name in names if "stride" in name or "count" in name or name in ("a", "b", "d")}
