"""How many samples a launch takes: the sizes that a sub-network was compiled for, put together at the least cost."""

from __future__ import annotations

from weft_runtime.control import Batching, NetworkBatch

__all__ = ["BatchPlan"]


class BatchPlan:
    """For each sub-network, its sizes and their estimated times. A size may be larger than what is left: the rows
    behind are then computed for nothing, where that is cheaper than several launches."""

    def __init__(self, batching: Batching) -> None:
        self.most = batching.most
        self._singles = batching.singles
        self._sizes: dict[int, dict[int, NetworkBatch]] = {}
        for each in batching.sizes:
            self._sizes.setdefault(each.network, {})[each.size] = each
        self._covers: dict[tuple[int, int, int], tuple[int, ...]] = {}

    def variant(self, network: int, size: int) -> NetworkBatch:
        """The sub-network for that size."""
        return self._sizes[network][size]

    def cover(self, network: int, samples: int, largest: int) -> tuple[int, ...]:
        """The sizes of launches that take so many samples at the least estimated time, none above `largest`. The last
        one takes what is left. Of equally good ways, that with fewer launches."""
        largest = min(largest, self.most)
        if network not in self._sizes:
            return (1,) * samples
        if samples > self.most:  # the largest first; what is left over is put together at its best
            whole = self.cover(network, self.most, largest)
            return whole + self.cover(network, samples - self.most, largest)
        key = (network, samples, largest)
        if key not in self._covers:
            self._covers[key] = self._best(network, samples, largest)
        return self._covers[key]

    def _best(self, network: int, samples: int, largest: int) -> tuple[int, ...]:
        times = {1: self._singles[network]}
        times |= {size: each.nanoseconds for size, each in self._sizes[network].items() if size <= largest}
        ways: list[tuple[int, tuple[int, ...]]] = [(0, ())]
        for count in range(1, samples + 1):
            options = []
            for size, time in times.items():
                before, sizes = ways[max(0, count - size)]
                options.append((before + time, len(sizes) + 1, tuple(sorted((size, *sizes), reverse=True))))
            total, _, chosen = min(options)
            ways.append((total, chosen))
        return ways[samples][1]
