"""`torch.export` programs as captured programs."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from weft.errors import SourceError
from weft.frontend.torch.program import CONSTANT_COPIES, Block, CapturedProgram
from weft.frontend.torch.sections import where

TRAINABLE = {"aten::batch_norm", "aten::instance_norm"}
TRAINING = 5
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
            changing = _first_change(exported.graph_module)
            raise SourceError(
                f"{'' if changing is None else where(changing)}{name}: the program changes '{result.target}' in place "
                f"({result.kind.name.lower()}), which an ONNX model "
                "cannot; return the new value instead, and call eval() on modules that track statistics"
            )
    outputs = tuple(f"output_{index}" for index in range(len(signature.output_specs)))
    return CapturedProgram(block_of(functional.graph_module), weights, tuple(inputs), outputs, name)


def _functionalized(exported: ExportedProgram, name: str) -> ExportedProgram:
    """The program without changes in place.

    PyTorch (2.13) fails here at constants within nested bodies of cond, while_loop and scan; a program that changes
    nothing in place does not need it.
    """
    try:
        return exported.run_decompositions({})
    except Exception as error:
        changing = _first_change(exported.graph_module)
        if changing is None:
            return exported
        text = str(error).strip()
        reason = f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"
        raise SourceError(
            f"{where(changing) or f'{name}: '}PyTorch cannot take the change in place by {changing.target} out of this "
            f"program ({reason}); compute a new value instead"
        ) from error


def _first_change(module: torch.fx.GraphModule) -> torch.fx.Node | None:
    """The first node, within bodies too, that may change something in place."""
    for part in module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            target = node.target
            if not isinstance(target, torch._ops.OpOverload) or target in CONSTANT_COPIES:
                continue
            # In training these change running statistics, which their schemas do not say.
            trains = target._schema.name in TRAINABLE and any(each is True for each in node.args[: TRAINING + 1])
            if target._schema.is_mutable or trains:
                return node
    return None


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
