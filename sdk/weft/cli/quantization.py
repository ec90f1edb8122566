"""The options of `weft quantize` and `weft compile` that say how a float model is quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from weft.quantize.options import Gates, Granularity, Method, NodeOptions, QuantizeOptions, StorageType, Symmetry

if TYPE_CHECKING:
    from weft.quantize import SensitivityReport

__all__ = [
    "ActivationSymmetryOption",
    "ActivationTypeOption",
    "BiasCorrectionOption",
    "EqualizeOption",
    "GatesOption",
    "MethodOption",
    "MinimumSnrOption",
    "NodeOption",
    "PercentileOption",
    "WeightGranularityOption",
    "WeightSymmetryOption",
    "WeightTypeOption",
    "node_options",
    "render_report",
    "report_data",
]

DEFAULTS = QuantizeOptions()
NODE_VALUES = (
    "float",
    *get_args(Method),
    *get_args(StorageType),
    *(f"weights-{each}" for each in get_args(StorageType)),
)


def _one_node(name: str, values: Sequence[str], so_far: NodeOptions) -> NodeOptions:
    for value in values:
        if value == "float":
            so_far = replace(so_far, keep_float=True)
        elif value in get_args(Method):
            so_far = replace(so_far, method=cast(Method, value))
        elif value in get_args(StorageType):
            so_far = replace(so_far, activation_type=cast(StorageType, value))
        elif value.startswith("weights-") and value in NODE_VALUES:
            so_far = replace(so_far, weight_type=cast(StorageType, value.removeprefix("weights-")))
        else:
            raise typer.BadParameter(f"unknown choice {value!r} for node {name!r}; known: {', '.join(NODE_VALUES)}")
    return so_far


def node_options(values: Sequence[str] | None) -> dict[str, NodeOptions]:
    """The options by node that `NodeOption` gave. Raises typer.BadParameter for what is no NAME=CHOICE."""
    nodes: dict[str, NodeOptions] = {}
    for value in values or ():
        name, separator, chosen = value.rpartition("=")
        if not (name and separator and chosen):
            raise typer.BadParameter(f"{value!r} is not NAME=CHOICE[,CHOICE...]")
        nodes[name] = _one_node(name, chosen.split(","), nodes.get(name, NodeOptions()))
    return nodes


def _checked_nodes(values: list[str] | None) -> list[str] | None:
    node_options(values)
    return values


MethodOption = Annotated[
    Method, typer.Option("--method", help="How the ranges of activations are found in the calibration data.")
]
PercentileOption = Annotated[
    float, typer.Option("--percentile", help="Percent of the values inside the range, for --method percentile.")
]
ActivationTypeOption = Annotated[StorageType, typer.Option("--activations", help="Type of stored activations.")]
ActivationSymmetryOption = Annotated[
    Symmetry, typer.Option("--activation-zero-point", help="Symmetric puts it in the type's middle.")
]
WeightTypeOption = Annotated[StorageType, typer.Option("--weights", help="Type of stored weights.")]
WeightSymmetryOption = Annotated[
    Symmetry, typer.Option("--weight-zero-point", help="Asymmetric weights have one scale per tensor.")
]
WeightGranularityOption = Annotated[
    Granularity, typer.Option("--weight-scales", help="One scale per output channel, or per tensor.")
]
EqualizeOption = Annotated[
    bool, typer.Option("--equalize/--no-equalize", help="Equalize channels across neighbouring layers first.")
]
BiasCorrectionOption = Annotated[
    bool, typer.Option("--correct-bias/--no-correct-bias", help="Put the mean error of each channel into the bias.")
]
GatesOption = Annotated[
    Gates, typer.Option("--gates", help="Float keeps on the CPU what only decisions of If and Loop depend on.")
]
MinimumSnrOption = Annotated[
    float | None,
    typer.Option("--min-snr", metavar="DB", help="Keep layers float until the outputs reach this ratio in dB."),
]
NodeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        metavar="NAME=CHOICE",
        callback=_checked_nodes,
        help=f"What one node does otherwise: {', '.join(NODE_VALUES)}, several with commas; repeatable.",
    ),
]


def report_data(report: SensitivityReport) -> dict[str, Any]:
    """A sensitivity report as JSON."""
    return {
        "quantized_snr": report.quantized_snr,
        "final_snr": report.final_snr,
        "samples": report.samples,
        "layers": [
            {
                "name": layer.name,
                "operator": layer.operator,
                "nodes": list(layer.nodes),
                "layer_snr": layer.layer_snr,
                "output_snr": layer.output_snr,
                "kept_float": layer.kept_float,
            }
            for layer in report.layers
        ],
    }


def render_report(console: Console, data: dict[str, Any]) -> None:
    """A sensitivity report as a table, the layer that costs most first."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("layer", "operator", "at the layer", "at the outputs", ""):
        table.add_column(title, justify="right" if title.startswith("at") else "left")
    for layer in sorted(data["layers"], key=lambda each: each["output_snr"]):
        ratios = (f"{layer['layer_snr']:.1f} dB", f"{layer['output_snr']:.1f} dB")
        table.add_row(layer["name"], layer["operator"], *ratios, "kept float" if layer["kept_float"] else "")
    console.print(f"signal to noise with one layer quantized at a time, {data['samples']} samples:")
    console.print(table)
    console.print(f"all layers quantized: {data['quantized_snr']:.1f} dB; as written: {data['final_snr']:.1f} dB")
