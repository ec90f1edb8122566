"""`weft.from_torch`: a PyTorch module or exported program as a Weft model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.export import ExportedProgram

from weft.errors import SourceError
from weft.frontend.load import load
from weft.frontend.model import Model
from weft.frontend.torch.assemble import to_onnx
from weft.frontend.torch.exported import capture
from weft.frontend.torch.program import CapturedProgram


def from_torch(program: torch.nn.Module | ExportedProgram, example_inputs: Sequence[torch.Tensor] = ()) -> Model:
    """An ONNX model, with If, Loop and Scan where the program decides on data.

    `program` is a module, taken from the source of its `forward`, or an ExportedProgram, which brings its own
    example inputs.
    `example_inputs` are tensors of the shapes and dtypes that the model takes, in `forward`'s order. Raises
    SourceError, with file, line and reason, for what cannot be taken; no path is ever chosen by what the examples
    happen to hold.
    """
    return load(to_onnx(captured(program, example_inputs)))


def captured(program: torch.nn.Module | ExportedProgram, example_inputs: Sequence[torch.Tensor]) -> CapturedProgram:
    """The program with its control flow, by the way in that fits it."""
    if isinstance(program, ExportedProgram):
        return capture(program, "exported")
    if not isinstance(program, torch.nn.Module):
        raise SourceError(f"from_torch takes a torch.nn.Module or an ExportedProgram, not a {type(program).__name__}")
    from weft.frontend.torch.source import capture_module

    return capture_module(program, example_inputs)
