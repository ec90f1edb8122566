"""The trained suite's source, unedited, with its stored weights: as the stored ONNX models, and as PyTorch itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")
pytest.importorskip("sklearn")

from comparison import ABSOLUTE, RELATIVE, sessions  # noqa: E402
from suite import SUITE  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import weft  # noqa: E402
from weft.api.decisions import DecisionTally  # noqa: E402
from weft.dynamic import FormRunner, split  # noqa: E402
from weft.frontend import normalize  # noqa: E402
from weft_runtime.interpreter import Decision  # noqa: E402

INPUTS = 500
ROUNDING = 1e-4
"""Margins below which float rounding may decide: two libraries add up in different orders."""


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[list[str]]:
    """The names of the modules that are called, in order: which way eager execution takes."""
    called: list[str] = []
    hooks = [
        each.register_forward_pre_hook(partial(lambda name, *given: called.append(name), name))
        for name, each in module.named_modules()
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def run(session: onnxruntime.InferenceSession, sample: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(session.run(None, sample))


@pytest.mark.parametrize("name", SUITE)
def test_source_and_stored_model_are_one(name: str) -> None:
    """from_torch on the source, or on its export, with the stored weights gives the stored program's bits for every
    input."""
    entry = SUITE[name]
    evaluation = entry.data().evaluation
    ours = sessions(entry.converted())
    theirs = sessions(weft.load(entry.model))
    for index in range(INPUTS):
        sample = evaluation.sample(index)
        for one, other in zip(run(ours, sample), run(theirs, sample), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [name for name, entry in SUITE.items() if entry.way == "source"])
def test_eager_execution_goes_the_same_ways(name: str) -> None:
    """On every input the outputs are PyTorch's. Paths are in one-to-one correspondence to the sequences of modules that
    eager execution calls; where they are not, a decision was taken within rounding."""
    entry = SUITE[name]
    evaluation = entry.data().evaluation
    form = split(normalize(weft.load(entry.model))).form
    assert form is not None
    runner, module = FormRunner(form), entry.trained()
    found: list[tuple[tuple[str, ...], tuple[Decision, ...]]] = []
    differing = 0
    with torch.no_grad(), watched(module) as called:
        for index in range(INPUTS):
            sample = evaluation.sample(index)
            called.clear()
            answers = pytree.tree_leaves(module(*(torch.from_numpy(rows.copy()) for rows in sample.values())))
            values, path = runner.run(sample)
            found.append((tuple(called), path))
            close = all(
                np.allclose(ours, np.asarray(theirs), rtol=RELATIVE, atol=ABSOLUTE)
                for ours, theirs in zip(values.values(), answers, strict=True)
            )
            differing += not close
    flips, margin = flipped(found, DecisionTally(form), [evaluation.sample(index) for index in range(INPUTS)])
    assert differing <= flips <= INPUTS // 100
    assert margin is None or margin < ROUNDING


def flipped(
    found: list[tuple[tuple[str, ...], tuple[Decision, ...]]],
    tally: DecisionTally,
    samples: list[dict[str, np.ndarray]],
) -> tuple[int, float | None]:
    """How many inputs go another way than most of those for which eager execution calls the same modules, and the
    largest margin of their decisions."""
    ways: dict[tuple[str, ...], Counter[tuple[Decision, ...]]] = {}
    for called, path in found:
        ways.setdefault(called, Counter())[path] += 1
    usual = {called: counts.most_common(1)[0][0] for called, counts in ways.items()}
    assert len(set(usual.values())) == len(usual) > 1
    parted = [index for index, (called, path) in enumerate(found) if usual[called] != path]
    for index in parted:
        tally.compare(samples[index], usual[found[index][0]])
    margins = [each.largest_flipped for each in tally.reports() if each.flips]
    assert None not in margins
    return len(parted), max((each for each in margins if each is not None), default=None)
