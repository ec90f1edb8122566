"""Which movements of elements the accelerator takes: those between operators that compute there, at a fair price."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from weft.codegen.movement import plan_movement
from weft.ir import Movement, Operator, View
from weft.ir.movements import as_movement, compose, fuse_movements
from weft_sim.machine import MachineConfig

__all__ = ["copied_view", "copied_views", "lonely_movement", "refused_movement"]

MOST_CYCLES_PER_ELEMENT, FEW_CYCLES = 8, 2000
"""What costs more than both together stays on the host."""


def refused_movement(operator: Movement, config: MachineConfig) -> str | None:
    """Why the machine cannot or should not move this, or None."""
    for tensor in (*operator.inputs, operator.output):
        if len(tensor.shape) > 4:
            return f"{tensor.name!r} has shape {list(tensor.shape)}; the accelerator stores ranks 1 to 4"
    if not operator.inputs:
        return "its result is constant"
    plan = plan_movement(operator, config)
    if plan is None:
        return "its elements move too irregularly for the accelerator's transfers"
    size = operator.index.size
    if plan.cycles > MOST_CYCLES_PER_ELEMENT * size + FEW_CYCLES:
        return f"moving {size} elements would take the accelerator about {plan.cycles} cycles"
    return None


def copied_views(operators: Sequence[Operator], names: set[str]) -> list[Operator]:
    """The same operators, with the named ones that are views as copies: for views whose two sides need other forms."""
    return fuse_movements(
        [as_movement(each) if isinstance(each, View) and each.name in names else each for each in operators]
    )


def copied_view(view: Operator, operators: Sequence[Operator], config: MachineConfig) -> Movement | None:
    """A view of something on the accelerator as a copy of it, or None if `view` is none or its copy costs too much."""
    if not isinstance(view, View) or all(view.inputs[0].name != each.output.name for each in operators):
        return None
    makers: dict[str, Movement] = {}
    for each in operators:
        if isinstance(each, View | Movement):
            moving = as_movement(each) if isinstance(each, View) else each
            makers[each.output.name] = compose(moving, makers)
    copied = makers[view.output.name]
    return copied if refused_movement(copied, config) is None else None


def lonely_movement(
    operators: Sequence[Operator], insisted: frozenset[str], given: Collection[str]
) -> tuple[Operator, str] | None:
    """The first movement that does not lie between operators that compute: alone it would only add transfers.
    Those whose names are in `insisted` may, and those that take or make tensors in `given`: these cross the graph's
    border as they are stored, perhaps from or to another accelerator program."""
    roots: dict[str, str] = {}
    for operator in operators:
        if isinstance(operator, View):
            source = operator.inputs[0].name
            roots[operator.output.name] = roots.get(source, source)
    computing = [operator for operator in operators if not isinstance(operator, View | Movement)]
    made = {operator.output.name for operator in computing}
    read = {roots.get(tensor.name, tensor.name) for operator in computing for tensor in operator.inputs}
    for operator in operators:
        if not isinstance(operator, Movement) or operator.name in insisted:
            continue
        if not any(roots.get(tensor.name, tensor.name) in made.union(given) for tensor in operator.inputs):
            return operator, "it moves what the host has: in front of the accelerator that is the host's"
        if operator.output.name not in read and operator.output.name not in given:
            return operator, "it moves what the host reads: behind the accelerator that is the host's"
    return None
