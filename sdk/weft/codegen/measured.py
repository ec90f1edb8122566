"""A region lowered with what the simulator says about it: a chain that does not pay is taken apart."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Sequence

from weft.codegen.estimate import RegionEstimate, estimate_region
from weft.codegen.fusion import fuse_epilogues
from weft.codegen.overlap import can_overlap
from weft.codegen.region import LoweredRegion, Schedule, lower_region
from weft.errors import CompileError
from weft.ir import Operator
from weft.ir.fused import FusedConvolution
from weft_sim.machine import MachineConfig

__all__ = ["lower_measured"]

ROUNDS = 4
WORTH_A_ROUND = 0.005
"""Share of the cycles that a round must have saved for another to be tried."""
Attempted = tuple[LoweredRegion, RegionEstimate]
Attempt = Callable[[Schedule], Attempted]


def lower_measured(
    name: str, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, schedule: Schedule
) -> tuple[LoweredRegion, RegionEstimate]:
    """The fastest of the programs tried, and its cycles: without chains, with row operators beside products, and with
    chains that are chosen by estimate, those that take longer than their operators alone avoided in the next round."""

    def attempt(chosen: Schedule) -> tuple[LoweredRegion, RegionEstimate]:
        region = lower_region(operators, outputs, config, chosen)
        return region, estimate_region(name, region, config)

    single = dataclasses.replace(schedule, options=dataclasses.replace(schedule.options, side_by_side=False))
    tried = [attempt(dataclasses.replace(single, options=dataclasses.replace(single.options, chains=False)))]
    if schedule.options.side_by_side and can_overlap(operators, config):
        with contextlib.suppress(CompileError):  # something does not fit half the memories
            tried.append(attempt(schedule))
    if schedule.options.chains:
        fused = fuse_epilogues(operators, outputs, config) if schedule.options.fusion else ()
        tails = {each.tail.name for each in fused if isinstance(each, FusedConvolution)}
        tried += _with_chains(operators, single, attempt, tails, tried[0][1].cycles)
    return min(tried, key=lambda found: found[1].cycles)


def _with_chains(
    operators: Sequence[Operator], schedule: Schedule, attempt: Attempt, tails: Collection[str], least: int
) -> list[Attempted]:
    """`tails`: operators that cost next to nothing, as they can be fused. `least`: cycles without chains."""
    alone = schedule.costs.alone
    if alone is not None:
        alone = _unless_fused(alone, tails)
        schedule = dataclasses.replace(schedule, costs=dataclasses.replace(schedule.costs, alone=alone))
    by_name = {operator.name: operator for operator in operators}
    tried: list[Attempted] = []
    for _ in range(ROUNDS):
        region, estimate = attempt(schedule)
        if not region.chains:
            break
        tried.append((region, estimate))
        if alone is None:
            break
        losing = {
            (chain[0], chain[-1]) for chain in region.chains
            if sum(estimate.by_node.get(each, 0) for each in chain) > sum(alone(by_name[each]) for each in chain)
        }  # fmt: skip
        if not losing or estimate.cycles > least * (1 - WORTH_A_ROUND):
            break
        least = estimate.cycles
        costs = dataclasses.replace(schedule.costs, avoided=schedule.costs.avoided | losing)
        schedule = dataclasses.replace(schedule, costs=costs)
    return tried


def _unless_fused(alone: Callable[[Operator], float], tails: Collection[str]) -> Callable[[Operator], float]:
    return lambda operator: 0 if operator.name in tails else alone(operator)
