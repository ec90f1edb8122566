"""Several accelerators in one model, backends by entry point, and what the conformance kit finds in a broken one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import weft
from weft.api import verify
from weft.backends import resolve_target
from weft.errors import BackendError, MachineError
from weft.ir import Operator
from weft.testing.suite import Conformance, conformance
from weft_runtime import DeviceBackend, Session
from weft_runtime.backend import device_backend, registered
from weft_sim.result import RunResult

from .gemm import GEMM, PACKAGE

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
ULTRAFACE = MODELS / "ultraface" / "version-RFB-320.onnx"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered(GEMM):
        yield


def test_a_backend_is_a_device_backend() -> None:
    assert isinstance(GEMM, DeviceBackend)
    with pytest.raises(BackendError, match=r"no backend 'absent' is installed; known: .*weft"):
        device_backend("absent")


def test_targets_by_name() -> None:
    assert [each.processor.name for each in resolve_target("gemm-16,weft-8")] == ["gemm-16", "weft-8"]
    with pytest.raises(MachineError, match=r"unknown target 'gemm-32'; known targets: weft-8, .*gemm-16"):
        resolve_target("gemm-32")
    with pytest.raises(MachineError, match="different names"):
        resolve_target("weft-8,weft-8")


@pytest.mark.skipif(not ULTRAFACE.exists(), reason="needs ../shared/models")
def test_ultraface_on_three_processors() -> None:
    """What the multiplier would take alone is pinned to it: by cost everything stays on Weft's processor, as every
    change between processors is a transfer over the host. Small layers between pinned ones may go to the host."""
    from weft.api.preparation import PrepareOptions, build, prepare

    alone = build(prepare(str(ULTRAFACE)), "gemm-16")
    pins = {node.name: "gemm-16" for node in alone.nodes if node.macs and node.device == "gemm-16"}
    report = verify(str(ULTRAFACE), target="weft-16,gemm-16", pins=pins)
    assert (report.mismatches, report.elements) == (0, 26520)
    executable = build(prepare(str(ULTRAFACE), PrepareOptions(pins=pins)), "weft-16,gemm-16")
    assert {node.name for node in executable.nodes if node.macs and node.device == "gemm-16"} == pins.keys() != set()
    devices = {node.device for node in executable.nodes if node.macs}
    assert devices >= {"weft-16", "gemm-16"} and executable.host_graphs
    assert executable.offloaded_macs > 0.9 * executable.macs
    with Session(executable) as session:
        session.run({"input": np.zeros((1, 3, 240, 320), np.float32)})
        regions = session.profile.regions
    assert {each.processor.name for each in regions} == {"weft-16", "gemm-16"}
    assert session.profile.cycles == sum(each.cycles for each in regions)
    seconds = sum(each.cycles / (each.processor.clock_mhz * 1e6) for each in regions)
    assert session.profile.device_seconds == pytest.approx(seconds)


class _Broken:
    """A GEMM backend with one fault planted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def rounds_down(self) -> None:
        from weft_gemm import engine

        self.monkeypatch.setattr(engine.np, "rint", np.floor)

    def takes_convolutions(self) -> None:
        from weft_gemm.backend import GemmAccelerator

        def refuse(accelerator: Any, operator: Operator) -> None:
            return None

        self.monkeypatch.setattr(GemmAccelerator, "refuse", refuse)

    def refuses_everything(self) -> None:
        from weft_gemm.backend import GemmAccelerator

        self.monkeypatch.setattr(GemmAccelerator, "refuse", lambda accelerator, operator: "no")

    def remembers(self) -> None:
        from weft_gemm.engine import GemmDevice

        launch, runs = GemmDevice.launch, []

        def stateful(device: GemmDevice, address: int, size: int, registers: Sequence[int]) -> RunResult:
            runs.append(1)
            result = launch(device, address, size, registers)
            device._memory[-1:] += len(runs) % 2
            device._memory[registers[2] :] += len(runs) % 2
            return result

        self.monkeypatch.setattr(GemmDevice, "launch", stateful)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("rounds_down", lambda kit: kit.test_same_bits_as_the_reference("matmul", 0)),
        ("takes_convolutions", lambda kit: kit.test_same_bits_as_the_reference("conv 3x3", 0)),
        ("refuses_everything", lambda kit: kit.test_takes_something()),
        ("remembers", lambda kit: kit.test_same_bits_as_the_reference("gemm", 0)),
    ],
)
def test_the_kit_finds_faults(fault: str, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = conformance(GEMM)()
    assert isinstance(kit, Conformance)
    check(kit) if fault != "takes_convolutions" else None  # without the fault there is nothing to find
    getattr(_Broken(monkeypatch), fault)()
    with pytest.raises(BaseException):  # noqa: B017  (pytest.fail's outcome is no Exception)
        check(kit)


def test_installed_as_a_package_it_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """In a process of its own, where nothing registers it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = tmp_path / "source"
    _copy(PACKAGE, copy)
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(copy)], check=True)
    model = tmp_path / "model.onnx"
    onnx.save(_product(), model)
    folders = [tmp_path / "site", *(ROOT / name for name in ("sdk", "runtime", "hw_sim"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", "weft.cli", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    assert "gemm-16" in call("targets")
    call("compile", str(model), "-o", str(tmp_path / "model.weft"), "--target", "gemm-16")
    assert '"target":"gemm-16"' in call("run", str(tmp_path / "model.weft"), "--json").replace(" ", "")
    assert "depth=24" in call("disasm", str(tmp_path / "model.weft"))
    assert '"mismatches":0' in call("verify", str(model), "--target", "gemm-16", "--json").replace(" ", "")


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(path.read_bytes())


def _product() -> onnx.ModelProto:
    weights = helper.make_tensor("w", onnx.TensorProto.FLOAT, [24, 5], np.linspace(-1, 1, 120, dtype=np.float32))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 24])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 5])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_face_takes_accelerators_too() -> None:
    model = weft.quantize(_product(), {"x": np.ones((3, 24), np.float32)})
    program = weft.compile(model, target=[GEMM.accelerator("gemm-16"), weft.machine("weft-8")])
    assert program.executable.target == "gemm-16,weft-8"
    assert "gemm-16" in program.summary()
