"""The compiler: one visible list of passes from a quantized model to an executable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.control.dividing import Known, divide
from weft.control.lowering import lower_form
from weft.control.selects import Selected, select_branches
from weft.dynamic import Splitting, split
from weft.errors import CompileError
from weft.frontend import Model, normalize, rebind
from weft.lowering import Driver, Progress, Request, lower
from weft.partition import Annotate
from weft.partition.costs import DEFAULT_HOST, HostProfile, host_profile
from weft_runtime.control import MAX_BATCH
from weft_runtime.executable import Executable, NodeReport, TensorSignature

__all__ = ["compile"]

NO_SHAPES: Mapping[str, int] = {}
NO_PINS: Mapping[str, str] = {}


def compile(
    model: Model,
    target: Target = DEFAULT_TARGET,
    *,
    shapes: Mapping[str, int] = NO_SHAPES,
    calibration: str = "none",
    host: str | HostProfile = DEFAULT_HOST,
    pins: Mapping[str, str] = NO_PINS,
    annotate: Annotate | None = None,
    driver: Driver = "auto",
    batch: int = 1,
    progress: Progress = lambda stage, fraction: None,
) -> Executable:
    """Compiles a quantized (QDQ or integer-operator) model for accelerators; unquantized parts run on the host.

    `shapes` binds symbolic extents (the batch is 1 otherwise), also anew for a model that was quantized with others;
    `calibration` is recorded in the executable; `progress(stage, fraction done)` is called from time to time. What
    runs where is the cheapest partition for the profile `host` (docs/partitioning.md). `pins` maps node names to
    "cpu", "accelerator" or a target's name; `annotate(node)` may answer the same for any node of the integer graph;
    nodes of the model may carry it as metadata "weft.pin". `driver` says who takes decisions that depend on the input:
    whatever is cheapest for each ("auto": the accelerator, the host, or nobody, where both branches of an If run), the
    accelerator wherever it can ("device"), or the "host". With a `batch` above 1, up to so many samples of such a model
    run together, each on its own path, and the host decides (docs/dynamic.md).
    Raises MachineError for an unknown target, ModelError for a broken model and CompileError for one that cannot be
    compiled as asked.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise CompileError(f"{model.name}: a batch of {batch} samples is outside 1 to {MAX_BATCH}")
    accelerators = resolve_target(target)
    progress("normalize", 0.0)
    normalized = normalize(model, shapes) if model.unbound is None else normalize(rebind(model, shapes))
    profile = host if isinstance(host, HostProfile) else host_profile(host)
    request = Request(tuple(accelerators), profile, pins, annotate, calibration, driver, batch=batch)
    executable, splitting = _lowered(normalized, model, request, progress)
    return replace(
        executable, nodes=tuple(_with_refusal(node, splitting.refused) for node in executable.nodes),
        inputs=model.signature, outputs=(model.unbound or model).outputs,
        batch=_batch(model.signature, normalized.inputs), extents=tuple(sorted(normalized.extents.items())),
    )  # fmt: skip


def _lowered(normalized: Model, model: Model, request: Request, progress: Progress) -> tuple[Executable, Splitting]:
    """The program in its own terms, and how its control flow was taken apart."""
    splitting = split(normalized)
    if splitting.form is None:
        if request.batch != 1:
            raise CompileError(
                f"{model.name}: no path depends on the input, so it takes no batch of own paths: "
                "give the size of its leading extent (shapes, or --shape NAME=SIZE)"
            )
        return lower(normalized, model, request, progress), splitting
    known: Known = {}
    found = Selected(normalized, splitting, {}, None)
    if request.driver == "auto" and request.batch == 1:
        found = select_branches(normalized, splitting, request, progress, known)
    if found.splitting.form is None:  # every decision is a select
        executable = lower(found.normalized, found.normalized, request, progress)
    else:
        divided = found.divided or divide(found.splitting.form, request, progress, known)
        executable = lower_form(divided, request)
    return found.reported(executable), splitting


def _with_refusal(node: NodeReport, refused: Mapping[str, str]) -> NodeReport:
    """The report of an If, Loop or Scan that stays whole says why."""
    if node.name not in refused:
        return node
    return replace(node, reason=f"runs whole on the host: {refused[node.name]}")


def _batch(given: tuple[TensorSignature, ...], bound: tuple[TensorSignature, ...]) -> int:
    """The leading extent that a symbolic batch was bound to, or else the first leading extent as it is."""
    leading = [
        (isinstance(symbolic.shape[0], str), signature.shape[0])
        for symbolic, signature in zip(given, bound, strict=True)
        if signature.shape and isinstance(signature.shape[0], int)
    ]
    found = [extent for was_bound, extent in leading if was_bound] or [extent for _, extent in leading]
    return max(0, found[0]) if found else 1
