"""Float ONNX model to QDQ ONNX model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from weft.errors import QuantizationError
from weft.frontend.graph import Array, Graph
from weft.frontend.model import Model
from weft.frontend.normalize import NO_SHAPES, normalize
from weft.frontend.origins import origins
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.passes.upgrade_opset import QUANTIZABLE_OPSET
from weft.quantize.assign import assign_parameters, counted_tensors
from weft.quantize.bias_correction import correct_biases
from weft.quantize.calibration import CalibrationData, Samples
from weft.quantize.emit import Emission, Emitter
from weft.quantize.equalize import equalize
from weft.quantize.layer_norm import fuse_layer_norms
from weft.quantize.masks import endless_additions, find_masks, mask_floors, with_floors
from weft.quantize.options import DEFAULT_OPTIONS, QuantizeOptions
from weft.quantize.plan import Plan, make_plan, makers, operand_names
from weft.quantize.ranges import Observation, Progress, observe
from weft.quantize.selected_masks import add_masks

__all__ = ["Calibrated", "calibrate", "emit"]


@dataclass(frozen=True)
class Calibrated:
    """A float model ready to be quantized: normalized, equalized if asked, and observed. `exclude`: nodes that
    stay float whatever happens. `floors`: by tensor or constant that masks values, the least value that counts.
    `samples`: some of the calibration data, for further runs."""

    model: Model
    options: QuantizeOptions
    exclude: frozenset[str]
    observed: Mapping[str, Observation]
    floors: Mapping[str, float]
    samples: tuple[Mapping[str, Array], ...]


def calibrate(
    model: Model,
    calibration: Samples | Iterable[Samples],
    options: QuantizeOptions = DEFAULT_OPTIONS,
    exclude: Collection[str] = (),
    shapes: Mapping[str, int] = NO_SHAPES,
    progress: Progress | None = None,
) -> Calibrated:
    """Prepares a float model and runs it on the calibration data.

    Raises QuantizationError as `quantize` does.
    """
    options.check()
    float_model = normalize(model, shapes)
    if 0 < float_model.opset < QUANTIZABLE_OPSET:
        raise QuantizationError(
            f"{model.name}: operator set {float_model.opset} cannot be raised to {QUANTIZABLE_OPSET}, "
            "which quantization needs; export the model again with a newer one"
        )
    kept = _named(Graph(float_model), frozenset(exclude) | options.kept_float)
    _check_names(Graph(float_model), options.nodes.keys() - options.kept_float)
    float_model = add_masks(fuse_layer_norms(float_model, kept), kept)
    kept = _with_fused(Graph(float_model), kept)
    data = CalibrationData(float_model, calibration)
    if options.equalize:
        float_model = equalize(float_model, kept, data.head())
    graph = Graph(float_model)
    plan = make_plan(graph, kept)
    tensors = (*plan.activations, *sorted(plan.hidden))
    counted = counted_tensors(graph, plan, options)
    masks = find_masks(graph)
    observed = observe(float_model, tensors, counted, data.stream(), data.total, progress, masks.trimmed)
    floors = mask_floors(graph, masks, observed)
    observed = with_floors(observed, floors)
    kept = _without_endless(graph, plan, kept | endless_additions(graph, masks, floors), observed)
    return Calibrated(float_model, options, kept, observed, floors, data.head())


def _with_fused(graph: Graph, exclude: frozenset[str]) -> frozenset[str]:
    """The excluded nodes and what would be fused behind them: by itself, an activation behind a float
    convolution would store its input once more."""
    plan = make_plan(graph, ())
    found = set(exclude)
    for tensor in plan.produced:
        names = [node.name for node in makers(graph, plan, tensor)]  # from the last one upwards
        places = [place for place, name in enumerate(names) if name in exclude]
        found.update(names[: max(places, default=0)])
    return frozenset(found)


def emit(calibrated: Calibrated, skipped: Collection[str] = ()) -> Emission:
    """The QDQ model of a calibrated model; nodes in `skipped` stay float too."""
    emission = _emit(calibrated, calibrated.model, skipped)
    if not calibrated.options.correct_bias or not emission.plan.nodes:
        return emission
    corrected = correct_biases(calibrated.model, emission, calibrated.samples)
    return _with_float_constants(_emit(calibrated, corrected, skipped), emission)


def _with_float_constants(corrected: Emission, uncorrected: Emission) -> Emission:
    """The corrected emission, whose constants stand for those of the float model: biases before their
    correction, zeros where there was none."""
    values = {(each.node, each.index): each.constant for each in uncorrected.restored if each.constant is not None}
    restored = tuple(
        each
        if each.constant is None
        else replace(each, constant=values.get((each.node, each.index), np.zeros_like(each.constant)))
        for each in corrected.restored
    )
    return replace(corrected, restored=restored)


def _emit(calibrated: Calibrated, float_model: Model, skipped: Collection[str]) -> Emission:
    graph = Graph(float_model)
    plan = make_plan(graph, calibrated.exclude | frozenset(skipped))
    if not plan.nodes:
        return Emission(float_model, plan, {}, ())
    parameters = assign_parameters(graph, plan, calibrated.observed, calibrated.options)
    emitter = Emitter(graph, plan, parameters, calibrated.options, calibrated.floors)
    model = InferShapes().run(emitter.emit())
    return Emission(model, plan, parameters, tuple(emitter.restored))


def _without_endless(
    graph: Graph, plan: Plan, exclude: frozenset[str], observed: Mapping[str, Observation]
) -> frozenset[str]:
    """The excluded nodes and those that touch a tensor without a range, such as an attention mask of minus
    infinity."""
    while any(name not in observed for name in plan.activations):
        touching = {
            node.name
            for node in graph.nodes
            if node.name in plan.nodes and any(name not in observed for name in _stored(graph, plan, node))
        }
        exclude |= touching
        plan = make_plan(graph, exclude)
    return exclude


def _stored(graph: Graph, plan: Plan, node: onnx.NodeProto) -> tuple[str, ...]:
    """The tensors around a quantized node that are stored quantized."""
    names = (*operand_names(graph, node), *(name for name in node.output if name))
    return tuple(name for name in names if name not in plan.hidden)


def _named(graph: Graph, names: Collection[str]) -> frozenset[str]:
    """Names of the nodes that stay float: those named, and those that were made of one that is named."""
    made: dict[str, set[str]] = {}
    for node in graph.nodes:
        for name in (node.name, *origins(node)):
            made.setdefault(name, set()).add(node.name)
    _check_known(made.keys(), names)
    return frozenset().union(*(made[name] for name in names))


def _check_names(graph: Graph, names: Collection[str]) -> None:
    _check_known({node.name for node in graph.nodes}, names)


def _check_known(known: Collection[str], names: Collection[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise QuantizationError(f"quantization options name the node '{unknown[0]}', but the model has no such node")
