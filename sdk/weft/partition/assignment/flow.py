"""Exact minimum cuts with 64-bit capacities, by capacity scaling over scipy's maximum flow.

scipy.sparse.csgraph.maximum_flow (Dinic's algorithm) works on 32-bit capacities. So the flow is found digit by digit
(capacity scaling: Gabow 1985): a phase takes the residual capacities divided by 2^shift, rounded down, and adds
2^shift times the maximum flow of that network to the flow so far. Afterwards some cut has only residual capacities
below 2^shift, so at most edges · 2^shift remains to be sent, which bounds the next phase; the last one has shift 0.
Capacities above what a phase can possibly send are clamped to that: no minimum cut changes. Every number that scipy
sees is below 2^30, so its residual capacities (capacity + opposite flow) stay below 2^31.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from weft.errors import CompileError

__all__ = ["Edge", "source_side"]

Edge = tuple[int, int, int]
"""Tail, head, capacity."""

LIMIT = (1 << 30) - 1

Integers = npt.NDArray[np.int64]


def source_side(nodes: int, edges: Sequence[Edge], source: int, sink: int, most: int) -> npt.NDArray[np.bool_]:
    """For each node whether it is on the source's side of a minimum cut: of all minimum cuts the one with the most
    nodes there, so the answer is unique. `most` is any upper bound of the maximum flow. Capacities below 2^51."""
    tails, heads, residual = _merged(nodes, edges)
    if len(tails) > LIMIT >> 8:
        raise CompileError(f"a flow network of {len(tails)} edges is too large")
    bound = most
    while len(tails):
        shift = max(0, bound.bit_length() - LIMIT.bit_length())
        capacities = np.minimum(residual >> shift, LIMIT).astype(np.int32)
        network = sparse.csr_matrix((capacities, (tails, heads)), shape=(nodes, nodes))
        flow = csgraph.maximum_flow(network, source, sink).flow
        residual = residual - (np.asarray(flow[tails, heads]).ravel().astype(np.int64) << shift)
        if shift == 0:
            return _cannot_reach(nodes, tails[residual > 0], heads[residual > 0], sink)
        bound = len(tails) << shift
    return np.asarray(np.arange(nodes) != sink)


def _merged(nodes: int, edges: Sequence[Edge]) -> tuple[Integers, Integers, Integers]:
    """Every edge and its reverse once, sorted, with the capacities of parallel edges added."""
    table = np.array(edges, np.int64).reshape(-1, 3)
    keys = np.concatenate((table[:, 0] * nodes + table[:, 1], table[:, 1] * nodes + table[:, 0]))
    unique, places = np.unique(keys, return_inverse=True)
    capacities = np.zeros(len(unique), np.int64)
    np.add.at(capacities, places[: len(table)], table[:, 2])
    return unique // nodes, unique % nodes, capacities


def _cannot_reach(nodes: int, tails: Integers, heads: Integers, sink: int) -> npt.NDArray[np.bool_]:
    """Which nodes have no path to the sink over these edges."""
    backwards = sparse.csr_matrix((np.ones(len(tails), np.int8), (heads, tails)), shape=(nodes, nodes))
    reached = csgraph.breadth_first_order(backwards, sink, return_predecessors=False)
    result = np.ones(nodes, np.bool_)
    result[reached] = False
    return result
