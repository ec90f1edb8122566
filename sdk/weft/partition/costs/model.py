"""The cost model: nanoseconds of nodes on the host, operators on accelerators, transfers and launches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnx

from weft.ir import Graph, Operator, Tensor, View
from weft.partition.costs.host import host_nanoseconds
from weft.partition.costs.profile import HostProfile
from weft.partition.placement import Placement
from weft_runtime.executable import Processor

__all__ = ["Accelerator", "CostModel"]


class Accelerator(Protocol):
    """What the partitioner asks of an accelerator; `weft.backends.Accelerator` says what each means."""

    processor: Processor

    def refuse(self, operator: Operator) -> str | None: ...

    def cycles(self, operator: Operator) -> int: ...

    def stored_bytes(self, tensor: Tensor, readers: Sequence[Operator]) -> int: ...

    def place(self, graph: Graph, operators: Sequence[Operator], insisted: frozenset[str]) -> Placement: ...


@dataclass(frozen=True)
class CostModel:
    """Costs of one graph on one host with accelerators (given by their index), in whole nanoseconds."""

    graph: Graph
    profile: HostProfile
    accelerators: Sequence[Accelerator]
    _nodes: dict[str, int] = field(default_factory=dict)
    _operators: dict[tuple[int, int], tuple[Operator, int]] = field(default_factory=dict)

    @property
    def launch(self) -> int:
        """One start of an accelerator and noticing its end."""
        return math.ceil(1000 * self.profile.launch_microseconds)

    def on_host(self, node: onnx.NodeProto) -> int:
        """A node of the integer graph in ONNX Runtime."""
        if node.name not in self._nodes:
            self._nodes[node.name] = host_nanoseconds(self.graph, node, self.profile)
        return self._nodes[node.name]

    def nodes_on_host(self, operator: Operator) -> int:
        """All nodes of an operator in ONNX Runtime."""
        return sum(self.on_host(self.graph.by_name[name]) for name in dict.fromkeys(operator.nodes))

    def on_accelerator(self, operator: Operator, index: int) -> int:
        """An operator within a region. A view costs nothing: it renames storage."""
        if isinstance(operator, View):
            return 0
        key = (id(operator), index)
        if key not in self._operators:
            accelerator = self.accelerators[index]
            time = math.ceil(accelerator.cycles(operator) * 1000 / accelerator.processor.clock_mhz)
            self._operators[key] = (operator, time)  # with the operator, so that its id stays its own
        return self._operators[key][1]

    def transfer(self, tensor: Tensor, index: int, readers: Sequence[Operator] = ()) -> int:
        """One tensor between host and accelerator: packed or unpacked by the host, and over the bus. `readers` are the
        operators of a region that it is packed for; none where the host takes it."""
        return self._moved(self.accelerators[index].stored_bytes(tensor, readers))

    def fetch(self, name: str, index: int) -> int:
        """A value that is on an accelerator, taken by the host, which knows no more than its shape."""
        shape = self.graph.shape(name)
        return self._moved(0 if shape is None else math.prod(shape))

    def _moved(self, size: int) -> int:
        rates = 1 / self.profile.bus_gbytes + 1 / self.profile.packing_gbytes
        return math.ceil(1000 * self.profile.transfer_microseconds + size * rates)
