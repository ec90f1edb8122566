"""`weft compile`: from an ONNX model to an artifact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import (
    BatchOption,
    CalibrationOption,
    DriverOption,
    HostOption,
    JsonOption,
    ModelArgument,
    PinOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    driver_of,
    pins_of,
    shape_choices_of,
)
from weft.cli.quantization import (
    DEFAULTS,
    ActivationSymmetryOption,
    ActivationTypeOption,
    BiasCorrectionOption,
    EqualizeOption,
    GatesOption,
    MethodOption,
    MinimumSnrOption,
    NodeOption,
    PercentileOption,
    WeightGranularityOption,
    WeightSymmetryOption,
    WeightTypeOption,
    node_options,
)
from weft.quantize.options import QuantizeOptions

__all__ = ["compile_command"]


def compile_command(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.weft", help="The artifact to write.")],
    target: TargetOption = None,
    calibration: CalibrationOption = None,
    method: MethodOption = DEFAULTS.method,
    percentile: PercentileOption = DEFAULTS.percentile,
    activations: ActivationTypeOption = DEFAULTS.activation_type,
    activation_zero_point: ActivationSymmetryOption = DEFAULTS.activation_symmetry,
    weights: WeightTypeOption = DEFAULTS.weight_type,
    weight_zero_point: WeightSymmetryOption = DEFAULTS.weight_symmetry,
    weight_scales: WeightGranularityOption = DEFAULTS.weight_granularity,
    equalize: EqualizeOption = DEFAULTS.equalize,
    correct_bias: BiasCorrectionOption = DEFAULTS.correct_bias,
    minimum_snr: MinimumSnrOption = None,
    node: NodeOption = None,
    gates: GatesOption = DEFAULTS.gates,
    shape: ShapeOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    driver: DriverOption = "auto",
    batch: BatchOption = 1,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Compile a model to an artifact that `weft run` executes.

    Example: weft compile resnet8.onnx -o resnet8.weft --target weft-16 --calibration samples.npz --shape N=1,4
    """
    from weft.api.arrays import load_arrays
    from weft.api.describe import summarize
    from weft.api.preparation import PrepareOptions, build_variants, prepare
    from weft.api.shapes import combinations
    from weft.backends import DEFAULT_TARGET, resolve_target
    from weft_runtime.artifact import save

    quantization = QuantizeOptions(
        method, percentile, activations, activation_zero_point, weights, weight_zero_point, weight_scales, equalize,
        correct_bias, minimum_snr, node_options(node), gates,
    )  # fmt: skip
    quantization.check()
    start = time.perf_counter()
    accelerators = resolve_target(target or DEFAULT_TARGET)
    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        choices = combinations(shape_choices_of(shape))
        options = PrepareOptions(
            samples,
            seed=seed,
            shapes=choices[0],
            quantization=quantization,
            host=host,
            pins=pins_of(pin),
            driver=driver_of(driver),
            batch=batch,
        )
        prepared = prepare(model, options, stages)
        executables = build_variants(prepared, choices, accelerators, stages)
        save(executables, output)
    variants = [
        {"extents": dict(each.extents), "estimated_cycles": summarize(each)["estimated_cycles"]} for each in executables
    ]
    figures = {"variants": variants, "output": str(output), "seconds": time.perf_counter() - start}
    data = {**summarize(executables[0]), **figures}
    answer(data, json, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    share = data["offloaded_macs"] / data["macs"] if data["macs"] else 0.0
    table.add_row("target", data["target"])
    table.add_row("nodes", f"{data['offloaded_nodes']} of {data['nodes']} on the accelerator")
    table.add_row("MACs", f"{data['offloaded_macs']:,} of {data['macs']:,} on the accelerator ({share:.1%})")
    table.add_row("estimate", f"{data['estimated_cycles']:,} cycles")
    table.add_row("program", f"{data['instructions']:,} instructions in {data['regions']} regions")
    table.add_row("device memory", f"{data['dram_bytes']:,} bytes")
    table.add_row("calibration", data["calibration"])
    table.add_row("inexact", "; ".join(data["inexact"]) or "nothing")
    for variant in data["variants"] if len(data["variants"]) > 1 else ():
        extents = ", ".join(f"{name}={size}" for name, size in variant["extents"].items())
        table.add_row("variant", f"{escape(extents)}: {variant['estimated_cycles']:,} cycles")
    console.print(table)
    console.print(f"wrote {data['output']} in {data['seconds']:.1f} s", markup=False)
