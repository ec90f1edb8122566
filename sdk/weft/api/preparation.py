"""From a model or artifact to what can run: quantized if it was float, compiled if it was a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weft.api.progress import Progress, quiet
from weft.api.shapes import extents_of_arrays, require_extents
from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.compiler import compile as compile_model
from weft.errors import ArtifactError, ModelError
from weft.frontend import Model, load, rebind
from weft.lowering import Driver
from weft.partition import Annotate
from weft.partition.costs import DEFAULT_HOST
from weft.quantize import QuantizeOptions, quantize, random_calibration
from weft_runtime import artifact
from weft_runtime.executable import Executable
from weft_runtime.inputs import check_inputs
from weft_runtime.variants import extents_text

__all__ = [
    "NO_OPTIONS",
    "PrepareOptions",
    "Prepared",
    "Source",
    "build",
    "build_variants",
    "open_program",
    "open_variants",
    "prepare",
]

Source = str | os.PathLike[str] | Model


@dataclass(frozen=True)
class PrepareOptions:
    """What a float model is calibrated with, in this order: `samples`, `inputs` (those it will run on), or
    random ones from `seed`. `shapes` binds symbolic extents of the model's inputs (the batch is 1 if not
    given). `quantization` says how a float model is quantized; `host`, `pins` and `annotate` say what runs
    where, `driver` who decides, `batch` how many samples of a dynamic model run together, as for `weft.compile`
    (None: DEFAULT_HOST)."""

    samples: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] | None = None
    seed: int = 0
    shapes: Mapping[str, int] = field(default_factory=dict)
    host: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    annotate: Annotate | None = None
    driver: Driver = "auto"
    batch: int = 1
    quantization: QuantizeOptions = field(default_factory=QuantizeOptions)

    def extents(self, model: Model) -> dict[str, int]:
        """The extents to bind: those given, and those behind the leading axes as calibration or input arrays have
        them."""
        arrays = {**(self.inputs or {}), **(self.samples or {})}
        return {**extents_of_arrays(arrays, model.signature), **self.shapes}

    def calibration(self, model: Model) -> tuple[str, Mapping[str, Any]]:
        """The kind of calibration, "file", "input" or "random", and its arrays."""
        if self.samples is not None:
            return "file", self.samples
        if self.inputs is not None:
            return "input", self.inputs
        require_extents(model, self.shapes)
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
        check_inputs(options.inputs, model.signature)  # before minutes go into compiling
    extents = options.extents(model)
    if model.is_quantized:
        if model.unbound is not None:  # quantized here, with extents that may be others
            return Prepared(rebind(model, extents), "none", {}, options)
        return Prepared(model, "none", extents, options)
    progress("quantize", 0, 0)
    kind, arrays = options.calibration(model)
    quantized = quantize(
        model,
        arrays,
        options.quantization,
        shapes=extents,
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
        driver=prepared.options.driver,
        batch=prepared.options.batch,
        progress=lambda stage, fraction: progress(f"compile: {stage}", round(100 * fraction), 100),
    )


def build_variants(
    prepared: Prepared,
    choices: Sequence[Mapping[str, int]],
    target: Target = DEFAULT_TARGET,
    progress: Progress = quiet,
) -> tuple[Executable, ...]:
    """Compile a prepared model for each of these extents, in their order. Raises what `build` raises."""
    bound = [replace(prepared, shapes={**prepared.shapes, **each}) for each in choices]
    return tuple(build(each, target, progress) for each in bound)


def open_program(
    source: Source | Executable,
    target: Target | None = None,
    options: PrepareOptions = NO_OPTIONS,
    progress: Progress = quiet,
) -> Executable:
    """The first of what `open_variants` gives."""
    return open_variants(source, target, options, progress)[0]


def open_variants(
    source: Source | Executable,
    target: Target | None = None,
    options: PrepareOptions = NO_OPTIONS,
    progress: Progress = quiet,
) -> tuple[Executable, ...]:
    """The executables of an artifact, or the one of a model compiled for `target` (DEFAULT_TARGET if None).

    A given target must be what an artifact was compiled for, and of its variants those for the extents
    in `options.shapes` are the answer; what runs where is settled in it. Raises ArtifactError, or what `prepare`
    and `build` raise.
    """
    wanted = () if target is None else resolve_target(target)
    if isinstance(source, Executable):
        return (source,)
    if not isinstance(source, Model) and artifact.is_artifact(source):
        if options.host is not None or options.pins or options.driver != "auto":
            raise ArtifactError(
                f"{source}: compiled already; --pin, --host and --driver count where a model is compiled"
            )
        return _fitting(source, artifact.load_variants(source, [each.processor for each in wanted]), options.shapes)
    return (build(prepare(source, options, progress), wanted or DEFAULT_TARGET, progress),)


def _fitting(source: Source, variants: tuple[Executable, ...], shapes: Mapping[str, int]) -> tuple[Executable, ...]:
    fitting = tuple(each for each in variants if shapes.items() <= dict(each.extents).items())
    if not fitting:
        known = "; ".join(extents_text(each.extents) for each in variants)
        wanted = extents_text(tuple(shapes.items()))
        raise ArtifactError(f"{source}: not compiled for {wanted}, but for: {known}; compile the model for it")
    return fitting
