"""Sessions on the golden model and on a device with a made-up clock: answers, inputs, faults, repetition."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sample_program import TimedDevice, adder, expected_sum

from weft_runtime import artifact, devices
from weft_runtime.errors import (
    ArtifactError,
    DeviceError,
    DeviceUnavailableError,
    ExecutableError,
    HostError,
    InputError,
    SessionError,
)
from weft_runtime.executable import Executable, HostGraph, Step, TensorSignature
from weft_runtime.npu import machine_of
from weft_runtime.session import Session
from weft_sim.errors import DeviceFault
from weft_sim.isa import Load, Unit
from weft_sim.machine import PRESETS, machine
from weft_sim.result import RunOptions


def random_inputs(samples: int = 1, shape: tuple[int, ...] = (3, 5, 4), seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.integers(-128, 128, (samples, *shape)).astype(np.int8) for name in ("a", "b")}


@pytest.mark.parametrize("device", ["golden", "sim"])
@pytest.mark.parametrize("target", sorted(PRESETS))
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 2, 1)])
def test_answers_on_every_machine(device: str, target: str, pads: tuple[int, int, int, int]) -> None:
    shape = (1, 35, 3, 2)
    inputs = random_inputs(1, shape[1:])
    with Session(adder(machine(target), shape, pads), device) as session:
        outputs = session.run(inputs)
    assert list(outputs) == ["y", "sum"]
    np.testing.assert_array_equal(outputs["sum"], expected_sum(inputs["a"], inputs["b"]))
    np.testing.assert_array_equal(outputs["y"], outputs["sum"] * np.float32(0.5))


def test_golden_and_sim_leave_the_same_memory_and_only_sim_has_time() -> None:
    memories = []
    for device, options in (
        ("golden", RunOptions()),
        ("sim", RunOptions()),
        ("sim", RunOptions(stall_seed=5)),
    ):
        with Session(adder(), device, options) as session:
            session.run(random_inputs(3))
            memories.append(session._devices[0].read(0, session.memory.dram_bytes))
            profile = session.profile
            assert (profile.cycles > 0) == (device == "sim")
            assert sum(node.cycles for node in profile.nodes) == profile.cycles
            assert all(counters.busy <= profile.cycles for counters in profile.units.values())
    for memory in memories[1:]:
        np.testing.assert_array_equal(memory, memories[0])


def test_a_session_without_its_simulator_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weft_sim.simulator", None)
    monkeypatch.delattr("weft_sim.simulator", raising=False)
    with pytest.raises(DeviceUnavailableError, match=r"'sim' is not available.*use device 'golden'") as caught:
        Session(adder())
    assert "\n" not in str(caught.value)


def test_from_a_file_and_from_what_carries_an_executable(tmp_path: Path) -> None:
    class Program:
        executable = adder()

    artifact.save(Program.executable, tmp_path / "model.weft")
    inputs = random_inputs()
    answers = []
    for source in (tmp_path / "model.weft", str(tmp_path / "model.weft"), Program(), Program.executable):
        with Session(source, device="golden") as session:
            answers.append(session.run(inputs)["sum"])
    for answer in answers:
        np.testing.assert_array_equal(answer, expected_sum(inputs["a"], inputs["b"]))


@pytest.mark.parametrize("batch", [1, 2])
def test_samples_run_in_turn(batch: int) -> None:
    inputs = random_inputs(6)
    with Session(adder(shape=(batch, 3, 5, 4)), device="golden") as session:
        told: list[tuple[int, int]] = []
        outputs = session.run(inputs, lambda done, total: told.append((done, total)))
        assert told == [(done + 1, 6 // batch) for done in range(6 // batch)]
        assert session.profile.samples == 6 // batch
        assert session.profile.transfers == 3
    np.testing.assert_array_equal(outputs["sum"], expected_sum(inputs["a"], inputs["b"]))
    assert outputs["y"].shape == (6, 3, 5, 4)


def test_an_input_of_unknown_rank_is_shared_by_all_samples() -> None:
    signatures = (TensorSignature("x", "int8", ("batch", 2)), TensorSignature("any", "float32", ("...",)))
    executable = replace(adder(), regions=(), host_graphs=(), steps=(), inputs=signatures, outputs=(signatures[0],))
    x = np.arange(6, dtype=np.int8).reshape(3, 2)
    with Session(executable, device="golden") as session:
        outputs = session.run({"x": x, "any": np.zeros((5, 4, 3), np.float32)})
        assert session.profile.samples == 3
    np.testing.assert_array_equal(outputs["x"], x)


def test_a_fixed_leading_axis_counts_samples_too_and_scalars_are_shared() -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"]), helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0)],
        "scale",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_value_info("k", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    executable = replace(
        adder(),
        regions=(),
        host_graphs=(HostGraph("scale", model.SerializeToString(), ("x", "k"), ("y", "s")),),
        steps=(Step("host", 0),),
        inputs=(TensorSignature("x", "float32", (2, 3)), TensorSignature("k", "float32", ())),
        outputs=(TensorSignature("y", "float32", (2, 3)), TensorSignature("s", "float32", ())),
    )
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with Session(executable, device="golden") as session:
        outputs = session.run({"x": x, "k": np.float32(2)})
        np.testing.assert_array_equal(outputs["y"], 2 * x)
        np.testing.assert_array_equal(outputs["s"], [30, 102])
        assert session.run({"x": x[:2], "k": np.float32(2)})["s"].shape == ()
        with pytest.raises(InputError, match=r"'x'.*leading axis of 3 .* model's 2"):
            session.run({"x": x[:3], "k": np.float32(2)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": None}, "input 'a' is missing"),
        ({"c": np.zeros(1)}, "no input 'c'; its inputs are 'a', 'b'"),
        ({"b": np.zeros((1, 3, 5, 4), np.uint8)}, "input 'b' must be int8, not uint8"),
        (
            {"b": np.zeros((1, 3, 5), np.int8)},
            r"input 'b' must have shape \[batch, 3, 5, 4\], not \[1, 3, 5\]",
        ),
        ({"b": np.zeros((1, 4, 5, 4), np.int8)}, r"not \[1, 4, 5, 4\]"),
        ({"b": np.zeros((2, 3, 5, 4), np.int8)}, "different numbers of samples: 'a' has 1, 'b' has 2"),
        ({"a": np.zeros((0, 3, 5, 4), np.int8)}, "'a': its leading axis of 0"),
        ({"a": [[1], [2, 3]]}, "input 'a' is no array"),
        ({"a": "text"}, "input 'a' must be int8"),
    ],
)
def test_wrong_inputs_name_the_input_and_leave_the_session_usable(change: dict[str, Any], message: str) -> None:
    inputs = random_inputs()
    wrong = {name: value for name, value in {**inputs, **change}.items() if value is not None}
    with Session(adder(), device="golden") as session:
        with pytest.raises(InputError, match=message):
            session.run(wrong)
        np.testing.assert_array_equal(session.run(inputs)["sum"], expected_sum(inputs["a"], inputs["b"]))


def test_repeated_runs_are_identical_and_own_their_answers() -> None:
    first, second = random_inputs(seed=1), random_inputs(seed=2)
    with Session(adder(), device="golden") as session:
        kept = session.run(first)["sum"]
        copy = kept.copy()
        session.run(second)
        np.testing.assert_array_equal(kept, copy)
        kept[...] = 0
        np.testing.assert_array_equal(session.run(first)["sum"], copy)


def test_repeated_runs_leak_nothing() -> None:
    inputs = random_inputs()
    growth = []
    with Session(adder(), device="golden") as session:
        tracemalloc.start()
        for _ in range(5):
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(60):
                session.run(inputs)
            gc.collect()
            growth.append(tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.stop()
    # Caches fill up in some of the stretches; a leak shows in each: 60 kept answers would be 18,000 bytes.
    assert min(growth) < 9_000


def test_an_output_that_is_an_input_is_a_copy() -> None:
    signature = TensorSignature("x", "int8", ("batch", 2))
    executable = replace(adder(), regions=(), host_graphs=(), steps=(), inputs=(signature,), outputs=(signature,))
    x = np.ones((3, 2), np.int8)
    with Session(executable, device="golden") as session:
        outputs = session.run({"x": x})
    assert not np.shares_memory(outputs["x"], x)
    np.testing.assert_array_equal(outputs["x"], x)


def test_closed_sessions_say_so() -> None:
    session = Session(adder(), device="golden")
    with pytest.raises(SessionError, match="call run first"):
        _ = session.profile
    session.run(random_inputs())
    session.close()
    session.close()
    assert session.profile.samples == 1
    with pytest.raises(SessionError, match="closed"):
        session.run(random_inputs())
    with pytest.raises(SessionError, match="closed"), session:
        pass


def broken(executable: Executable, position: int, instruction: bytes) -> Executable:
    region = executable.regions[0]
    data = region.instructions[: position * 128] + instruction + region.instructions[(position + 1) * 128 :]
    return replace(executable, regions=(replace(region, instructions=data),))


def test_a_fault_names_region_instruction_and_node() -> None:
    outside = Load(register=0, offset=1 << 30, wait=1 << Unit.STORE, signal=1 << Unit.VPU).encode()
    with Session(broken(adder(), 5, outside), device="golden") as session:
        with pytest.raises(DeviceFault, match=r"'region_0', instruction 5 \(node 'Bias:1'\): dram_range"):
            session.run(random_inputs())
        with pytest.raises(SessionError, match="call run first"):
            _ = session.profile
    with (
        Session(broken(adder(), 8, b"\xff" * 128), device="golden") as session,
        pytest.raises(DeviceFault, match="instruction 8: illegal_opcode"),
    ):
        session.run(random_inputs())


def test_host_graphs_that_onnx_runtime_refuses() -> None:
    good = adder()
    model = onnx.ModelProto.FromString(good.host_graphs[0].model)
    model.graph.node[0].op_type = "NoSuchOperator"
    graph = replace(good.host_graphs[0], model=model.SerializeToString())
    with pytest.raises(HostError, match="host graph 'tail': ONNX Runtime cannot load it") as caught:
        Session(replace(good, host_graphs=(graph,)), device="golden")
    assert "\n" not in str(caught.value)


def test_a_region_refuses_what_a_host_graph_made_wrong() -> None:
    good = adder()
    inputs = (replace(good.inputs[0], shape=("batch", "c", 5, 4)), good.inputs[1])
    arrays = random_inputs()
    arrays["a"] = np.zeros((1, 4, 5, 4), np.int8)
    with (
        Session(replace(good, inputs=inputs), device="golden") as session,
        pytest.raises(SessionError, match=r"'region_0' takes 'a' as int8 \[1, 3, 5, 4\].* \[1, 4, 5, 4\]"),
    ):
        session.run(arrays)


def test_inconsistent_executables_and_missing_files_do_not_open(tmp_path: Path) -> None:
    with pytest.raises(ExecutableError):
        Session(replace(adder(), steps=()), device="golden")
    with pytest.raises(ArtifactError):
        Session(tmp_path / "missing.weft")


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceUnavailableError, match="unknown device 'fpga'; known devices: sim, golden, rtl"):
        Session(adder(), device="fpga")
    with Session(adder(), device=lambda processor, *rest: TimedDevice(machine_of(processor), *rest)) as session:
        session.run(random_inputs())
        assert session.profile.device == "timed"
    monkeypatch.setitem(devices._factories, "timed", TimedDevice)
    assert "timed" in devices.device_names()
    with Session(adder(), device="timed") as session:
        session.run(random_inputs())
        assert session.profile.device == "timed"


def test_device_memory_is_bounded_and_ends_with_close() -> None:
    device = devices.open_device("golden", machine("weft-8"), 4096)
    device.write(4090, b"abcdef")
    assert device.read(4090, 6).tobytes() == b"abcdef"
    assert device.read(4096, 0).size == 0
    for address, size in ((4091, 6), (-1, 1), (0, 4097), (0, -1)):
        with pytest.raises(DeviceError, match="outside its memory of 4096 bytes"):
            device.read(address, size)
    with pytest.raises(DeviceError, match="outside"):
        device.write(4095, np.zeros(2, np.uint8))
    device.close()
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.read(0, 1)
    with pytest.raises(DeviceError, match="closed"):
        device.launch(0, 0, ())
