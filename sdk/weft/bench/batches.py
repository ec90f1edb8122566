"""`weft bench batches`: dynamic networks whose samples run together, each on its own path, against one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.bench.dynamic_costs import choosing_host, sequential_nanoseconds
from weft.bench.dynamic_networks import ExampleNetwork, chosen_networks, example_networks
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import load
from weft.lowering import Driver
from weft.partition.costs import HostProfile, host_profile
from weft.quantize import quantize
from weft_runtime.executable import Executable
from weft_runtime.profile import Profile
from weft_runtime.session import Session

__all__ = ["run"]

CALIBRATION = 200


def run(
    examples: str = "examples",
    networks: str = "",
    batches: str = "4,8",
    inputs: str = "64",
    target: str = "weft-16",
    host: str = "cortex-a53",
    offload: str = "all",
) -> dict[str, Any]:
    """Each network of `examples`/dynamic (or those named) on the same inputs: one by one, decided by host and by
    device, and together, up to each of `batches` samples at once. Figures are per sample. `offload` is "all", or
    "cheapest" for the partition that is cheapest on `host`; latency is reckoned with `host` in both cases.

    Raises ValueError for unknown names or numbers, WeftError where the examples are absent or an answer or a path is
    another than one by one.
    """
    known = example_networks(Path(examples))
    chosen = chosen_networks(networks or "all", known)
    sizes = [int(each) for each in batches.split(",") if each.strip()]
    if int(inputs) < 1:
        raise ValueError("inputs must be 1 or more")
    profile = host_profile(host)
    chooser = choosing_host(profile, offload)
    rows = [
        row for name in chosen for row in _rows(name, known[name](), target, (profile, chooser), int(inputs), sizes)
    ]  # fmt: skip
    return {"inputs": int(inputs), "target": target, "host": host, "offload": offload, "rows": rows}


def _rows(
    name: str,
    network: ExampleNetwork,
    target: str,
    hosts: tuple[HostProfile, HostProfile],
    count: int,
    sizes: list[int],
) -> list[dict[str, Any]]:
    model = quantize(load(network.model), {key: rows[:CALIBRATION] for key, rows in network.inputs.items()})
    samples = {key: rows[-count:] for key, rows in network.inputs.items()}
    wanted: Mapping[str, Any] = {}
    paths: Any = ()
    rows: list[dict[str, Any]] = []
    ways: list[tuple[str, Driver, int]] = [("one by one, host", "host", 1), ("one by one, device", "device", 1)]
    for way, driver, batch in (*ways, *((f"up to {size}", "host", size) for size in sizes)):
        executable = compile_model(
            model, target, host=hosts[1], driver="host" if driver == "host" else "device", batch=batch
        )
        with Session(executable) as session:
            found, profile = session.run(samples), session.profile
        if not rows:
            wanted, paths = found, profile.paths
        if profile.paths != paths or any(found[key].tobytes() != each.tobytes() for key, each in wanted.items()):
            raise WeftError(f"{name}: {way} gives other answers than one by one (a defect of Weft)")
        rows.append(_row(name, way, executable, profile, hosts[0]))
    return rows


def _row(name: str, way: str, executable: Executable, profile: Profile, host: HostProfile) -> dict[str, Any]:
    time = sequential_nanoseconds(executable, profile, 1000 * profile.cycles / profile.clock_mhz, host)
    return {
        "network": name, "way": way, "cycles": profile.cycles, "launches": profile.launches,
        "host_graphs": sum(each.runs for each in profile.host), "transfers": profile.transfers,
        "bytes": profile.transfer_bytes, "microseconds": time / 1000,
    }  # fmt: skip
