"""What cannot be taken is an error with file, line and reason; never a path that was baked in."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import refused  # noqa: E402

from weft.errors import SourceError  # noqa: E402
from weft.frontend.torch.entry import from_torch  # noqa: E402

PROGRAMS = [
    name for name, each in vars(refused).items() if isinstance(each, type) and each.__module__ == refused.__name__
]


def marked(program: type) -> tuple[int | None, str]:
    """The line that a program's mark stands on, and the mark."""
    lines, first = inspect.getsourcelines(program)
    for number, line in enumerate(lines, first):
        _, mark, text = line.partition("  # ")
        if mark and not text.startswith("type:"):
            return number, text.strip()
    return None, ""


@pytest.mark.parametrize("name", PROGRAMS)
def test_refused_with_file_line_and_reason(name: str) -> None:
    program = getattr(refused, name)
    module = program().eval()
    with pytest.raises(SourceError) as caught:
        from_torch(module, (torch.zeros(2, 4),))
    line, reason = marked(program)
    message = str(caught.value)
    assert reason in message
    if line is not None:
        assert message.startswith(f"{Path(refused.__file__)}:{line}: ")
    assert "forward" not in module.__dict__
