"""`weft quantize`: from a float ONNX model to a QDQ model that any tool runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from weft.cli.console import Stages, answer, note
from weft.cli.options import CalibrationOption, JsonOption, ModelArgument, SeedOption, ShapeOption, shapes_of
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
    render_report,
    report_data,
)
from weft.quantize.options import QuantizeOptions

__all__ = ["quantize_command"]


def quantize_command(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.onnx", help="The QDQ model to write.")],
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
    report: Annotated[bool, typer.Option("--report", help="Measure what each layer's quantization costs.")] = False,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Quantize a float model to plain QDQ ONNX, which any tool can run.

    Example: weft quantize resnet8.onnx -o resnet8_int8.onnx --calibration samples.npz --method mse --report
    """
    from weft.api.arrays import load_arrays
    from weft.api.quantization import quantize_file

    options = QuantizeOptions(
        method, percentile, activations, activation_zero_point, weights, weight_zero_point, weight_scales, equalize,
        correct_bias, minimum_snr, node_options(node), gates,
    )  # fmt: skip
    options.check()
    start = time.perf_counter()
    samples = None if calibration is None else load_arrays(calibration)
    if samples is None:
        note(f"no --calibration: ranges come from random inputs (seed {seed}), which real ones will not fit")
    with Stages() as stages:
        written = quantize_file(
            model, output, samples, options, wants_report=report, shapes=shapes_of(shape), seed=seed, progress=stages
        )
    if report and written.report is None:
        note("no report: where the path depends on the input, layers are not measured one at a time")
    data = {
        "output": str(output),
        "calibration": written.calibration,
        "quantized_nodes": written.quantized_nodes,
        "bytes": output.stat().st_size,
        "seconds": time.perf_counter() - start,
        "report": None if written.report is None else report_data(written.report),
    }
    answer(data, json, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    if data["report"] is not None:
        render_report(console, data["report"])
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("quantized", f"{data['quantized_nodes']} Conv, MatMul, Gemm and ConvTranspose nodes")
    table.add_row("calibration", data["calibration"])
    console.print(table)
    console.print(f"wrote {data['output']}, {data['bytes']:,} bytes, in {data['seconds']:.1f} s", markup=False)
