"""What cannot be taken is an error with file, line and reason; never a path that was baked in."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import refused  # noqa: E402
import refused_exports  # noqa: E402

from weft.errors import SourceError  # noqa: E402
from weft.frontend.torch.entry import from_torch  # noqa: E402


def programs(module: ModuleType) -> list[str]:
    return [
        name for name, each in vars(module).items() if isinstance(each, type) and each.__module__ == module.__name__
    ]


PROGRAMS, EXPORTS = programs(refused), programs(refused_exports)


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


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", EXPORTS)
def test_exported_program_is_refused_with_file_line_and_reason(name: str, strict: bool) -> None:
    program = getattr(refused_exports, name)
    exported = torch.export.export(program().eval(), (torch.ones(2, 4),), strict=strict)
    with pytest.raises(SourceError) as caught:
        from_torch(exported)
    line, reason = marked(program)
    assert reason in str(caught.value)
    if strict:
        assert str(caught.value).startswith(f"{Path(refused_exports.__file__)}:{line}: ")
        return
    # PyTorch's other tracer remembers for a body's operators where cond, while_loop or scan was called.
    lines, first = inspect.getsourcelines(program)
    place = re.match(rf"{re.escape(refused_exports.__file__)}:(\d+): ", str(caught.value))
    assert place is not None and first <= int(place.group(1)) < first + len(lines)
