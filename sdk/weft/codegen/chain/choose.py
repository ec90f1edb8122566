"""Which neighbouring operators become chains, and of how many tiles: the cheapest cover of the region by estimate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from weft.codegen.chain.estimate import alone, chained
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.chain.members import Member, member_of
from weft.codegen.chain.plan import plan_chain
from weft.codegen.context import Context
from weft.ir.operators import Operator, View

__all__ = ["ChainCosts", "Ends", "choose_chains"]

TILES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 28)
LONGEST_TILED = 10
"""Members of a chain of several tiles: halos grow with each."""
LONGEST_WHOLE = 96
DOUBT = 1.01
"""Estimates of chains against measured cycles of operators: a gain of less is none, and costs a round of measuring."""


Ends = tuple[str, str]
"""Names of the first and the last operator of a chain."""


@dataclass(frozen=True)
class ChainCosts:
    """What is known from measuring: cycles of an operator from DRAM to DRAM (an estimate, where None), and chains that
    turned out to be slower than their operators one by one."""

    alone: Callable[[Operator], float] | None = None
    avoided: frozenset[Ends] = frozenset()


def choose_chains(
    operators: Sequence[Operator], outputs: Collection[str], context: Context, costs: ChainCosts
) -> dict[int, ChainPlan]:
    """Chains by the index of their first operator; operators are in topological order, chains do not overlap.

    Dynamic programming over the places between operators. A chain of one tile inside a longer one is no candidate, but
    where another chain ends in front of it.
    """
    members = [member_of(each, context) for each in operators]
    last_reads = _last_reads(operators, outputs)
    single = [_alone(each, context, costs) for each in members]
    best = [0.0] + [float("inf")] * len(operators)
    taken: list[tuple[int, ChainPlan | None]] = [(0, None)] * (len(operators) + 1)
    covered = 0
    for start in range(len(operators)):
        cost = best[start] + single[start]
        if cost < best[start + 1]:
            best[start + 1], taken[start + 1] = cost, (start, None)
        if members[start].refusal:
            continue
        before = taken[start][1]
        behind_tiles = before is not None and len(before.spans) > 1
        for stop, plan in _chains(members, start, last_reads, context, whole=start >= covered or behind_tiles):
            if (operators[start].name, operators[stop - 1].name) in costs.avoided:
                continue
            covered = max(covered, stop if len(plan.spans) == 1 else 0)
            cost = best[start] + DOUBT * chained(plan, context)
            if cost < best[stop]:
                best[stop], taken[stop] = cost, (start, plan)
    chains: dict[int, ChainPlan] = {}
    stop = len(operators)
    while stop:
        start, found = taken[stop]
        if found is not None:
            chains[start] = found
        stop = start
    return dict(sorted(chains.items()))


def _alone(member: Member, context: Context, costs: ChainCosts) -> float:
    """Nothing for operators that no chain can have: whatever they take, they take it beside every choice."""
    if member.refusal:
        return 0.0
    return alone(member, context) if costs.alone is None else costs.alone(member.operator)


def _last_reads(operators: Sequence[Operator], outputs: Collection[str]) -> dict[str, int]:
    """The last operator that reads each tensor, also through views; the end where it is read outside of the region."""
    roots: dict[str, str] = {}
    last: dict[str, int] = {}
    for index, operator in enumerate(operators):
        for tensor in operator.inputs:
            last[roots.get(tensor.name, tensor.name)] = index
            last[tensor.name] = index
        if isinstance(operator, View):
            roots[operator.output.name] = roots.get(operator.inputs[0].name, operator.inputs[0].name)
    for name in outputs:
        last[name] = last[roots.get(name, name)] = len(operators)
    return last


def _chains(
    candidates: Sequence[Member], start: int, last_reads: dict[str, int], context: Context, *, whole: bool
) -> list[tuple[int, ChainPlan]]:
    """Chains that begin at `start`, with the index behind their last member: `whole` ones as long as they fit,
    tiled ones with as few tiles as fit."""
    found: list[tuple[int, ChainPlan]] = []
    tiled = True
    fewest = 0
    for stop in range(start + 1, min(len(candidates), start + LONGEST_WHOLE) + 1):
        if candidates[stop - 1].refusal or not (whole or tiled):
            break
        members = candidates[start:stop]
        stored = {each.output.name for each in members if last_reads.get(each.output.name, -1) >= stop}
        if whole:
            plan = plan_chain(members, stored, 1, context)
            whole = plan is not None or stop - start < 2
            if plan is not None and stop - start > 1:
                found.append((stop, plan))
        if tiled and stop - start > 1:
            tiled = stop - start < LONGEST_TILED
            for place in range(fewest, len(TILES)):
                plan = plan_chain(members, stored, TILES[place], context)
                if plan is not None:
                    found.append((stop, plan))
                    fewest = place
                    break
    return found
