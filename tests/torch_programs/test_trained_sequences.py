"""The trained networks with loops, eagerly in PyTorch: how often each way is taken, and their torch.export forms."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")
pytest.importorskip("sklearn")

import nested_loops  # noqa: E402
from comparison import compare  # noqa: E402
from suite import SUITE, Entry  # noqa: E402

import weft  # noqa: E402

INPUTS = 500
TWINS = {"cond_in_while_loop": nested_loops.IfInWhile, "while_loop_in_cond": nested_loops.WhileInIf}
COUNTS = {"captioner": 4, "decoder": 6, "halting": 4, "if_in_while": 6, "while_in_if": 5, "experts": 4}
"""How many values the number that `forward` returns second has with 5 % of the inputs each: words, symbols, updates,
rounds, the expert."""


def samples_of(entry: Entry) -> list[tuple[torch.Tensor, ...]]:
    rows = [entry.data().evaluation.sample(index) for index in range(INPUTS)]
    return [tuple(torch.from_numpy(each.copy()) for each in row.values()) for row in rows]


@pytest.mark.parametrize("name", COUNTS)
def test_every_length_is_taken(name: str) -> None:
    entry = SUITE[name]
    module = entry.trained()
    with torch.no_grad():
        counts = Counter(module(*sample)[1] for sample in samples_of(entry))
    often = {count for count, times in counts.items() if times >= 0.05 * INPUTS}
    assert len(often) >= COUNTS[name], counts
    if name in ("captioner", "decoder"):  # the stop token ends the loop, and the lack of room
        assert max(counts) == module(*entry.examples())[0].shape[1] in often


@pytest.mark.parametrize("name", TWINS)
def test_exported_program_is_its_plain_twin(name: str) -> None:
    """The model of the exported program, PyTorch's own operators run eagerly, and the same network written in plain
    Python: same outputs, same numbers of rounds."""
    entry = SUITE[name]
    module, model = entry.trained(), weft.load(entry.model)
    twin = TWINS[name]()
    twin.load_state_dict(module.state_dict())
    samples = samples_of(entry)
    compare(module, model, samples)
    paths = compare(twin.eval(), model, samples)
    assert len(paths) >= COUNTS["while_in_if"]
