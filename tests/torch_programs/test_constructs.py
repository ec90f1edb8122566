"""Plain source with decisions on data gives what PyTorch gives, on every path."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import constructs  # noqa: E402
from comparison import compare, draw  # noqa: E402

from weft.frontend.torch.entry import from_torch  # noqa: E402

SHAPE = (1, 4)
ROWS = (3, 4)
# How many combinations of numbers (paths) the samples must reach at least.
PATHS = {
    "IfElifElse": 3, "IfWithoutElse": 4, "EarlyReturns": 4, "WhileOnData": 4, "WhileMixed": 100, "BreakAndContinue": 20,
    "WhileTrue": 5, "WhileElse": 4, "ForRangeShort": 5, "ForRangeLong": 6, "ForRangeOnData": 4, "ForOverRows": 4,
    "GrowingModuleList": 3, "Helpers": 4, "Expressions": 4, "ShortCircuit": 5, "ItemsByData": 3, "WritesIntoBuffer": 4,
    "ChangesOwnTensor": 2, "ListsAndDicts": 4, "NestedLoops": 5, "IfInWhileInIf": 4, "CondInLoop": 1,
    "FirstValueIsANumber": 1, "StaticPython": 1, "AssignedOnOnePathOfABody": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_plain_source(name: str) -> None:
    torch.manual_seed(0)
    module = getattr(constructs, name)().eval()
    shape = ROWS if name == "ForOverRows" else SHAPE
    model = from_torch(module, (torch.zeros(shape),))
    paths = compare(module, model, draw((shape,), 120))
    assert len(paths) >= PATHS[name]
    assert "forward" not in module.__dict__


def test_every_construct_is_tested() -> None:
    defined = {
        name
        for name, each in vars(constructs).items()
        if isinstance(each, type) and each.__module__ == constructs.__name__
    }
    assert defined == set(PATHS)
