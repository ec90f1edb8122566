"""A program in control-flow form as JSON, and the checked way back."""

from __future__ import annotations

from typing import Any

from weft_runtime.control import (
    MAX_BATCH,
    MAX_DEPTH,
    Batching,
    Block,
    Branch,
    ControlFlow,
    Launch,
    Loop,
    Network,
    NetworkBatch,
    ReadScalar,
    Statement,
)
from weft_runtime.errors import ArtifactError
from weft_runtime.fields import MAX_COUNT, Fields
from weft_runtime.steps import Step, TensorSignature

__all__ = ["describe_control", "restore_control"]

MAX_EXTENT = 1 << 31
MAX_WORK = 1 << 62
KINDS = ("launch", "read", "branch", "loop")


def describe_control(control: ControlFlow) -> dict[str, Any]:
    """The program as plain JSON values."""
    networks = [
        {
            "name": each.name,
            "inputs": list(each.inputs),
            "outputs": list(each.outputs),
            "steps": [{"kind": step.kind, "index": step.index} for step in each.steps],
            "macs": each.macs,
        }
        for each in control.networks
    ]
    batching = {} if control.batching is None else {"batching": _describe_batching(control.batching)}
    return {"networks": networks, "body": _describe_block(control.body), **batching}


def restore_control(fields: Fields) -> ControlFlow:
    """The inverse. Raises ArtifactError for members of the wrong type or range, and for blocks nested too deep."""
    return ControlFlow(
        fields.objects("networks", _restore_network),
        fields.object("body", lambda each: _restore_block(each, 1)),
        fields.object("batching", _restore_batching) if "batching" in fields else None,
    )


def _describe_batching(batching: Batching) -> dict[str, Any]:
    return {
        "most": batching.most,
        "singles": list(batching.singles),
        "sizes": [{**vars(each), "stacked": [int(axis) for axis in each.stacked]} for each in batching.sizes],
        "alone": [{"network": network, "reason": reason} for network, reason in batching.alone],
    }


def _restore_batching(fields: Fields) -> Batching:
    return Batching(
        fields.whole("most", 2, MAX_BATCH),
        fields.wholes("singles", 0, MAX_WORK),
        fields.objects("sizes", _restore_size),
        fields.objects("alone", lambda each: (each.whole("network", 0, MAX_COUNT), each.text("reason"))),
    )


def _restore_size(fields: Fields) -> NetworkBatch:
    return NetworkBatch(
        fields.whole("network", 0, MAX_COUNT),
        fields.whole("size", 2, MAX_BATCH),
        fields.whole("variant", 0, MAX_COUNT),
        fields.whole("nanoseconds", 0, MAX_WORK),
        tuple(bool(each) for each in fields.wholes("stacked", 0, 1)),
    )


def _describe_block(block: Block) -> dict[str, Any]:
    return {"statements": [_describe(each) for each in block.statements], "results": list(block.results)}


def _describe(statement: Statement) -> dict[str, Any]:
    match statement:
        case Launch(network, inputs, outputs):
            return {"kind": "launch", "network": network, "inputs": list(inputs), "outputs": list(outputs)}
        case ReadScalar(value, scalar):
            return {"kind": "read", "value": value, "scalar": scalar}
        case Branch():
            return {
                "kind": "branch",
                "name": statement.name,
                "condition": statement.condition,
                "then": _describe_block(statement.then),
                "otherwise": _describe_block(statement.otherwise),
                "results": list(statement.results),
            }
        case Loop():
            stacked = [{**vars(each), "shape": list(each.shape)} for each in statement.stacked]
            lists = {name: list(getattr(statement, name)) for name in ("initial", "parameters", "results")}
            return {
                **vars(statement),
                **lists,
                "kind": "loop",
                "stacked": stacked,
                "body": _describe_block(statement.body),
            }


def _restore_network(fields: Fields) -> Network:
    return Network(
        fields.text("name"),
        fields.texts("inputs"),
        fields.texts("outputs"),
        fields.objects("steps", restore_step),
        fields.whole("macs", 0, MAX_WORK),
    )


def restore_step(fields: Fields) -> Step:
    """One step. Raises ArtifactError."""
    kind = fields.choice("kind", ("host", "device"))
    return Step("host" if kind == "host" else "device", fields.whole("index", 0, MAX_EXTENT))


def _restore_block(fields: Fields, depth: int) -> Block:
    if depth > MAX_DEPTH:
        raise ArtifactError(f"the program's blocks are nested more than {MAX_DEPTH} deep")
    return Block(fields.objects("statements", lambda each: _restore(each, depth)), fields.texts("results"))


def _restore(fields: Fields, depth: int) -> Statement:
    match fields.choice("kind", KINDS):
        case "launch":
            return Launch(fields.whole("network", 0, MAX_COUNT), fields.texts("inputs"), fields.texts("outputs"))
        case "read":
            return ReadScalar(fields.text("value"), fields.text("scalar"))
        case "branch":
            return Branch(
                fields.text("name"),
                fields.text("condition"),
                fields.object("then", lambda each: _restore_block(each, depth + 1)),
                fields.object("otherwise", lambda each: _restore_block(each, depth + 1)),
                fields.texts("results"),
            )
    return Loop(
        name=fields.text("name"),
        count=fields.text("count"),
        condition=fields.text("condition"),
        proceed=fields.text("proceed"),
        index=fields.text("index"),
        going=fields.text("going"),
        index_rank=fields.whole("index_rank", 0, 1),
        going_rank=fields.whole("going_rank", 0, 1),
        initial=fields.texts("initial"),
        parameters=fields.texts("parameters"),
        results=fields.texts("results"),
        stacked=fields.objects("stacked", _restore_slice),
        body=fields.object("body", lambda each: _restore_block(each, depth + 1)),
    )


def _restore_slice(fields: Fields) -> TensorSignature:
    return TensorSignature(fields.text("name"), fields.text("dtype"), fields.dimensions("shape", MAX_EXTENT))
