"""A region lowered with what the simulator says about it: a chain that does not pay is taken apart."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from weft.codegen.chain.choose import ChainCosts
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.estimate import RegionEstimate, estimate_region
from weft.codegen.overlap import can_overlap
from weft.codegen.region import LoweredRegion, Schedule, chosen_chains, lower_region
from weft.codegen.region_storage import NO_CHAINS
from weft.errors import CompileError
from weft.ir import Operator
from weft.ir.operators import Convolution, Elementwise, TableLookup
from weft_sim.machine import MachineConfig

__all__ = ["lower_measured"]

ROUNDS = 4
NEGLIGIBLE = 0.002
"""Share of the cycles that is not worth another round."""
Chains = Mapping[int, ChainPlan]
Attempted = tuple[LoweredRegion, RegionEstimate]
Attempt = Callable[[Chains], Attempted]


def lower_measured(
    name: str, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, schedule: Schedule
) -> tuple[LoweredRegion, RegionEstimate]:
    """The fastest of the programs tried, and its cycles: without chains, with row operators beside products, and with
    chains that are chosen by estimate, those that take longer than the same operators without avoided in the next
    round."""

    def attempt(chosen: Schedule, chains: Chains = NO_CHAINS) -> Attempted:
        region = lower_region(operators, outputs, config, chosen, chains=chains)
        return region, estimate_region(name, region, config)

    single = dataclasses.replace(schedule, options=dataclasses.replace(schedule.options, side_by_side=False))
    tried = [attempt(dataclasses.replace(single, options=dataclasses.replace(single.options, chains=False)))]
    if schedule.options.side_by_side and can_overlap(operators, config):
        with contextlib.suppress(CompileError):  # something does not fit half the memories
            tried.append(attempt(schedule))
    if schedule.options.chains:

        def choose(costs: ChainCosts) -> Chains:
            return chosen_chains(operators, outputs, config, dataclasses.replace(single, costs=costs))

        tried += _with_chains(operators, tried[0][1], choose, lambda chains: attempt(single, chains))
    return min(tried, key=lambda found: found[1].cycles)


def _with_chains(
    operators: Sequence[Operator], plain: RegionEstimate, choose: Callable[[ChainCosts], Chains], attempt: Attempt
) -> list[Attempted]:
    """Programs with chains; `plain` is the estimate without."""
    alone = _alone(operators, plain)
    by_name = {operator.name: operator for operator in operators}
    costs = ChainCosts(alone)
    tried: list[Attempted] = []
    for _ in range(ROUNDS):
        chains = choose(costs)
        if not chains:  # the plain program again
            break
        region, estimate = attempt(chains)
        tried.append((region, estimate))
        gains = {
            (chain[0], chain[-1]): sum(alone(by_name[each]) - estimate.by_node.get(each, 0) for each in chain)
            for chain in region.chains
        }
        losing = {ends for ends, gain in gains.items() if gain < 0}
        if -sum(gains[ends] for ends in losing) <= NEGLIGIBLE * estimate.cycles:
            break
        costs = dataclasses.replace(costs, avoided=costs.avoided | losing)
    return tried


def _alone(operators: Sequence[Operator], plain: RegionEstimate) -> Callable[[Operator], float]:
    """What each operator takes in the program without chains. A convolution that is one with its reader there has the
    cycles of both, so that a chain of the reader alone does not seem to save them."""
    cycles = dict(plain.by_node)
    makers = {operator.output.name: operator for operator in operators if isinstance(operator, Convolution)}
    for reader in operators:
        fused = (makers[each.name] for each in reader.inputs if each.name in makers)
        maker = next((each for each in fused if not cycles.get(each.name)), None)
        if maker is not None and isinstance(reader, Elementwise | TableLookup):
            cycles[maker.name] = cycles.pop(reader.name, 0)
    return lambda operator: cycles.get(operator.name, 0)
