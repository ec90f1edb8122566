"""The conformance kit: what a backend must keep so that everything else can rely on it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from weft import compiler
from weft.api.compare import compare, output_scale
from weft.api.preparation import PrepareOptions, prepare
from weft.backends import Backend
from weft.errors import DeviceError, DeviceFault, DeviceUnavailableError, ExecutableError, MachineError
from weft.frontend import Model, integerize, normalize, reference_session
from weft.testing.models import OPERATORS, REGIONS
from weft_runtime import Executable, Region, Session, artifact
from weft_runtime.backend import registered
from weft_sim.result import RunOptions

__all__ = ["Conformance", "conformance"]

SEEDS = (0, 1)
BESIDE = "weft-16"
"""The accelerator that shares models with the one under test."""

Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Case:
    """A quantized model and seeded inputs for it."""

    model: Model
    inputs: Outputs


@functools.cache
def _case(name: str, seed: int = 0) -> _Case:
    rng = np.random.default_rng(seed)
    prepared = prepare({**OPERATORS, **REGIONS}[name](rng), PrepareOptions(seed=seed))
    inputs = {
        signature.name: rng.normal(size=[each if isinstance(each, int) else 1 for each in signature.shape]).astype(
            np.float32
        )
        for signature in prepared.model.inputs
    }
    return _Case(prepared.model, inputs)


def _run(source: Executable | Path, inputs: Outputs, device: str) -> Outputs:
    with Session(source, device) as session:
        return session.run(inputs)


def conformance(backend: Backend, target: str = "") -> type[Conformance]:
    """A pytest class that checks a backend with its first target, or the given one; assign it to a name that begins
    with Test."""
    values = {"backend": backend, "target": target or backend.targets[0]}
    return type("Conformance", (Conformance,), values)


class Conformance:
    """The checks; each docstring says what a failure means."""

    backend: Backend
    target: str

    @pytest.fixture(autouse=True)
    def _registered(self) -> Iterator[None]:
        with registered(self.backend):
            yield

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("name", [*OPERATORS, *REGIONS])
    def test_same_bits_as_the_reference(self, name: str, seed: int) -> None:
        """Every element as ONNX Runtime computes it, or within the step that `inexact` admits."""
        for device in self.backend.device_names:
            _check(name, seed, self.target, device)

    @pytest.mark.parametrize("name", [*OPERATORS, *REGIONS])
    def test_shares_a_model_with_another_accelerator(self, name: str) -> None:
        """Beside Weft's own processor and the CPU, each with its part."""
        for first, second in ((BESIDE, self.target), (self.target, BESIDE)):
            if first != second:
                _check(name, 0, f"{first},{second}", self.backend.device_names[0])

    def test_takes_something(self) -> None:
        """A backend that refuses everything is none."""
        taken = [name for name in OPERATORS if compiler.compile(_case(name).model, self.target).regions]
        assert taken, f"{self.target} refuses every one of {', '.join(OPERATORS)}"

    @pytest.mark.parametrize("name", [*OPERATORS, *REGIONS])
    def test_every_node_has_a_place_and_a_reason(self, name: str) -> None:
        """`weft explain` says where each node runs and why."""
        executable = compiler.compile(_case(name).model, self.target)
        assert all(node.reason and node.device in ("host", self.target) for node in executable.nodes)
        assert all(region.estimated_cycles > 0 for region in executable.regions)
        assert executable.offloaded_macs == sum(region.macs for region in executable.regions)

    @pytest.mark.parametrize("name", [*OPERATORS, *REGIONS])
    def test_same_program_and_same_answer_again(self, name: str, tmp_path: Path) -> None:
        """Compiling twice gives equal bytes; an artifact answers as what it was made from; nothing stays behind in
        device memory that changes the next answer."""
        case, device = _case(name), self.backend.device_names[0]
        first = compiler.compile(case.model, self.target)
        assert compiler.compile(case.model, self.target) == first
        artifact.save(first, tmp_path / "model.weft")
        expected = _run(first, case.inputs, device)
        with Session(tmp_path / "model.weft", device) as session:
            session.run({name: np.full_like(array, 3) for name, array in case.inputs.items()})
            again = session.run(case.inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(again[name], array)

    def test_a_batch_is_its_samples_in_turn(self) -> None:
        """A symbolic batch, with one sample and with five."""
        case = _case("chain, dynamic batch")
        executable, device = compiler.compile(case.model, self.target), self.backend.device_names[0]
        many = np.random.default_rng(1).normal(size=(5, 9)).astype(np.float32)
        together = _run(executable, {"x": many}, device)["y"]
        for index, row in enumerate(many):
            np.testing.assert_array_equal(_run(executable, {"x": row[None]}, device)["y"][0], together[index])

    def test_unknown_names_are_refused(self) -> None:
        """With typed errors."""
        with pytest.raises(MachineError):
            self.backend.accelerator("no such target")
        executable, _ = self._taken()
        with pytest.raises(DeviceUnavailableError):
            Session(executable, "no such device")

    def test_device_memory_ends_where_it_ends(self) -> None:
        """Reading and writing outside, and after closing, is a DeviceError."""
        for name in self.backend.device_names:
            processor = self.backend.accelerator(self.target).processor
            device = self.backend.open_device(name, processor, 8192, RunOptions())
            device.write(8190, b"ab")
            assert device.read(8190, 2).tobytes() == b"ab" and not device.read(0, 8190).any()
            for address, size in ((8191, 2), (-1, 1), (0, 8193)):
                with pytest.raises(DeviceError):
                    device.read(address, size)
            with pytest.raises(DeviceError):
                device.write(8191, b"ab")
            device.close()
            device.close()
            with pytest.raises(DeviceError):
                device.read(0, 1)

    def test_another_processor_is_refused(self) -> None:
        """A configuration from a file that is not the backend's own."""
        executable, _ = self._taken()
        for change in ({"configuration": '{"wings": 2}'}, {"macs_per_cycle": 7}):
            with pytest.raises(ExecutableError):
                self.backend.check_region(replace(executable.processors[0], **change), executable.regions[0])

    @pytest.mark.parametrize("seed", range(20))
    def test_damaged_programs_do_no_harm(self, seed: int) -> None:
        """Whatever bytes an artifact holds: refused, a fault, or an answer (of the right type, at least)."""
        executable, inputs = self._taken()
        region = _damage(executable.regions[0], np.random.default_rng(seed), seed)
        damaged = replace(executable, regions=(region, *executable.regions[1:]))
        try:
            with Session(damaged, self.backend.device_names[0], RunOptions(cycle_limit=1_000_000)) as session:
                session.run(inputs)
        except (ExecutableError, DeviceFault):
            pass

    def _taken(self) -> tuple[Executable, Outputs]:
        """A compiled model with a region, and inputs for it: a matrix product, else whatever it does take."""
        for name in OPERATORS:
            case = _case(name)
            executable = compiler.compile(case.model, self.target)
            if executable.regions:
                return executable, case.inputs
        raise AssertionError(f"{self.target} takes nothing")


@functools.cache
def _expected(name: str, seed: int) -> Outputs:
    """What ONNX Runtime computes on the integer graph."""
    case = _case(name, seed)
    session = reference_session(integerize(normalize(case.model)))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, case.inputs), strict=True))


def _check(name: str, seed: int, target: str, device: str) -> None:
    case = _case(name, seed)
    executable = compiler.compile(case.model, target)
    found = _run(executable, case.inputs, device)
    for output, expected in _expected(name, seed).items():
        difference = compare(expected, found[output], output_scale(case.model.proto, output))
        if difference.mismatches and not executable.inexact:
            pytest.fail(f"{difference.mismatches} of {difference.elements} elements of {output!r} differ on {device!r}")
        assert difference.steps <= 1


def _damage(region: Region, rng: np.random.Generator, seed: int) -> Region:
    if seed == 0:
        return replace(region, instructions=b"")
    if seed == 1:
        return replace(region, instructions=region.instructions[:-1])
    data = np.frombuffer(region.instructions, np.uint8).copy()
    data[rng.integers(0, data.size, seed)] = rng.integers(0, 256, seed)
    return replace(region, instructions=data.tobytes())
