"""`weft verify`: a compiled model on a device against ONNX Runtime on the same QDQ graph, element by
element."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnxruntime

from weft.api.arrays import Arrays, first_samples, random_arrays
from weft.api.attribution import Attribution, InexactReport, attribute
from weft.api.compare import compare, output_scale
from weft.api.decisions import DecisionReport, DecisionTally
from weft.api.fused import run_fused
from weft.api.preparation import Prepared, PrepareOptions, Source, build, prepare
from weft.api.progress import Progress, quiet
from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.dynamic import integer_graph, split
from weft.errors import CompileError, ModelError
from weft.frontend import Model, load, normalize, reference_session
from weft.lowering import Driver
from weft_runtime.errors import HostError
from weft_runtime.inputs import split_samples
from weft_runtime.session import Session

__all__ = ["OutputReport", "VerifyReport", "verify"]

NO_SHAPES: Mapping[str, int] = {}
NO_PINS: Mapping[str, str] = {}


@dataclass(frozen=True)
class OutputReport:
    """One model output over all samples. `max_abs_diff_lsb` is None where only one side is finite."""

    name: str
    elements: int
    mismatches: int
    max_abs_diff_lsb: float | None
    ort_default_mismatches: int | None


@dataclass(frozen=True)
class VerifyReport:
    """The comparison of a device with the numeric reference.

    The reference is the integer graph, run by ONNX Runtime with optimizations off. `max_abs_diff_lsb` counts
    steps of the output's scale (units in the last place for float outputs without one); None means not
    finite. `ort_default_mismatches` is how many elements ONNX Runtime's default, fused session differs in
    from the reference; None if that session fails, for the reason in `ort_default_failure`. Where the program has
    operators with a bound instead of a proof, `inexact` says what they did, and `unexplained` counts what they do not
    explain (see `attribution.py`); else it is `mismatches`. `decisions` compares the paths with the float model's,
    where a float model with control flow was given.
    """

    device: str
    target: str
    samples: int
    elements: int
    mismatches: int
    max_abs_diff_lsb: float | None
    ort_default_mismatches: int | None
    ort_default_failure: str
    calibration: str
    inputs: str
    cycles: int
    seconds: float
    outputs: tuple[OutputReport, ...]
    unexplained: int
    inexact: tuple[InexactReport, ...]
    decisions: tuple[DecisionReport, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every element agrees in every bit."""
        return self.mismatches == 0

    @property
    def verified(self) -> bool:
        """Whether every difference comes from an operator that has a bound instead of a proof, and keeps to it."""
        return self.unexplained == 0

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            **asdict(self),
            "outputs": [asdict(each) for each in self.outputs],
            "inexact": [asdict(each) for each in self.inexact],
            "decisions": [asdict(each) for each in self.decisions],
        }


def verify(
    source: Source,
    inputs: Mapping[str, Any] | None = None,
    *,
    device: str = "sim",
    target: Target = DEFAULT_TARGET,
    samples: int | None = None,
    calibration: Mapping[str, Any] | None = None,
    shapes: Mapping[str, int] = NO_SHAPES,
    host: str | None = None,
    pins: Mapping[str, str] = NO_PINS,
    driver: Driver = "auto",
    seed: int = 0,
    float_model: Source | None = None,
    progress: Progress = quiet,
) -> VerifyReport:
    """Compile a model, run it on a device, and compare every output with the reference.

    The first `samples` samples of `inputs` are used (all, if None), or as many seeded random ones (1, if
    None). `host` and `pins` say what runs where, `driver` who decides, as for `weft.compile`. A float model is
    quantized first, as in `run`. `float_model` is what a quantized `source` was made from: the decisions of both
    are compared. A mismatch is in the report, not raised, and followed to the inexact operators that explain it, if
    there are any. Raises WeftError.
    """
    start = time.perf_counter()
    accelerators = resolve_target(target)  # before minutes go into quantizing
    options = PrepareOptions(calibration, inputs, seed, shapes, host, pins, driver=driver)
    prepared = prepare(source, options, progress)
    original = None if float_model is None else _float(float_model, prepared.model)
    program = build(prepared, accelerators, progress)
    if inputs is None:
        arrays = random_arrays(program.bound_inputs, program.batch, samples or 1, seed, shapes)
    else:
        arrays = first_samples(inputs, program.bound_inputs, program.batch, samples)
    integer = integer_graph(normalize(prepared.model, prepared.shapes))
    reference = reference_session(integer)
    parts = list(split_samples(arrays, program.bound_inputs, program.batch))
    progress("ONNX Runtime", 0, 0)
    fused = run_fused(prepared.model, parts)
    tally = _Tally(prepared.model)
    decisions = _decisions(original or source, prepared) if program.control is not None else None
    cycles = 0
    with Session(program, device) as session:
        for done, part in enumerate(parts):
            progress("verify", done, len(parts))
            expected = _run(reference, part)
            tally.compare_device(expected, session.run(part))
            if fused.samples is not None:
                tally.compare_fused(expected, fused.samples[done])
            cycles += session.profile.cycles
            if decisions is not None:
                decisions.compare(part, session.profile.paths[0])
    outputs = tally.reports(fused.samples is not None)
    mismatches = sum(each.mismatches for each in outputs)
    causes = Attribution((), mismatches)
    if program.inexact and program.control is None:
        progress("attribute", 0, 0)
        causes = attribute(integer, program, accelerators, device, parts)
    return VerifyReport(
        device=device,
        target=program.target,
        samples=len(parts),
        elements=sum(each.elements for each in outputs),
        mismatches=mismatches,
        max_abs_diff_lsb=_finite(max(tally.steps.values(), default=0.0)),
        ort_default_mismatches=None if fused.samples is None else sum(tally.fused.values()),
        ort_default_failure=fused.failure,
        calibration=prepared.calibration,
        inputs="random" if inputs is None else "given",
        cycles=round(cycles / len(parts)),
        seconds=time.perf_counter() - start,
        outputs=outputs,
        unexplained=causes.unexplained,
        inexact=causes.operators,
        decisions=() if decisions is None else decisions.reports(),
    )


def _float(source: Source, quantized: Model) -> Model:
    """The float model of a quantized one. Raises ModelError where it cannot be that."""
    model = source if isinstance(source, Model) else load(os.fspath(source))
    if model.is_quantized:
        raise ModelError(f"{model.name}: is quantized, and cannot be the float model that decisions are compared with")
    ours, theirs = ({each.name: (each.dtype, len(each.shape)) for each in one.inputs} for one in (model, quantized))
    if ours != theirs:
        raise ModelError(f"{model.name}: is not what the quantized model was made from: its inputs are others")
    return model


def _decisions(source: Source, prepared: Prepared) -> DecisionTally | None:
    """Of the float model, where that is what was given."""
    model = source if isinstance(source, Model) else load(os.fspath(source))
    if model.is_quantized:
        return None
    form = split(normalize(model, prepared.options.extents(model))).form
    return None if form is None else DecisionTally(form)


class _Tally:
    """Differences per output, summed over samples."""

    def __init__(self, model: Model) -> None:
        self._scales = {output.name: output_scale(model.proto, output.name) for output in model.outputs}
        self._elements = dict.fromkeys(self._scales, 0)
        self._mismatches = dict.fromkeys(self._scales, 0)
        self.fused = dict.fromkeys(self._scales, 0)
        self.steps = dict.fromkeys(self._scales, 0.0)

    def compare_device(self, expected: Arrays, actual: Arrays) -> None:
        for name, scale in self._scales.items():
            found, reference = actual[name], expected[name]
            if found.dtype != reference.dtype or found.shape != reference.shape:
                raise CompileError(
                    f"output {name!r} is {found.dtype} {list(found.shape)} on the device, but the reference "
                    f"gives {reference.dtype} {list(reference.shape)}: report it as a defect of the compiler"
                )
            difference = compare(reference, found, scale)
            self._elements[name] += difference.elements
            self._mismatches[name] += difference.mismatches
            self.steps[name] = max(self.steps[name], difference.steps)

    def compare_fused(self, expected: Arrays, fused: Arrays) -> None:
        for name in self._scales:
            found, reference = fused[name], expected[name]
            same = found.dtype == reference.dtype and found.shape == reference.shape
            self.fused[name] += compare(reference, found, None).mismatches if same else reference.size

    def reports(self, with_fused: bool) -> tuple[OutputReport, ...]:
        return tuple(
            OutputReport(
                name,
                self._elements[name],
                self._mismatches[name],
                _finite(self.steps[name]),
                self.fused[name] if with_fused else None,
            )
            for name in self._scales
        )


def _run(session: onnxruntime.InferenceSession, inputs: Arrays) -> Arrays:
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    try:
        results = session.run(names, {name: array for name, array in inputs.items() if name in wanted})
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise HostError(
            f"ONNX Runtime cannot run the reference of this model: {' '.join(str(error).split())[:400]}"
        ) from error
    return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}


def _finite(steps: float) -> float | None:
    return steps if math.isfinite(steps) else None
