"""`weft.from_torch`, which needs PyTorch only when it is called."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.errors import SourceError
from weft.frontend.model import Model

if TYPE_CHECKING:
    import torch


def from_torch(
    program: torch.nn.Module | torch.export.ExportedProgram, example_inputs: Sequence[torch.Tensor] = ()
) -> Model:
    """An ONNX model of a PyTorch program, with If, Loop and Scan where it decides on data.

    `program` is a module, taken from the source of its `forward` (eval() it before), or an ExportedProgram, which
    brings its own examples. `example_inputs` are tensors of the shapes and dtypes of `forward`'s parameters, in
    order; their values do not matter. Each extent is fixed by them. Numbers that `forward` returns become outputs of
    shape () and dtype bool, int64 or float64.

    Raises SourceError, with file, line and reason, for what has no ONNX form and for every place where running the
    module once would fix a path for all inputs; and where PyTorch (the extra `weft[torch]`) is absent.
    """
    if importlib.util.find_spec("torch") is None:
        raise SourceError("from_torch needs PyTorch, which is absent: install the extra weft[torch]")
    from weft.frontend.torch.entry import from_torch as take

    return take(program, example_inputs)
