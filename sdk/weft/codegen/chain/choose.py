"""Which neighbouring operators become chains, and of how many tiles: the cheapest cover of the region by estimate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from weft.codegen.chain.estimate import alone, chained
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.chain.members import Member, member_of
from weft.codegen.chain.plan import plan_chain
from weft.codegen.context import Context
from weft.ir.operators import Operator, View

__all__ = ["choose_chains"]

TILES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 28)
LONGEST_TILED = 10
"""Members of a chain of several tiles: halos grow with each."""
LONGEST_WHOLE = 96


def choose_chains(operators: Sequence[Operator], outputs: Collection[str], context: Context) -> dict[int, ChainPlan]:
    """Chains by the index of their first operator; operators are in topological order, chains do not overlap."""
    members = [member_of(each, context) for each in operators]
    last_reads = _last_reads(operators, outputs)
    best = [0.0] + [float("inf")] * len(operators)
    taken: list[tuple[int, ChainPlan | None]] = [(0, None)] * (len(operators) + 1)
    for start in range(len(operators)):
        cost = best[start] + (0.0 if members[start].refusal else alone(members[start], context))
        if cost < best[start + 1]:
            best[start + 1], taken[start + 1] = cost, (start, None)
        if members[start].refusal:
            continue
        for stop, plan in _chains(members, start, last_reads, context):
            cost = best[start] + chained(plan, context)
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
    candidates: Sequence[Member], start: int, last_reads: dict[str, int], context: Context
) -> list[tuple[int, ChainPlan]]:
    """Chains that begin at `start`, with the index behind their last member: whole ones as long as they fit, tiled ones
    with as few tiles as fit."""
    found: list[tuple[int, ChainPlan]] = []
    whole = tiled = True
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
