"""Real models on real inputs: every bit as ONNX Runtime; golden model and simulator leave the same memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.api import PrepareOptions, prepare
from weft.compiler import compile as compile_model
from weft.frontend import default_session, integerize, load, normalize, reference_session
from weft_runtime.executable import Executable
from weft_runtime.npu import machine_of
from weft_runtime.session import Session
from weft_sim.isa.program import decode_program
from weft_sim.races import check

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model, what feeds it, and labels where the inputs have some."""

    path: str
    inputs: Callable[[Path], Inputs]
    labels: Callable[[Path], np.ndarray] | None = None


def raw(folder: str, name: str, shape: tuple[int, ...], *, offset: float | None = None) -> Callable[[Path], Inputs]:
    """All files of a folder, int8, one sample each (or a leading axis of samples in each file)."""

    def read(inputs: Path) -> Inputs:
        files = sorted((inputs / folder).glob("*.dat"))
        data = np.concatenate([np.fromfile(file, np.int8).reshape(-1, *shape) for file in files])
        return {name: data if offset is None else data.astype(np.float32) + np.float32(offset)}

    return read


CIFAR = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar_labels(inputs: Path) -> np.ndarray:
    names = [file.stem.removeprefix("quant_") for file in sorted((inputs / "cfu_imgc").glob("*.dat"))]
    return np.array([CIFAR.index(name) for name in names])


def kws_labels(inputs: Path) -> np.ndarray:
    return np.array([int(file.stem.rsplit("_", 1)[1]) for file in sorted((inputs / "cfu_kws").glob("*.dat"))])


def digits(count: int) -> Callable[[Path], Inputs]:
    return lambda inputs: {"Input3": np.load(inputs / "mnist_1000.npz")["x"][:count, None].astype(np.float32)}


def digit_labels(count: int) -> Callable[[Path], np.ndarray]:
    return lambda inputs: np.load(inputs / "mnist_1000.npz")["y"][:count]


def photographs(name: str, size: int) -> Callable[[Path], Inputs]:
    """Seeded noise of the images' form: there are no lossless photographs of that size at hand."""
    return lambda inputs: {name: np.random.default_rng(5).integers(0, 256, (2, size, size, 3)).astype(np.uint8)}


def noise(name: str, shape: tuple[int, ...]) -> Callable[[Path], Inputs]:
    return lambda inputs: {name: np.random.default_rng(6).normal(0, 1, shape).astype(np.float32)}


MOBILENET = "coral_mobilenet_v1_025_128/mobilenet_v1_0.25_128_quant.tf2onnx.onnx"
CASES = {
    "resnet8_int8": Case(
        "mlperf_resnet8/pretrainedResnet_quant.tf2onnx.onnx", raw("cfu_imgc", "input_1_int8", (32, 32, 3)), cifar_labels
    ),
    "resnet8_float": Case(
        "mlperf_resnet8/pretrainedResnet.tf2onnx.onnx",
        raw("cfu_imgc", "input_1", (32, 32, 3), offset=128),
        cifar_labels,
    ),
    "kws_int8": Case("mlperf_kws/kws_ref_model.tf2onnx.onnx", raw("cfu_kws", "input_1", (49, 10, 1)), kws_labels),
    "vww_int8": Case("mlperf_vww/vww_96_int8.tf2onnx.onnx", raw("cfu_vww", "input_1_int8", (96, 96, 3))),
    "ad_int8": Case("mlperf_ad/ad01_int8.tf2onnx.onnx", raw("cfu_anomd", "input_1", (640,))),
    "mobilenet_qdq": Case(MOBILENET, photographs("input", 128)),
    "mnist_float": Case("mnist_cntk/mnist.onnx", digits(100), digit_labels(100)),
    "resnet20_float": Case("cifar_resnet/resnet20.onnx", noise("input", (3, 3, 32, 32))),
}
MATMULS = {"Conv", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul"}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_bits_agree_and_every_product_is_offloaded(case: Case, shared_models: Path, shared_inputs: Path) -> None:
    inputs = case.inputs(shared_inputs)
    prepared = prepare(shared_models / case.path, PrepareOptions(inputs=inputs))
    report = weft.verify(prepared.model, inputs, device="sim")
    assert report.elements > 0 and report.mismatches == 0
    executable = compile_model(prepared.model)
    assert {node.op for node in executable.nodes if node.op in MATMULS and node.device == "host"} == set()
    assert executable.offloaded_macs == executable.macs > 0
    assert executable.inexact == ()
    assert_no_races(executable)
    assert_same_memory(executable, {name: array[:1] for name, array in inputs.items()})


def assert_no_races(executable: Executable) -> None:
    for region in executable.regions:
        size = (len(region.constants), region.workspace_bytes, region.io_bytes)
        starts = np.cumsum([0, *(-(-each // 4096) * 4096 for each in size)])
        machine, program = machine_of(executable.processors[0]), decode_program(region.instructions)
        assert check(machine, program, [int(start) for start in starts[:3]], int(starts[3])) == []


def assert_same_memory(executable: Executable, inputs: Inputs) -> None:
    memories = []
    for name in ("golden", "sim"):
        with Session(executable, device=name) as session:
            session.run(inputs)
            device = session._devices[0]
            assert device is not None
            memories.append(device.read(0, session.memory.dram_bytes))
    np.testing.assert_array_equal(*memories)


@pytest.mark.parametrize("name", [name for name, each in CASES.items() if each.labels is not None])
def test_top_1_equals_onnx_runtime(name: str, shared_models: Path, shared_inputs: Path) -> None:
    """As many right as ONNX Runtime on the quantized model, and float models lose at most half a point."""
    case = CASES[name]
    assert case.labels is not None
    inputs, labels = case.inputs(shared_inputs), case.labels(shared_inputs)
    original = load(shared_models / case.path)
    prepared = prepare(shared_models / case.path, PrepareOptions(inputs=inputs))
    with Session(compile_model(prepared.model), device="sim") as session:
        (answers,) = session.run(inputs).values()
    reference = reference_session(integerize(normalize(prepared.model)))
    wanted = np.concatenate(
        [reference.run(None, {k: v[i : i + 1] for k, v in inputs.items()})[0] for i in range(len(labels))]
    )
    np.testing.assert_array_equal(answers.argmax(axis=1), wanted.argmax(axis=1))
    right = float((answers.argmax(axis=1) == labels).mean())
    if original.is_quantized:
        assert right >= 0.9
        return
    session_float = default_session(original)
    floats = np.concatenate(
        [session_float.run(None, {k: v[i : i + 1] for k, v in inputs.items()})[0] for i in range(len(labels))]
    )
    assert right >= float((floats.argmax(axis=1) == labels).mean()) - 0.005
