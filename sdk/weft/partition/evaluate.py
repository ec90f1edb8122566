"""What a partition costs with the regions it really has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.partition.borders import ALL_ON_HOST, Borders
from weft.partition.costs import CostModel
from weft.partition.regions import HOST, Group

__all__ = ["PartitionCost", "partition_cost"]


@dataclass(frozen=True)
class PartitionCost:
    """Nanoseconds of one inference: nodes on the host, operators on accelerators, tensors over the border of each
    region, launches."""

    host: int
    accelerator: int
    transfers: int
    launches: int

    @property
    def total(self) -> int:
        """All together: one thing runs after the other."""
        return self.host + self.accelerator + self.transfers + self.launches


def partition_cost(groups: Sequence[Group], costs: CostModel, borders: Borders = ALL_ON_HOST) -> PartitionCost:
    """The cost of these steps. Every region is one launch and takes and gives its own tensors, as the runtime does;
    what is beyond the border on the same accelerator stays there."""
    host = accelerator = transfers = launches = 0
    read_by_host = {name for group in groups if group.processor == HOST for name in group.inputs}
    outputs = frozenset(costs.graph.output_names)
    for group in groups:
        host += sum(costs.on_host(node) for node in group.nodes)
        if group.processor == HOST:
            taken = (name for name in group.inputs if borders.maker(name) != HOST)
            transfers += sum(costs.fetch(name, borders.maker(name)) for name in taken)
            continue
        accelerator += sum(costs.on_accelerator(operator, group.processor) for operator in group.operators)
        launches += costs.launch
        tensors = {each.name: each for operator in group.operators for each in (*operator.inputs, operator.output)}
        for name in group.inputs:
            readers = [each for each in group.operators if any(tensor.name == name for tensor in each.inputs)]
            if borders.maker(name) != group.processor:
                transfers += costs.transfer(tensors[name], group.processor, readers)
        for name in group.outputs:
            stays = name in outputs and name not in read_by_host and borders.readers(name) <= {group.processor}
            if not stays:
                transfers += costs.transfer(tensors[name], group.processor)
    return PartitionCost(host, accelerator, transfers, launches)
