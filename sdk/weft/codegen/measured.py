"""A region lowered with what the simulator says about it: a chain that does not pay is taken apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from weft.codegen.estimate import RegionEstimate, estimate_region
from weft.codegen.overlap import can_overlap
from weft.codegen.region import LoweredRegion, Schedule, lower_region
from weft.ir import Operator
from weft_sim.machine import MachineConfig

__all__ = ["lower_measured"]

ROUNDS = 4
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
        tried.append(attempt(schedule))
    if schedule.options.chains:
        tried += _with_chains(operators, single, attempt)
    return min(tried, key=lambda found: found[1].cycles)


def _with_chains(operators: Sequence[Operator], schedule: Schedule, attempt: Attempt) -> list[Attempted]:
    alone = schedule.costs.alone
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
        if not losing:
            break
        costs = dataclasses.replace(schedule.costs, avoided=schedule.costs.avoided | losing)
        schedule = dataclasses.replace(schedule, costs=costs)
    return tried
