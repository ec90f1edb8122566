"""Random programs as plain source give what eager PyTorch gives."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

from comparison import compare, draw  # noqa: E402
from random_source import Writer  # noqa: E402

import weft  # noqa: E402

COUNT = int(os.environ.get("WEFT_TORCH_PROGRAMS", "6"))


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_program(seed: int, tmp_path: Path) -> None:
    path = tmp_path / f"program_{seed}.py"
    path.write_text(Writer(seed).program())
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    namespace = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(namespace)
    torch.manual_seed(seed)
    module = namespace.Program().eval()
    compare(module, weft.from_torch(module, (torch.zeros(1, 4),)), draw(((1, 4),), 100, seed))
