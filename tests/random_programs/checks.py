"""One random program through one way in: float against eager PyTorch, quantized against the oracle, bit for bit."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from export_text import export_source
from follower import Follower
from onnx_text import draw_inputs, onnx_model
from oracle import Oracle, decided
from python_text import python_source
from tree import Program, grow

import weft
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check as check_races
from weft.dynamic import integer_graph, split
from weft.errors import SourceError
from weft.frontend import Model, load, normalize
from weft.lowering import Driver
from weft.partition.costs import host_profile
from weft_runtime.control import Branch, Loop, statements_within
from weft_runtime.executable import Executable
from weft_sim.machine import machine

HAS_TORCH = importlib.util.find_spec("torch") is not None
WAYS = ("onnx", "export", "source")
NO_DECISION = "no decision: "
CALIBRATION, SAMPLES, ON_GOLDEN, ON_RTL = 16, 24, 2, 2
DRIVERS: tuple[Driver, ...] = ("device", "host", "auto")
SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
DEAR_LAUNCHES = dataclasses.replace(
    host_profile("cortex-a53"), name="dear", node_microseconds=200, launch_microseconds=300, transfer_microseconds=50
)


@dataclass
class Figures:
    """What was checked: `decisions` counts Ifs and Loops by who takes them, `edges` samples with a decision so close
    that float results may part; `selects` Ifs of which nobody takes a decision, `batches` programs that ran several
    samples together; `refused` has the reason where Weft does not take the program.
    """

    refused: str = ""
    kept_whole: Counter[str] = field(default_factory=Counter)
    traced_again: int = 0
    edges: int = 0
    samples: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    selects: int = 0
    batches: int = 0
    golden: int = 0
    rtl_programs: int = 0


def check(way: str, seed: int, folder: Path, *, rtl: bool = False) -> Figures:
    """Grows the program of a seed and checks it through `way`. Raises AssertionError where anything differs."""
    program = grow(seed, leaves=way == "source")
    figures = Figures()
    model = {"onnx": _from_onnx, "export": _from_export, "source": _from_source}[way](program, folder, figures)
    if model is not None:
        _check_quantized(program, model, figures, rtl)
    return figures


def _from_onnx(program: Program, folder: Path, figures: Figures) -> Model:
    model = load(onnx_model(program))
    if HAS_TORCH:
        import eager

        module = eager.module_of(python_source(program), folder, f"onnx_{program.seed}")
        figures.edges = eager.compare(module, model, draw_inputs(program, SAMPLES, program.seed))
    return model


def _from_export(program: Program, folder: Path, figures: Figures) -> Model | None:
    import torch

    def given(module: torch.nn.Module, examples: tuple[torch.Tensor, ...]) -> Model:
        strict = bool(program.seed % 3)
        try:
            exported = torch.export.export(module, examples, strict=strict)
        except Exception:  # PyTorch's tracers fail on some nestings; the other one then takes it
            figures.traced_again = 1
            exported = torch.export.export(module, examples, strict=not strict)
        return weft.from_torch(exported)

    return _from_torch(program, export_source(program), folder, f"export_{program.seed}", figures, given)


def _from_source(program: Program, folder: Path, figures: Figures) -> Model | None:
    return _from_torch(program, python_source(program), folder, f"source_{program.seed}", figures, weft.from_torch)


def _from_torch(
    program: Program, source: str, folder: Path, name: str, figures: Figures, take: Callable[[Any, Any], Model]
) -> Model | None:
    import eager
    import torch

    samples = draw_inputs(program, SAMPLES, program.seed)
    module = eager.module_of(source, folder, name)
    try:
        model = take(module, tuple(torch.tensor(each) for each in samples[0].values()))
    except SourceError as error:
        figures.refused = str(error)
        return None
    figures.edges = eager.compare(module, model, samples)
    return model


def _check_quantized(program: Program, model: Model, figures: Figures, rtl: bool) -> None:
    samples = draw_inputs(program, SAMPLES, program.seed)
    figures.kept_whole.update(split(normalize(model)).refused.values())
    batch = {name: np.concatenate([each[name] for each in samples[:CALIBRATION]]) for name in samples[0]}
    quantized = weft.quantize(model, batch)
    oracle = Oracle(integer_graph(normalize(quantized)).proto)
    wanted = [oracle.run(sample) for sample in samples]
    form = split(normalize(quantized)).form
    # An If or Loop that multiplies nothing stays whole, for the host, and is no part of the path.
    statements = () if form is None else statements_within(form.body)
    opened = {each.name for each in statements if isinstance(each, Branch | Loop)}
    figures.samples = len(samples)
    for _, path in wanted:
        figures.outcomes.update(outcome for name, outcome in path if name in opened)
    host = SLOW_HOST if program.seed % 4 else host_profile("cortex-a53")
    for driver in DRIVERS:
        profile = DEAR_LAUNCHES if driver == "auto" else host
        # Selects are worth while most often where the accelerator decides nothing.
        target = Follower(machine("weft-16")) if driver == "auto" and program.seed % 2 else "weft-16"
        executable = _compiled(quantized, target=target, host=profile, driver=driver)
        figures.selects += sum(node.reason.startswith(NO_DECISION) for node in executable.nodes)
        _check_runs(executable, samples, wanted, opened, "sim")
        by_device = sum(len(region.decisions) for region in executable.regions)
        figures.decisions[driver] += len(opened) if driver == "host" else by_device
        if by_device:
            _check_runs(executable, samples[:ON_GOLDEN], wanted, opened, "golden")
            figures.golden += 1
            if rtl:
                _check_rtl(executable, samples, figures)
    if form is not None and program.seed % 3 == 0:
        figures.batches += 1
        together = _compiled(quantized, host=host, driver="host", batch=2 + program.seed % 4)
        _check_together(together, samples, wanted, opened)


def _compiled(quantized: Model, **options: Any) -> Executable:
    executable = weft.compile(quantized, **options).executable
    findings = check_races(executable).findings
    assert not findings, findings[0]
    return executable


def _check_runs(
    executable: Executable, samples: list[dict[str, Any]], wanted: list[Any], opened: set[str], device: str
) -> None:
    with weft.Session(executable, device=device) as session:
        for index, sample in enumerate(samples):
            found = session.run(sample)
            taken = session.profile.paths[0] if session.profile.paths else ()
            _same(executable, index, found, taken, wanted[index], opened)


def _check_together(executable: Executable, samples: list[dict[str, Any]], wanted: list[Any], opened: set[str]) -> None:
    """All samples in one run: outputs in order, and every path, as each alone."""
    with weft.Session(executable) as session:
        found = session.run({name: np.concatenate([each[name] for each in samples]) for name in samples[0]})
        for index, (outputs, _) in enumerate(wanted):
            rows = {name: _rows_of(found[name], index, array) for name, array in outputs.items()}
            _same(executable, index, rows, session.profile.paths[index], wanted[index], opened)


def _rows_of(together: Any, index: int, alone: Any) -> Any:
    """A sample's part of what a session has put together: outputs without axes are stacked, others joined."""
    rows = len(alone) if alone.ndim else 1
    return together[index * rows : (index + 1) * rows].reshape(alone.shape)


def _same(
    executable: Executable, index: int, found: dict[str, Any], taken: Sequence[Any], wanted: Any, opened: set[str]
) -> None:
    outputs, path = wanted
    ours, steps = [(each.name, each.outcome) for each in taken], decided(path, executable.nodes)
    assert ours == [step for step in steps if step[0] in opened], f"sample {index}: path {ours}, not {steps}"
    for name, array in outputs.items():
        np.testing.assert_array_equal(found[name], array, err_msg=f"sample {index}")


def _check_rtl(executable: Executable, samples: list[dict[str, Any]], figures: Figures) -> None:
    rows = {name: np.concatenate([each[name] for each in samples[:ON_RTL]]) for name in samples[0]}
    report = cosim_model(executable, rows, stall_seed=len(samples))
    assert (report.mismatches, report.first_mismatch) == (0, None)
    figures.rtl_programs += report.programs
