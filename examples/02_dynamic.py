"""Networks whose path depends on the input, on the simulated accelerator: what the ways cost, and who decides.

Each network of examples/dynamic, hand-written or trained, is quantized, compiled twice, and run on inputs that take all
of its paths: with decisions taken by the accelerator where it can, and by the host. Without names, two of each kind:
`python examples/02_dynamic.py [NAME…]`. With `--write FOLDER` they are written for the command line instead, as
NAME.onnx with inputs in NAME.npz.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

import weft
from weft.dynamic import FormRunner, split
from weft.frontend import normalize
from weft.lowering import Driver

sys.path.insert(0, str(Path(__file__).parent / "dynamic"))
sys.path.insert(0, str(Path(__file__).parent / "dynamic/pytorch"))
from networks import NETWORKS, Network
from stored import STORED, StoredNetwork

CALIBRATION, INPUTS = 200, 60
KNOWN = {**NETWORKS, **STORED}
SHOWN = ("halting", "loop_in_if", "trained/shallow_deep_vgg", "trained/skipnet")


@dataclass(frozen=True)
class Figures:
    """Means over all inputs, and the paths that were taken."""

    bytes: float
    launches: float
    cycles: float
    paths: list[list[str]]


def samples(network: Network | StoredNetwork) -> Iterator[dict[str, Any]]:
    """Inputs that are not calibrated with."""
    for index in range(CALIBRATION, CALIBRATION + INPUTS):
        yield {name: rows[index : index + 1] for name, rows in network.inputs.items()}


def measure(network: Network | StoredNetwork, quantized: weft.Model, driver: Driver) -> Figures:
    """Runs the network on samples."""
    program = weft.compile(quantized, driver=driver)
    moved = launches = cycles = 0
    paths = []
    with weft.Session(program) as session:
        for row in samples(network):
            session.run(row)
            profile = session.profile
            moved, cycles = moved + profile.transfer_bytes, cycles + profile.cycles
            launches += len(profile.regions)
            paths.append([each.outcome for each in profile.paths[0]] if profile.paths else [])
    return Figures(moved / INPUTS, launches / INPUTS, cycles / INPUTS, paths)


def float_paths(network: Network | StoredNetwork, model: weft.Model) -> list[list[str]]:
    """The paths of the float model, run by ONNX Runtime."""
    form = split(normalize(model)).form
    assert form is not None
    runner = FormRunner(form)
    return [[step.outcome for step in runner.run(row)[1]] for row in samples(network)]


def write(names: Iterable[str], folder: Path) -> None:
    """Each network as NAME.onnx, and as many inputs as it is quantized with as NAME.npz."""
    for name in names:
        network = KNOWN[name]()
        target = folder / f"{name}.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(weft.load(network.model).proto.SerializeToString(deterministic=True))
        np.savez(target.with_suffix(".npz"), **{key: rows[:CALIBRATION] for key, rows in network.inputs.items()})


def main() -> None:
    """Prints a table, one line for each network and driver, or writes the networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *KNOWN], default=[])
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write ONNX models and inputs, and run nothing")
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.names or SHOWN, arguments.write)
        return
    table = Table(Column("network", no_wrap=True), "decided by", "bytes", "launches", "cycles", "paths", "as in float")
    for name in arguments.names or SHOWN:
        network = KNOWN[name]()
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
