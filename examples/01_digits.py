"""Handwritten digits on the simulated accelerator, from a float ONNX file to a checked answer: `make demo`.

The model was trained by examples/digits/train.py. It is quantized with digits from the training split,
compiled for weft-16, and run on the digits that it has never seen; every output is compared with ONNX
Runtime's, bit for bit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from rich import box
from rich.console import Console
from rich.table import Table

import weft
from digits.data import Digits, load_split
from weft.frontend import integerize, normalize, reference_session
from weft.report import render_timeline, write_html, write_trace
from weft_runtime import Profile

MODEL = Path(__file__).parent / "digits" / "digits.onnx"
OUTPUT = Path(__file__).parents[1] / "out"
TARGET = "weft-16"
CALIBRATION_IMAGES = 256
SHADES = " ░▒▓█"

Array = npt.NDArray[np.float32]


def float_logits(images: Array) -> Array:
    """The float model's answers, float32 [n, 10], by ONNX Runtime."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": images})[0])


def reference_logits(model: weft.Model, images: Array) -> Array:
    """The quantized model's answers by ONNX Runtime, optimizations off: what the accelerator must give."""
    session = reference_session(integerize(normalize(model)))
    return np.concatenate([session.run(["logits"], {"image": image[None]})[0] for image in images])


def correct(logits: Array, labels: npt.NDArray[np.int64]) -> int:
    """How many digits have their greatest score at their label."""
    return int((logits.argmax(axis=1) == labels).sum())


def picture(images: Array, labels: npt.NDArray[np.int64], logits: Array) -> str:
    """Some images side by side in block characters, with what the accelerator takes each of them for."""
    levels = np.rint(images[:, 0] * (len(SHADES) - 1)).astype(int)
    pixels = [["".join(SHADES[level] * 2 for level in row) for row in image] for image in levels]
    rows = ["   ".join(row) for row in zip(*pixels, strict=True)]
    found = [
        f"{guess} {'✓' if guess == label else f'✗ {label}'}".center(16)
        for guess, label in zip(logits.argmax(axis=1), labels, strict=True)
    ]
    return "\n".join([*rows, "   ".join(found).rstrip()])


def accuracy_table(digits: Digits, answers: dict[str, Array]) -> Table:
    """One row for each way to run the model."""
    labels = digits.test_labels
    table = Table("", "correct", "accuracy", box=box.SIMPLE_HEAD, title=f"{len(labels)} unseen digits")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, logits in answers.items():
        table.add_row(name, f"{correct(logits, labels)}", f"{correct(logits, labels) / len(labels):.2%}")
    return table


def layer_table(program: weft.Program, profile: Profile) -> Table:
    """What each layer costs on the accelerator; together they are all of the cycles."""
    macs = {node.name: node.macs for node in program.nodes}
    table = Table("layer", "cycles", "share", "MACs", "of peak", box=box.SIMPLE_HEAD, title="where the cycles go")
    for column in table.columns[1:]:
        column.justify = "right"
    for node in profile.nodes:
        count = macs.get(node.name, 0)
        peak = node.cycles * profile.processors[0].macs_per_cycle
        use = f"{count / peak:.1%}" if count and peak else ""
        share = node.cycles / profile.cycles
        table.add_row(node.name, f"{node.cycles:,}", f"{share:.1%}", f"{count:,}" if count else "", use)
    return table


def print_cost(console: Console, program: weft.Program, profile: Profile, seconds: float) -> None:
    """Cycles, utilization and the simulator's speed, per layer and as a timeline."""
    console.print(layer_table(program, profile))
    console.print(
        f"One digit takes {profile.cycles:,} cycles, {profile.device_seconds * 1e6:.1f} µs at "
        f"{profile.clock_mhz} MHz, at {profile.utilization:.1%} of the peak of "
        f"{profile.processors[0].macs_per_cycle} MACs per cycle; {profile.samples} digits took {seconds:.1f} s "
        "to simulate.\n",
        soft_wrap=True,
    )
    console.print(render_timeline(profile), markup=False, soft_wrap=True)


def write_reports(console: Console, program: weft.Program, profile: Profile) -> None:
    """The artifact, the trace and the page; says where they are."""
    OUTPUT.mkdir(exist_ok=True)
    program.save(OUTPUT / "digits.weft")
    write_trace(profile, OUTPUT / "digits.trace.json")
    write_html(profile, OUTPUT / "digits.html", "Handwritten digits on weft-16", executable=program.executable)
    console.print("\n[bold]Written[/bold]")
    for name, what in {
        "digits.weft": "the compiled model: weft run, weft disasm, weft check",
        "digits.trace.json": "the trace: open it in ui.perfetto.dev",
        "digits.html": "the same as a page, in any browser",
    }.items():
        console.print(f"  {(OUTPUT / name).relative_to(OUTPUT.parent)!s:24} {what}", soft_wrap=True)


def main() -> int:
    """Runs everything; the exit status is 1 if one bit differs from ONNX Runtime."""
    console = Console(highlight=False)
    digits = load_split()
    model = weft.quantize(weft.load(MODEL), {"image": digits.train_images[:CALIBRATION_IMAGES]})
    program = weft.compile(model, target=TARGET, calibration="file")
    console.print(f"[bold]{MODEL.name}[/bold] → {program.summary()}\n", soft_wrap=True)

    with weft.Session(program, device="sim") as session:
        start = time.perf_counter()
        accelerator = session.run({"image": digits.test_images})["logits"]
        seconds = time.perf_counter() - start
        profile = session.profile
    reference = reference_logits(model, digits.test_images)
    mismatches = int((accelerator.view(np.uint32) != reference.view(np.uint32)).sum())

    console.print(picture(digits.test_images[:5], digits.test_labels[:5], accelerator[:5]), soft_wrap=True)
    answers = {
        "float, ONNX Runtime": float_logits(digits.test_images),
        "quantized, ONNX Runtime": reference,
        "quantized, accelerator": accelerator,
    }
    console.print(accuracy_table(digits, answers))
    style = "green" if mismatches == 0 else "bold red"
    console.print(f"[{style}]{mismatches} of {reference.size:,} outputs differ from ONNX Runtime's[/{style}]\n")
    print_cost(console, program, profile, seconds)
    write_reports(console, program, profile)
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
