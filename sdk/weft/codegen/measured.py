"""A region lowered with what the simulator says about it: a chain that does not pay is taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.codegen.chain.choose import ChainCosts, Ends
from weft.codegen.estimate import RegionEstimate, estimate_region
from weft.codegen.region import LoweredRegion, RegionOptions, lower_region
from weft.ir import Operator
from weft_sim.machine import MachineConfig

__all__ = ["lower_measured"]

ROUNDS = 4


def lower_measured(
    name: str, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, options: RegionOptions,
    alone: Callable[[Operator], int],
) -> tuple[LoweredRegion, RegionEstimate]:  # fmt: skip
    """The fastest of the programs tried, and its cycles. `alone`: cycles of an operator from DRAM to DRAM.

    Chains are chosen by estimate; those that take longer than their operators alone are avoided in the next round.
    """
    by_name = {operator.name: operator for operator in operators}
    avoided: frozenset[Ends] = frozenset()
    tried: list[tuple[LoweredRegion, RegionEstimate]] = []
    for _ in range(ROUNDS):
        region = lower_region(operators, outputs, config, options, ChainCosts(alone, avoided))
        estimate = estimate_region(name, region, config)
        tried.append((region, estimate))
        losing = {
            (chain[0], chain[-1]) for chain in region.chains
            if sum(estimate.by_node.get(each, 0) for each in chain) > sum(alone(by_name[each]) for each in chain)
        }  # fmt: skip
        if not losing:
            break
        avoided |= losing
    return min(tried, key=lambda found: found[1].cycles)
