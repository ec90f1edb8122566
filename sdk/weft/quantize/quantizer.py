"""Float ONNX model to QDQ ONNX model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from weft.errors import QuantizationError
from weft.frontend.graph import Array, Graph
from weft.frontend.load import load
from weft.frontend.model import Model
from weft.frontend.normalize import NO_SHAPES, normalize
from weft.frontend.origins import origins
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.passes.upgrade_opset import QUANTIZABLE_OPSET
from weft.quantize.calibration import Samples, split_samples
from weft.quantize.emit import Emitter
from weft.quantize.layer_norm import fuse_layer_norms
from weft.quantize.parameters import activation_parameters
from weft.quantize.plan import Plan, make_plan, operand_names, share_ranges
from weft.quantize.ranges import Method, Progress, Range, observe

DEFAULT_PERCENTILE = 99.99


def quantize(
    model: Model | str | Path | bytes | onnx.ModelProto,
    calibration: Samples | Iterable[Samples],
    method: Method = "minmax",
    *,
    percentile: float = DEFAULT_PERCENTILE,
    exclude: Collection[str] = (),
    shapes: Mapping[str, int] = NO_SHAPES,
    progress: Progress | None = None,
) -> Model:
    """Quantizes a float model after training; the result is plain ONNX in QDQ form. Quantized models come
    back as is.

    Weights: int8, symmetric, one scale per output channel. Activations: uint8, asymmetric, one scale per
    tensor, from the ranges that the calibration samples show; nodes at a tensor that reaches a million in
    magnitude (attention masks) stay float. Biases: int32 with the scale float32(sx * sw[c]). Data movement
    and MaxPool keep their input's scale. Inputs and outputs stay float.

    `calibration`: arrays by input name whose leading axis holds k times the model's batch, or an iterable of
    such mappings. `method`: "minmax", or "percentile" with `percentile` percent of the values inside the
    range. `exclude`: names of nodes that stay float, of the model as loaded or as normalized. `shapes`: as in
    `normalize`. `progress(done, total)` is called after each run of the model. Equal inputs give equal models.

    Raises QuantizationError for calibration data that do not fit or hold NaN, for unknown options, and for
    models whose operator set cannot be raised to 13; ModelError for models that cannot be loaded or run.
    """
    loaded = load(model)
    if loaded.is_quantized:
        return loaded
    if method not in ("minmax", "percentile"):
        raise QuantizationError(f"unknown calibration method '{method}'; use 'minmax' or 'percentile'")
    if not 50.0 < percentile <= 100.0:
        raise QuantizationError(f"percentile {percentile} must be above 50 and at most 100")
    float_model = normalize(loaded, shapes)
    if 0 < float_model.opset < QUANTIZABLE_OPSET:
        raise QuantizationError(
            f"{loaded.name}: operator set {float_model.opset} cannot be raised to {QUANTIZABLE_OPSET}, "
            "which quantization needs; export the model again with a newer one"
        )
    exclude = _excluded(Graph(float_model), exclude)
    float_model = fuse_layer_norms(float_model, exclude)
    graph = Graph(float_model)
    plan = make_plan(graph, exclude)
    samples = list(split_samples(float_model, calibration))
    if not samples:
        raise QuantizationError("the calibration data hold no sample; give at least one")
    _check_numbers(samples)
    if not plan.nodes:
        return float_model
    tensors = (*plan.activations, *sorted(plan.hidden))
    observed = observe(float_model, tensors, samples, method, percentile, progress)
    plan = _without_endless(graph, plan, frozenset(exclude), observed)
    ranges = share_ranges(graph, plan, observed)
    parameters = {name: activation_parameters(*span) for name, span in ranges.items()}
    return InferShapes().run(Emitter(graph, plan, parameters).emit())


def _without_endless(graph: Graph, plan: Plan, exclude: frozenset[str], observed: Mapping[str, Range]) -> Plan:
    """The plan without the nodes that touch a tensor without a range, such as an attention mask of minus
    infinity."""
    while any(name not in observed for name in plan.activations):
        touching = {
            node.name
            for node in graph.nodes
            if node.name in plan.nodes and any(name not in observed for name in _stored(graph, plan, node))
        }
        exclude |= touching
        plan = make_plan(graph, exclude)
    return plan


def _stored(graph: Graph, plan: Plan, node: onnx.NodeProto) -> tuple[str, ...]:
    """The tensors around a quantized node that are stored quantized."""
    names = (*operand_names(graph, node), *(name for name in node.output if name))
    return tuple(name for name in names if name not in plan.hidden)


def _check_numbers(samples: Sequence[Mapping[str, Array]]) -> None:
    for sample in samples:
        for name, values in sample.items():
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise QuantizationError(f"calibration input '{name}' holds nan; give data without")


def _excluded(graph: Graph, exclude: Collection[str]) -> frozenset[str]:
    """Names of the nodes that stay float: those named, and those that were made of one that is named."""
    made: dict[str, set[str]] = {}
    for node in graph.nodes:
        for name in (node.name, *origins(node)):
            made.setdefault(name, set()).add(node.name)
    unknown = sorted(set(exclude) - made.keys())
    if unknown:
        raise QuantizationError(f"'{unknown[0]}' is to be excluded from quantization, but the model has no such node")
    return frozenset().union(*(made[name] for name in exclude))
