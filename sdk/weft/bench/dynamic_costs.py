"""What the benchmarks of dynamic networks have in common: who is chosen for, and what a sample takes."""

from __future__ import annotations

from dataclasses import replace

from weft.api.deployment import graph_nanoseconds
from weft.partition.costs import HostProfile
from weft_runtime.executable import Executable
from weft_runtime.profile import Profile

__all__ = ["choosing_host", "sequential_nanoseconds"]


def choosing_host(host: HostProfile, offload: str) -> HostProfile:
    """The profile to divide a network for: `host` where offload is "cheapest"; where it is "all", one for which
    whatever the accelerator can take is cheaper there. Raises ValueError for anything else."""
    if offload == "cheapest":
        return host
    if offload != "all":
        raise ValueError(f"offload is all or cheapest, not {offload!r}")
    return replace(host, name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0)


def sequential_nanoseconds(
    executable: Executable, profile: Profile, device_nanoseconds: float, host: HostProfile
) -> float:
    """A sample by itself, one thing after the other, with the terms of the partitioner's cost model. What accelerators
    take is given: of several samples, a profile knows the regions of the last one alone."""
    graphs = {graph.name: graph for graph in executable.host_graphs}
    time = sum(each.runs * graph_nanoseconds(graphs[each.name], host) for each in profile.host)
    time += device_nanoseconds + 1000 * host.launch_microseconds * profile.launches
    time += 1000 * host.transfer_microseconds * profile.transfers
    return time + profile.transfer_bytes * (1 / host.bus_gbytes + 1 / host.packing_gbytes)
