"""A compiled model as the Python user holds it: what `weft.compile` returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from weft import compiler
from weft.api.describe import summarize
from weft.api.shapes import ShapeChoices, combinations
from weft.backends import DEFAULT_TARGET, Target
from weft.frontend import Model
from weft.lowering import Driver
from weft.partition import Annotate
from weft.partition.costs import DEFAULT_HOST, HostProfile
from weft_runtime import artifact
from weft_runtime.executable import Executable, NodeReport, TensorSignature
from weft_runtime.variants import Variants, extents_text

__all__ = ["Program", "compile"]

NO_SHAPES: ShapeChoices = {}
NO_PINS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Program:
    """A model compiled for its accelerators, once or for several extents. Run it with `weft.Session(program)` or save
    it as an artifact. `executable` is the first variant, to which the figures refer; `others` are the further ones."""

    executable: Executable
    others: tuple[Executable, ...] = ()

    @property
    def inputs(self) -> tuple[TensorSignature, ...]:
        """The model's inputs; symbolic extents are strings."""
        return self.executable.inputs

    @property
    def variants(self) -> tuple[Executable, ...]:
        """All executables, one for each combination of extents asked for."""
        return (self.executable, *self.others)

    def choose(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Executable:
        """The variant that fits these inputs. Raises InputError naming input and extent."""
        return Variants(self.variants).choose(arrays)

    @property
    def nodes(self) -> tuple[NodeReport, ...]:
        """Where each node runs, why, and what it costs."""
        return self.executable.nodes

    @property
    def estimated_cycles(self) -> int:
        """Cycles of all regions in the timing-only simulator."""
        return sum(region.estimated_cycles for region in self.executable.regions)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the artifact, atomically. Raises ArtifactError where it cannot be written."""
        artifact.save(self.variants, path)

    def summary(self) -> str:
        """A few lines: cycles, utilization, what runs where."""
        facts, executable = summarize(self.executable), self.executable
        processors = executable.processors
        peak = sum(each.estimated_cycles * processors[each.processor].macs_per_cycle for each in executable.regions)
        use = executable.macs / peak if peak else 0.0
        host = [f"{node.op} {node.name!r}: {node.reason}" for node in self.nodes if node.device == "host"]
        lines = [
            *(f"variant: {extents_text(each.extents)}" for each in self.variants if self.others),
            f"{executable.target}: {self.estimated_cycles:,} cycles estimated, {use:.1%} of peak",
            f"{facts['offloaded_nodes']} of {facts['nodes']} nodes and {facts['offloaded_macs']:,} of "
            f"{facts['macs']:,} multiply-accumulates on the accelerator, in {facts['regions']} region(s)",
            f"{facts['instructions']:,} instructions, {facts['dram_bytes']:,} bytes of DRAM",
            *(f"inexact: {line}" for line in self.executable.inexact),
            *(f"host: {line}" for line in host),
        ]
        return "\n".join(lines)


def compile(
    model: Model,
    target: Target = DEFAULT_TARGET,
    *,
    shapes: ShapeChoices = NO_SHAPES,
    calibration: str = "none",
    host: str | HostProfile = DEFAULT_HOST,
    pins: Mapping[str, str] = NO_PINS,
    annotate: Annotate | None = None,
    driver: Driver = "auto",
    batch: int = 1,
) -> Program:
    """Compiles a quantized model for one accelerator or several; see `weft.compiler.compile`.

    `shapes` gives symbolic extents one value each, or several: then every combination is compiled, and a session takes
    the one that fits its inputs. Raises ModelError, CompileError or MachineError, BackendError.
    """
    first, *others = (
        compiler.compile(
            model,
            target,
            shapes=each,
            calibration=calibration,
            host=host,
            pins=pins,
            annotate=annotate,
            driver=driver,
            batch=batch,
        )
        for each in combinations(shapes)
    )
    return Program(first, tuple(others))
