"""`torch.export` programs as captured programs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from weft.errors import SourceError
from weft.frontend.torch.location import user_place
from weft.frontend.torch.program import Block, CapturedProgram

CONSTANT_COPIES = {torch.ops.aten.lift_fresh_copy.default, torch.ops.aten.detach_.default}
WEIGHT_KINDS = {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}


def capture(exported: ExportedProgram, name: str) -> CapturedProgram:
    """The program of an ExportedProgram, functionalized and with its weights.

    Raises SourceError for what an ONNX model cannot hold: changed buffers and inputs, inputs that are no tensors, and
    extents that are free but were specialized.
    """
    refuse_free_extents(exported)
    functional = _functionalized(exported, name)
    signature = functional.graph_signature
    weights: dict[str, tuple[str, torch.Tensor]] = {}
    inputs: list[str] = []
    for entry in signature.input_specs:
        argument = entry.arg
        if entry.kind in WEIGHT_KINDS:
            assert entry.target is not None
            weights[argument.name] = (entry.target, _tensor(functional, entry.target))
        elif entry.kind is InputKind.USER_INPUT and type(argument).__name__ == "TensorArgument":
            inputs.append(argument.name)
        elif entry.kind is InputKind.USER_INPUT:
            _constant_input(functional, argument)
        else:
            raise SourceError(
                f"{name}: input '{argument.name}' is a {entry.kind.name.lower()}; only tensors have an ONNX form"
            )
    for result in signature.output_specs:
        if result.kind is not OutputKind.USER_OUTPUT:
            raise SourceError(
                f"{name}: the program changes '{result.target}' in place "
                f"({result.kind.name.lower()}), which an ONNX model "
                "cannot; return the new value instead, and call eval() on modules that track statistics"
            )
    outputs = tuple(f"output_{index}" for index in range(len(signature.output_specs)))
    return CapturedProgram(block_of(functional.graph_module), weights, tuple(inputs), outputs, name)


def _functionalized(exported: ExportedProgram, name: str) -> ExportedProgram:
    """The program without changes in place."""
    with copied_constants(exported.graph_module):
        try:
            return exported.run_decompositions({})
        except Exception as error:
            text = str(error).strip()
            place = user_place(text)
            reason = f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"
            raise SourceError(
                f"{place or f'{name}: '}PyTorch cannot take the changes in place out of this program ({reason}); "
                "write what changes a tensor so that it gives a new one"
            ) from error


@contextlib.contextmanager
def copied_constants(module: torch.fx.GraphModule) -> Iterator[None]:
    """While this lasts, constants written in the source are copied by `clone`.

    A program has them as `lift_fresh_copy` and `detach_`, which PyTorch cannot make functional within bodies of
    cond, while_loop and scan (2.13).
    """
    changed: list[tuple[torch.fx.Node, Any]] = []
    for part in module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            if node.target in CONSTANT_COPIES and len(node.all_input_nodes) == 1:
                changed.append((node, node.target))
    try:
        for node, _ in changed:
            node.target = torch.ops.aten.clone.default
        yield
    finally:
        for node, target in changed:
            node.target = target


def block_of(module: torch.fx.GraphModule) -> Block:
    """A graph module with all its bodies."""
    blocks: dict[str, Block] = {}
    tensors: dict[str, torch.Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            attribute = _attribute(module, str(node.target))
            if isinstance(attribute, torch.fx.GraphModule):
                blocks[str(node.target)] = block_of(attribute)
            elif isinstance(attribute, torch.Tensor):
                tensors[str(node.target)] = attribute
    return Block(module.graph, blocks, tensors)


def refuse_free_extents(exported: ExportedProgram) -> None:
    """Raises SourceError where the program has free extents: every guard on them is a path that was baked in."""
    for node in exported.graph.nodes:
        if node.op != "placeholder" or not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        for axis, extent in enumerate(node.meta["val"].shape):
            if isinstance(extent, torch.SymInt):
                raise SourceError(_free_extent_message(exported, node.name, axis, extent))


def _free_extent_message(exported: ExportedProgram, name: str, axis: int, extent: torch.SymInt) -> str:
    bounds = exported.range_constraints.get(extent.node.expr)
    holds = f" and the program was specialized to extents in {bounds}" if bounds is not None else ""
    return (
        f"input '{name}': axis {axis} has the free extent {extent}{holds}; export the program with fixed extents, "
        "once for each shape that is needed"
    )


def _constant_input(exported: ExportedProgram, argument: Any) -> None:
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == argument.name and node.users:
            raise SourceError(
                f"input '{argument.name}' is a number that the program computes with; pass a tensor instead"
            )


def _tensor(exported: ExportedProgram, target: str) -> torch.Tensor:
    found = exported.state_dict.get(target, exported.constants.get(target))
    if not isinstance(found, torch.Tensor):
        raise SourceError(f"the program names the weight '{target}' and does not hold it")
    return found


def _attribute(module: torch.nn.Module, target: str) -> Any:
    found: Any = module
    for part in target.split("."):
        found = getattr(found, part)
    return found
