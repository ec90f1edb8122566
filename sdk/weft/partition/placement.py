"""Which recognized operators the accelerator takes, and why the others stay on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.codegen.convolution_plan import choose_tile
from weft.codegen.kinds import kind_of
from weft.ir import Graph, Operator, View
from weft.ir.operators import Convolution, Movement, same_bytes
from weft.partition.forms import assign_forms
from weft.partition.movements import copied_view, copied_views, lonely_movement, refused_movement
from weft_sim.machine import MachineConfig

__all__ = ["Placement", "capacity", "place"]

NO_NAMES: frozenset[str] = frozenset()
ViewShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """Operators for one accelerator in topological order; for nodes of the others by name, why it leaves them."""

    operators: tuple[Operator, ...]
    reasons: Mapping[str, str]


def place(
    graph: Graph, given: Sequence[Operator], config: MachineConfig, insisted: frozenset[str] = NO_NAMES
) -> Placement:
    """Takes every operator that fits the machine, except views that nothing on the accelerator can follow.

    `insisted` names those to take wherever that is possible, also where it does not pay.
    """
    reasons: dict[str, str] = {}
    taken: dict[str, Operator] = {}
    operators = given
    formed, contradicting = assign_forms(operators, config.lanes)
    while any(isinstance(each, View) and each.name in contradicting for each in operators):
        operators = copied_views(operators, set(contradicting))
        formed, contradicting = assign_forms(operators, config.lanes)
    for operator in given:
        if operator.name in contradicting:
            reasons.update(dict.fromkeys(operator.nodes, contradicting[operator.name]))
    for operator in formed:
        reason = capacity(operator, config)
        if reason is None:
            taken[operator.name] = operator
        else:
            reasons.update(dict.fromkeys(operator.nodes, reason))
    while True:
        operators = list(taken.values())
        refused = (
            _refused_view(graph, operators, config)
            or lonely_movement(operators, insisted, graph.handed_on)
            or _needlessly_inexact(operators, insisted)
        )
        if refused is None:
            return Placement(tuple(taken.values()), reasons)
        operator, reason = refused
        copied = copied_view(operator, operators, config)
        if copied is not None:
            taken[operator.name] = copied
            continue
        del taken[operator.name]
        reasons.update(dict.fromkeys(operator.nodes, reason))


def _needlessly_inexact(operators: Sequence[Operator], insisted: frozenset[str]) -> tuple[Operator, str] | None:
    """The first operator without products, and with a bound instead of a proof, whose result only the host reads."""
    read = {tensor.name for operator in operators for tensor in operator.inputs}
    for operator in operators:
        unread = operator.output.name not in read and operator.name not in insisted
        if operator.inexact and operator.macs == 0 and unread:
            return operator, "the host computes it exactly, and nothing on the accelerator reads it"
    return None


def capacity(operator: Operator, config: MachineConfig) -> str | None:
    """Why the machine cannot compute the operator at all; None if it can."""
    if isinstance(operator, Movement):
        return refused_movement(operator, config)
    kind = kind_of(operator)
    if kind is None:
        return f"{config.name} does not know {type(operator).__name__}"
    return None if kind.fits(operator, config) else f"no tile of it fits {config.name}'s memories"


def _refused_view(graph: Graph, operators: Sequence[Operator], config: MachineConfig) -> tuple[Operator, str] | None:
    """The first view that must go to the host: fed by the host, or read in a form that its storage does not have."""
    producers = {operator.output.name: operator for operator in operators}
    stored: dict[str, ViewShape] = {}
    for operator in operators:
        if not isinstance(operator, View):
            stored[operator.output.name] = operator.output.view
            continue
        source = operator.inputs[0].name
        if source not in producers and not _leads_in(operator, operators, config):
            return operator, "a reshape in front of the accelerator is the host's"
        stored[operator.output.name] = stored.get(source, operator.inputs[0].view)
        reason = _unreadable(operator, stored[operator.output.name], operators, config)
        if reason is not None:
            return operator, reason
    return None


def _leads_in(view: View, operators: Sequence[Operator], config: MachineConfig) -> bool:
    """Whether the view only renames a value from the host for a reader that computes."""
    if not same_bytes(view.inputs[0].view, view.output.view, config.lanes):
        return False
    readers = (each for each in operators if any(tensor.name == view.output.name for tensor in each.inputs))
    return any(not isinstance(reader, View) for reader in readers)


def _unreadable(view: View, stored: ViewShape, operators: Sequence[Operator], config: MachineConfig) -> str | None:
    if same_bytes(stored, view.output.view, config.lanes):
        return None
    for reader in operators:
        if isinstance(reader, View) or all(tensor.name != view.output.name for tensor in reader.inputs):
            continue
        flat = isinstance(reader, Convolution) and reader.weights.shape[2:] == (1, 1) and reader.group == 1
        if not flat or choose_tile(reader, stored, config, gather=False) is None:  # type: ignore[arg-type]
            return f"its reader {reader.name!r} cannot take the unflattened form"
    return None
