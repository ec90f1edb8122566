"""Plain `nn.Module` source as a captured program: the module runs once, rewritten, on tensors without values."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from weft.errors import SourceError
from weft.frontend.torch.calls import forward_of
from weft.frontend.torch.location import at_function, located, refuse
from weft.frontend.torch.merging import Unusable
from weft.frontend.torch.program import CapturedProgram
from weft.frontend.torch.recorder import Recorder
from weft.frontend.torch.runtime import Runtime
from weft.frontend.torch.scalars import Scalar


def capture_module(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> CapturedProgram:
    """The program of a module's forward. Raises SourceError, with file and line, for what cannot be taken."""
    _check(module, example_inputs)
    names = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    recorder = Recorder(names)
    recorder.modules = tuple(module.modules())
    runtime = Runtime(recorder)
    input_names = _input_names(module, len(example_inputs))
    inputs = [
        recorder.add_input(f"input_{name}", example) for name, example in zip(input_names, example_inputs, strict=True)
    ]
    with torch.no_grad(), _rewritten_forwards(module, runtime), recorder:
        try:
            result = runtime.call(module, *inputs)
            with at_function(type(module).forward):
                outputs = [_output(recorder, leaf) for leaf in pytree.tree_leaves(result) if leaf is not None]
        except SourceError:
            raise
        except RecursionError as error:
            raise SourceError(f"{type(module).__name__}: the recording recurses without end; write a loop") from error
        except Exception as error:
            raise located(error, error.__traceback__) from error
    if not outputs:
        raise SourceError(f"{type(module).__name__}: forward returns no tensor")
    block = recorder.close(recorder.region, outputs, recorder.main_inputs())
    results = tuple(f"output_{index}" for index in range(len(outputs)))
    return CapturedProgram(
        block, recorder.weights_by_placeholder(block), tuple(input_names), results, type(module).__name__
    )


def _check(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> None:
    for index, example in enumerate(example_inputs):
        if not isinstance(example, torch.Tensor):
            raise SourceError(
                f"example input {index} is a {type(example).__name__}; only tensors are inputs of a compiled program"
            )
        if any(isinstance(extent, torch.SymInt) for extent in example.shape):
            raise SourceError(
                f"example input {index} has a free extent; a program is recorded for the shapes of its examples"
            )
    if not example_inputs:
        raise SourceError(f"{type(module).__name__}: give from_torch one example tensor for each input of forward")


def _input_names(module: nn.Module, count: int) -> list[str]:
    """The names of forward's first parameters."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return [plain[index] if index < len(plain) else f"input_{index}" for index in range(count)]


@contextlib.contextmanager
def _rewritten_forwards(module: nn.Module, runtime: Runtime) -> Iterator[None]:
    """Every part's forward that is the user's source goes through the runtime while this lasts."""
    changed: list[nn.Module] = []
    try:
        for part in module.modules():
            forward = forward_of(part)
            if forward is not None and "forward" not in part.__dict__:
                part.__dict__["forward"] = functools.partial(runtime.call, forward, part)
                changed.append(part)
        yield
    finally:
        for part in changed:
            del part.__dict__["forward"]


def _output(recorder: Recorder, leaf: Any) -> torch.Tensor:
    if isinstance(leaf, Unusable):
        leaf.fail_at_origin()
    if isinstance(leaf, Scalar):
        leaf = leaf.tensor
    if isinstance(leaf, bool | int | float):
        kinds = {bool: torch.bool, int: torch.int64, float: torch.float64}
        leaf = torch.full((), leaf, dtype=kinds[type(leaf)])
    if not isinstance(leaf, torch.Tensor):
        raise refuse(
            f"forward returns a {type(leaf).__name__}; only tensors and numbers are outputs of a compiled program"
        )
    recorder.check_result(leaf)
    return recorder.fake(leaf)
