"""Networks whose path depends on the input, on the simulated accelerator: what the ways cost, and who decides.

Each network of examples/dynamic is quantized, compiled twice, and run on inputs that take all of its paths: with
decisions taken by the accelerator where it can, and by the host. `python examples/02_dynamic.py [NAME…]`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import weft
from weft.dynamic import FormRunner, split
from weft.frontend import normalize
from weft.lowering import Driver

sys.path.insert(0, str(Path(__file__).parent / "dynamic"))
from networks import NETWORKS, Network

CALIBRATION, INPUTS = 200, 60


@dataclass(frozen=True)
class Figures:
    """Means over all inputs, and the paths that were taken."""

    bytes: float
    launches: float
    cycles: float
    paths: list[list[str]]


def measure(network: Network, quantized: weft.Model, driver: Driver) -> Figures:
    """Runs the network on its first inputs."""
    program = weft.compile(quantized, driver=driver)
    moved = launches = cycles = 0
    paths = []
    with weft.Session(program) as session:
        for index in range(INPUTS):
            session.run({name: rows[index : index + 1] for name, rows in network.inputs.items()})
            profile = session.profile
            moved, cycles = moved + profile.transfer_bytes, cycles + profile.cycles
            launches += len(profile.regions)
            paths.append([each.outcome for each in profile.paths[0]] if profile.paths else [])
    return Figures(moved / INPUTS, launches / INPUTS, cycles / INPUTS, paths)


def float_paths(network: Network, model: weft.Model) -> list[list[str]]:
    """The paths of the float model, run by ONNX Runtime."""
    form = split(normalize(model)).form
    assert form is not None
    runner = FormRunner(form)
    rows = ({name: each[index : index + 1] for name, each in network.inputs.items()} for index in range(INPUTS))
    return [[step.outcome for step in runner.run(row)[1]] for row in rows]


def main() -> None:
    """Prints a table, one line for each network and driver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *NETWORKS], default=[])
    table = Table("network", "decided by", "bytes", "launches", "cycles", "paths", "as in float")
    for name in parser.parse_args().names or NETWORKS:
        network = NETWORKS[name]()
        model = weft.load(network.model)
        quantized = weft.quantize(model, {key: rows[:CALIBRATION] for key, rows in network.inputs.items()})
        wanted = float_paths(network, model)
        drivers: tuple[Driver, ...] = ("host", "device")
        for driver in drivers:
            found = measure(network, quantized, driver)
            same = sum(ours == theirs for ours, theirs in zip(found.paths, wanted, strict=True))
            figures = (f"{found.bytes:,.1f}", f"{found.launches:.1f}", f"{found.cycles:,.0f}")
            table.add_row(name, driver, *figures, str(len(set(map(tuple, found.paths)))), f"{same} of {INPUTS}")
    Console().print(table)


if __name__ == "__main__":
    main()
