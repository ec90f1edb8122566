"""The quantizer's entry points."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from weft.dynamic import Form, split
from weft.dynamic.split import CONTROL
from weft.frontend.graph import Graph
from weft.frontend.load import load
from weft.frontend.model import Model
from weft.frontend.normalize import NO_SHAPES, normalize
from weft.quantize.calibration import Samples
from weft.quantize.control_flow import quantize_form
from weft.quantize.options import DEFAULT_OPTIONS, QuantizeOptions
from weft.quantize.probe import Probe
from weft.quantize.quantizer import calibrate, emit
from weft.quantize.ranges import Progress
from weft.quantize.sensitivity import SensitivityReport, measure

__all__ = ["Quantized", "Source", "quantize", "quantize_and_measure"]

Source = Model | str | Path | bytes | onnx.ModelProto


@dataclass(frozen=True)
class Quantized:
    """A quantized model and what each of its layers costs; no report where it came quantized, or where its path
    depends on the input."""

    model: Model
    report: SensitivityReport | None


def quantize(
    model: Source,
    calibration: Samples | Iterable[Samples],
    options: QuantizeOptions = DEFAULT_OPTIONS,
    *,
    exclude: Collection[str] = (),
    shapes: Mapping[str, int] = NO_SHAPES,
    progress: Progress | None = None,
) -> Model:
    """Quantizes a float model after training; the result is plain ONNX in QDQ form. Quantized models come
    back as is.

    By default: weights int8, symmetric, one scale per output channel; activations uint8, asymmetric, one
    scale per tensor. Nodes at a tensor that reaches a million in magnitude (attention masks) stay float.
    Biases: int32 with the scale float32(sx * sw[c]). Data movement and MaxPool keep their input's scale.
    Inputs and outputs stay float. `docs/quantization.md` has the methods.

    `calibration`: arrays by input name whose leading axis holds k times the model's batch, or an iterable of
    such mappings, read once. `exclude`: names of nodes that stay float, besides those that `options` names.
    `shapes`: as in `normalize`. `progress(done, total)` is called after each run of the model, with total 0
    where it is unknown. Equal inputs give equal models.

    Raises QuantizationError for calibration data that do not fit or hold NaN, for unknown options, and for
    models whose operator set cannot be raised to 13; ModelError for models that cannot be loaded or run.
    """
    if options.minimum_snr is not None:
        return quantize_and_measure(
            model, calibration, options, exclude=exclude, shapes=shapes, progress=progress
        ).model
    loaded = load(model)
    if loaded.is_quantized:
        options.check()
        return loaded
    form = _form(loaded, shapes)
    if form is not None:
        return quantize_form(form, calibration, options, exclude, progress)
    return emit(calibrate(loaded, calibration, options, exclude, shapes, progress)).model


def quantize_and_measure(
    model: Source,
    calibration: Samples | Iterable[Samples],
    options: QuantizeOptions = DEFAULT_OPTIONS,
    *,
    exclude: Collection[str] = (),
    shapes: Mapping[str, int] = NO_SHAPES,
    progress: Progress | None = None,
    measuring: Progress | None = None,
) -> Quantized:
    """As `quantize`, with a sensitivity report: each layer quantized alone, compared with the float model.

    The report takes one run of the model per layer for each of up to 16 samples; `measuring(done, total)` is
    called after each.
    """
    loaded = load(model)
    if loaded.is_quantized:
        options.check()
        return Quantized(loaded, None)
    form = _form(loaded, shapes)
    if form is not None:
        return Quantized(quantize_form(form, calibration, options, exclude, progress), None)
    calibrated = calibrate(loaded, calibration, options, exclude, shapes, progress)
    emission = emit(calibrated)
    if not emission.plan.nodes:
        return Quantized(emission.model, SensitivityReport((), 200.0, 200.0, 0))
    probe = Probe(Graph(calibrated.model), emission)
    report = measure(probe, calibrated.samples, options.minimum_snr, measuring)
    skipped = [node for layer in report.layers if layer.kept_float for node in layer.nodes]
    return Quantized(emit(calibrated, skipped).model if skipped else emission.model, report)


def _form(model: Model, shapes: Mapping[str, int]) -> Form | None:
    """The control-flow form of a model whose path depends on its input; None for any other."""
    functions = (node for function in model.proto.functions for node in function.node)
    nodes = (*model.proto.graph.node, *functions)
    if not any(node.op_type in CONTROL for node in nodes):  # normalizing takes time, and is done again
        return None
    return split(normalize(model, shapes)).form
