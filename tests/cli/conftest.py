"""Models, artifacts and a runner of the command line for its tests."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from weft.cli import main

SAMPLES = Path(__file__).parents[1] / "runtime" / "sample_program.py"

if "sample_program" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("sample_program", SAMPLES)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["sample_program"] = _module
    _spec.loader.exec_module(_module)


@dataclass(frozen=True)
class Answer:
    """What one call of the command line gave."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found = json.loads(lines[0])
        assert isinstance(found, dict)
        return found


Weft = Callable[..., Answer]


@pytest.fixture
def weft(capsys: pytest.CaptureFixture[str]) -> Weft:
    """Runs the command line in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return call


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """The hand-built adder of the runtime's tests as a file."""
    from sample_program import adder

    from weft_runtime.artifact import save

    save(adder(), tmp_path / "adder.weft")
    return tmp_path / "adder.weft"


def float_model(seed: int = 0) -> onnx.ModelProto:
    """x float32 [batch, 3, 6, 5] → Conv 3×3 to 4 channels → Relu → y."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((4, 3, 3, 3)).astype(np.float32) / 4
    bias = generator.standard_normal(4).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ],
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 6, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 6, 5])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def qdq_model(shift: int = 0) -> onnx.ModelProto:
    """x int8 [batch, 3, 6, 5] → DQ → Conv → Relu → Q → q int8 and DQ → y; the bias is raised by `shift`
    output steps."""
    generator = np.random.default_rng(7)
    scales = {"sx": 0.05, "sw": 0.02, "sb": 0.05 * 0.02, "sy": 0.1}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in scales.items()]
    constants += [
        numpy_helper.from_array(np.array(-3, np.int8), "zx"),
        numpy_helper.from_array(np.array(0, np.int8), "zw"),
        numpy_helper.from_array(np.array(0, np.int32), "zb"),
        numpy_helper.from_array(np.array(-128, np.int8), "zy"),
        numpy_helper.from_array(generator.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), "w"),
        numpy_helper.from_array((generator.integers(900, 1000, 4) + 100 * shift).astype(np.int32), "b"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["xf"], "dq_x"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wf"], "dq_w"),
        helper.make_node("DequantizeLinear", ["b", "sb", "zb"], ["bf"], "dq_b"),
        helper.make_node("Conv", ["xf", "wf", "bf"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("QuantizeLinear", ["r", "sy", "zy"], ["q"], "q_y"),
        helper.make_node("DequantizeLinear", ["q", "sy", "zy"], ["y"], "dq_y"),
    ]
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.INT8, ["batch", 3, 6, 5])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 6, 5]),
            helper.make_tensor_value_info("q", TensorProto.INT8, ["batch", 4, 6, 5]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def float_path(tmp_path: Path) -> Path:
    """A float model's file."""
    onnx.save(float_model(), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


@pytest.fixture
def qdq_path(tmp_path: Path) -> Path:
    """A quantized model's file."""
    onnx.save(qdq_model(), tmp_path / "qdq.onnx")
    return tmp_path / "qdq.onnx"


@pytest.fixture
def make_qdq() -> Callable[[int], onnx.ModelProto]:
    """The quantized model with another bias."""
    return qdq_model
