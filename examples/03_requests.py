"""Many requests at once: answers as futures, and the same deployment in simulated time on other hosts.

Digits are submitted one by one to two simulated devices; host, bus and devices overlap, and every answer equals the
one of a plain run. Then two hundred requests are played out in simulated time on each host profile, with and
without overlap. Last, requests of a network with early exits, each on its own path.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import weft
from digits.data import load_split
from weft.api.deployment import DeploymentOptions, deploy
from weft.deployment import Figures, parse_arrivals
from weft.partition.costs import profile_names

sys.path.insert(0, str(Path(__file__).parent / "dynamic"))
from networks import NETWORKS

MODEL = Path(__file__).parent / "digits" / "digits.onnx"
SUBMITTED = 40
REQUESTS = 200


def figures(model: weft.Model, host: str, at_once: int | None) -> Figures:
    """Figures of a saturated deployment with that host; with `at_once` 1, requests do not overlap."""
    options = DeploymentOptions(REQUESTS, parse_arrivals("saturating"), host, at_once=at_once)
    return deploy(model, options).figures


def early_exits() -> Table:
    """Requests that leave a network at different exits, overlapping: how many took each path, and how long."""
    network = NETWORKS["early_exit"]()
    model = weft.quantize(weft.load(network.model), {"image": network.inputs["image"][:200]})
    options = DeploymentOptions(REQUESTS, parse_arrivals("closed:2"), "cortex-a53")
    played = deploy(model, options, {"image": network.inputs["image"][-SUBMITTED:]}).figures
    title = f"{REQUESTS} requests of a network with early exits, two at a time, {played.throughput:,.0f} /s"
    table = Table("path", "requests", "alone µs", "p50 µs", "p99 µs", box=box.SIMPLE_HEAD, title=title)
    for path in played.paths:
        times = (path.serial_seconds, path.latency_p50, path.latency_p99)
        table.add_row(path.path, str(path.requests), *(f"{1e6 * each:,.0f}" for each in times))
    return table


def main() -> int:
    """Runs everything; the exit status is 1 if an overlapped answer differs from the plain one."""
    console = Console(highlight=False)
    digits = load_split()
    images = digits.test_images[:SUBMITTED]
    model = weft.quantize(weft.load(MODEL), {"image": digits.train_images[:64]})
    program = weft.compile(model)
    with weft.Session(program) as session:
        plain = session.run({"image": images})["logits"]
    with weft.Session(program, devices=2) as session:
        futures = [session.submit({"image": image[None]}) for image in images]
        overlapped = np.concatenate([future.result()["logits"] for future in futures])
    same = plain.tobytes() == overlapped.tobytes()
    console.print(
        f"{SUBMITTED} digits on two devices: answers {'equal' if same else 'differ from'} those of a plain run"
    )

    title = f"{REQUESTS} requests, one device, as many as it can take"
    table = Table(
        "host", "one at a time /s", "overlapped /s", "of the limit", "busiest", box=box.SIMPLE_HEAD, title=title
    )
    for host in profile_names():
        alone, together = figures(model, host, 1), figures(model, host, None)
        rates = f"{alone.throughput:,.0f}", f"{together.throughput:,.0f}"
        table.add_row(host, *rates, f"{together.efficiency:.1%}", together.busiest)
    console.print(table)
    console.print(early_exits())
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
