"""From a model or artifact to what can run: quantized if it was float, compiled if it was a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.api.progress import Progress, quiet
from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.compiler import compile as compile_model
from weft.errors import ModelError
from weft.frontend import Model, load
from weft.partition import Annotate
from weft.partition.costs import DEFAULT_HOST
from weft.quantize import QuantizeOptions, quantize, random_calibration
from weft_runtime import artifact
from weft_runtime.executable import Executable
from weft_runtime.inputs import check_inputs

__all__ = ["PrepareOptions", "Prepared", "Source", "build", "open_program", "prepare"]

Source = str | os.PathLike[str] | Model


@dataclass(frozen=True)
class PrepareOptions:
    """What a float model is calibrated with, in this order: `samples`, `inputs` (those it will run on), or
    random ones from `seed`. `shapes` binds symbolic extents of the model's inputs (the batch is 1 if not
    given). `quantization` says how a float model is quantized; `host`, `pins` and `annotate` say what runs
    where, as for `weft.compile` (None: DEFAULT_HOST)."""

    samples: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] | None = None
    seed: int = 0
    shapes: Mapping[str, int] = field(default_factory=dict)
    host: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    annotate: Annotate | None = None
    quantization: QuantizeOptions = field(default_factory=QuantizeOptions)

    def calibration(self, model: Model) -> tuple[str, Mapping[str, Any]]:
        """The kind of calibration, "file", "input" or "random", and its arrays."""
        if self.samples is not None:
            return "file", self.samples
        if self.inputs is not None:
            return "input", self.inputs
        return "random", random_calibration(model, seed=self.seed, shapes=self.shapes)


NO_OPTIONS = PrepareOptions()


@dataclass(frozen=True)
class Prepared:
    """A quantized model, what it was calibrated with ("none" if it came quantized), the extents to bind, and the
    options that it was prepared with."""

    model: Model
    calibration: str
    shapes: Mapping[str, int]
    options: PrepareOptions = NO_OPTIONS


def prepare(source: Source, options: PrepareOptions = NO_OPTIONS, progress: Progress = quiet) -> Prepared:
    """Load a model and, if it is float, quantize it.

    Raises ModelError, InputError for inputs that the model cannot take, and QuantizationError for calibration
    arrays that do not fit.
    """
    if not isinstance(source, Model) and artifact.is_artifact(source):
        raise ModelError(f"{source}: an artifact, compiled already; give the ONNX model it was made from")
    model = source if isinstance(source, Model) else load(os.fspath(source))
    if options.inputs is not None:
        check_inputs(options.inputs, model.inputs)  # before minutes go into compiling
    if model.is_quantized:
        return Prepared(model, "none", options.shapes, options)
    progress("quantize", 0, 0)
    kind, arrays = options.calibration(model)
    quantized = quantize(
        model,
        arrays,
        options.quantization,
        shapes=options.shapes,
        progress=lambda done, total: progress("quantize", done, total),
    )
    return Prepared(quantized, kind, {}, options)  # quantizing has bound the extents


def build(prepared: Prepared, target: Target = DEFAULT_TARGET, progress: Progress = quiet) -> Executable:
    """Compile a prepared model. Raises MachineError, ModelError or CompileError."""
    return compile_model(
        prepared.model,
        target,
        shapes=prepared.shapes,
        calibration=prepared.calibration,
        host=prepared.options.host or DEFAULT_HOST,
        pins=prepared.options.pins,
        annotate=prepared.options.annotate,
        progress=lambda stage, fraction: progress(f"compile: {stage}", round(100 * fraction), 100),
    )


def open_program(
    source: Source | Executable,
    target: Target | None = None,
    options: PrepareOptions = NO_OPTIONS,
    progress: Progress = quiet,
) -> Executable:
    """The executable of an artifact, or of a model compiled for `target` (DEFAULT_TARGET if None).

    A given target must be what an artifact was compiled for. Raises ArtifactError, or
    what `prepare` and `build` raise.
    """
    wanted = () if target is None else resolve_target(target)
    if isinstance(source, Executable):
        return source
    if not isinstance(source, Model) and artifact.is_artifact(source):
        return artifact.load(source, [each.processor for each in wanted])
    return build(prepare(source, options, progress), wanted or DEFAULT_TARGET, progress)
