"""A transformer encoder layer, from float to the accelerator: quantized by Weft, one region, ONNX Runtime's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import weft
from weft.api import verify
from weft.compiler import compile as compile_model
from weft.frontend import Model, default_session, integerize, normalize, reference_session
from weft_runtime.executable import Executable
from weft_runtime.session import Session


@dataclass(frozen=True)
class Size:
    """Batch, positions, heads, channels of each head, and the width of the feed-forward part."""

    batch: int
    positions: int
    heads: int
    depth: int
    width: int

    @property
    def channels(self) -> int:
        return self.heads * self.depth


class Encoder:
    """One encoder layer as exporters write it: heads by Reshape and Transpose, GELU through Erf."""

    def __init__(self, size: Size, seed: int) -> None:
        self.size = size
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{len(self.nodes)}", **attributes))
        return out

    def normal(self, shape: tuple[int, ...], mean: float, deviation: float) -> str:
        return self.constant(self.random.normal(mean, deviation, shape).astype(np.float32))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        product = self.node("MatMul", [x, self.normal((inputs, outputs), 0, inputs**-0.5)])
        return self.node("Add", [product, self.normal((outputs,), 0, 0.1)])

    def heads(self, x: str, axes: list[int]) -> str:
        size = self.size
        shape = self.constant(np.array([size.batch, size.positions, size.heads, size.depth], np.int64))
        projected = self.linear(x, size.channels, size.channels)
        return self.node("Transpose", [self.node("Reshape", [projected, shape])], perm=axes)

    def attention(self, x: str) -> str:
        size = self.size
        query, key, value = (self.heads(x, axes) for axes in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        root = self.constant(np.float32(size.depth**0.5))
        scores = self.masked(self.node("Div", [self.node("MatMul", [query, key]), root]))
        mixed = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), value])
        shape = self.constant(np.array([size.batch, size.positions, size.channels], np.int64))
        joined = self.node("Reshape", [self.node("Transpose", [mixed], perm=[0, 2, 1, 3]), shape])
        return self.linear(joined, size.channels, size.channels)

    def masked(self, scores: str) -> str:
        return scores

    def gelu(self, x: str) -> str:
        curve = self.node("Erf", [self.node("Div", [x, self.constant(np.float32(2**0.5))])])
        raised = self.node("Add", [curve, self.constant(np.float32(1))])
        return self.node("Mul", [self.node("Mul", [x, raised]), self.constant(np.float32(0.5))])

    def normalized(self, x: str) -> str:
        scale, bias = (self.normal((self.size.channels,), mean, 0.1) for mean in (1, 0))
        return self.node("LayerNormalization", [x, scale, bias], axis=-1)

    def model(self) -> onnx.ModelProto:
        size = self.size
        x = self.normalized(self.node("Add", [self.attention("x"), "x"]))
        forward = self.linear(self.gelu(self.linear(x, size.channels, size.width)), size.width, size.channels)
        y = self.normalized(self.node("Add", [forward, x]))
        shape = [size.batch, size.positions, size.channels]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", y)]
        graph = helper.make_graph(self.nodes, "encoder", values[:1], values[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class OldEncoder(Encoder):
    """Operator set 13: layer normalization as the nine nodes that exporters wrote before there was an operator."""

    def normalized(self, x: str) -> str:
        scale, bias = (self.normal((self.size.channels,), mean, 0.1) for mean in (1, 0))
        deviation = self.node("Sub", [x, self.node("ReduceMean", [x], axes=[-1])])
        square = self.node("Pow", [deviation, self.constant(np.float32(2))])
        variance = self.node("Add", [self.node("ReduceMean", [square], axes=[-1]), self.constant(np.float32(1e-5))])
        normal = self.node("Div", [deviation, self.node("Sqrt", [variance])])
        return self.node("Add", [self.node("Mul", [normal, scale]), bias])

    def model(self) -> onnx.ModelProto:
        model = super().model()
        model.opset_import[0].version = 13
        return model


class CausalEncoder(Encoder):
    """No position sees a later one: a constant is added to the scores."""

    lowest = -np.inf

    def masked(self, scores: str) -> str:
        later = np.triu(np.full((self.size.positions,) * 2, self.lowest, np.float32), 1)
        return self.node("Add", [scores, self.constant(later[None, None])])


class PaddedEncoder(Encoder):
    """Samples of different lengths, as BERT is exported: (1 - mask) * -10000, broadcast over heads and rows."""

    def masked(self, scores: str) -> str:
        wide = self.node("Unsqueeze", ["mask", self.constant(np.asarray([1, 2]))])
        absent = self.node("Sub", [self.constant(np.float32(1)), wide])
        return self.node("Add", [scores, self.node("Mul", [absent, self.constant(np.float32(-10000))])])

    def model(self) -> onnx.ModelProto:
        proto = super().model()
        shape = [self.size.batch, self.size.positions]
        proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, shape))
        return proto


class SelectingEncoder(Encoder):
    """A constant condition selects the scores or minus infinity, as `masked_fill` is exported."""

    def masked(self, scores: str) -> str:
        seen = np.tril(np.ones((self.size.positions,) * 2, bool))[None, None]
        return self.node("Where", [self.constant(seen), scores, self.constant(np.float32(-np.inf))])


class PaddedSelectingEncoder(PaddedEncoder):
    """A condition that is computed from the mask of the samples."""

    def masked(self, scores: str) -> str:
        wide = self.node("Unsqueeze", ["mask", self.constant(np.asarray([1, 2]))])
        absent = self.node("Equal", [wide, self.constant(np.float32(0))])
        return self.node("Where", [absent, self.constant(np.float32(-10000)), scores])


def run(size: Size, target: str, device: str) -> tuple[Executable, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The executable, its answer, and the answer of the integer graph in ONNX Runtime without optimizations."""
    random = np.random.default_rng(7)
    shape = (size.positions, size.channels)
    samples = random.normal(0, 1, (4 * size.batch, *shape)).astype(np.float32)
    quantized = weft.quantize(Model(Encoder(size, 3).model()), calibration={"x": samples})
    executable = compile_model(quantized, target)
    feeds = {"x": samples[: size.batch]}
    (wanted,) = reference_session(integerize(normalize(quantized))).run(None, feeds)
    with Session(executable, device=device) as session:
        (answer,) = session.run(feeds).values()
    return executable, answer, wanted


@pytest.mark.parametrize(
    ("size", "target", "device"),
    [
        (Size(1, 16, 4, 16, 128), "weft-16", "golden"),
        (Size(2, 21, 3, 8, 50), "weft-8", "sim"),  # heads as deep as there are lanes: splitting them moves nothing
        (Size(1, 9, 3, 20, 33), "weft-16", "sim"),  # heads of 20 channels: splitting them moves data
        (Size(2, 40, 2, 32, 64), "weft-32", "sim"),
    ],
)
def test_encoder_layer_is_one_region(size: Size, target: str, device: str) -> None:
    executable, answer, wanted = run(size, target, device)
    assert len(executable.regions) == 1
    assert executable.offloaded_macs == executable.macs > 0
    computing = {node.op for node in executable.nodes if node.device == "host"}
    # Float input and output, and the last normalization, which only the user reads.
    assert computing <= {"QuantizeLinear", "DequantizeLinear", "LayerNormalization"}
    assert len(executable.inexact) == 2  # the softmax and the first normalization, each within one step
    assert np.mean(answer != wanted) < 0.01


def snr(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2)))


@pytest.mark.parametrize(
    ("kind", "lowest"),
    [
        (CausalEncoder, -np.inf),
        (CausalEncoder, -1e9),
        (CausalEncoder, -10000.0),
        (PaddedEncoder, -10000.0),
        (SelectingEncoder, 0.0),
        (PaddedSelectingEncoder, 0.0),
    ],
)
def test_masked_attention_is_one_region_and_keeps_its_accuracy(kind: type[Encoder], lowest: float) -> None:
    size = Size(1, 24, 3, 16, 64)
    encoder = kind(size, 3)
    if isinstance(encoder, CausalEncoder):
        encoder.lowest = lowest
    source = Model(encoder.model())
    random = np.random.default_rng(7)
    samples = {"x": random.normal(0, 1, (6, size.positions, size.channels)).astype(np.float32)}
    if issubclass(kind, PaddedEncoder):
        samples["mask"] = (np.arange(24) < np.array([24, 20, 24, 9, 16, 13])[:, None]).astype(np.float32)
    quantized = weft.quantize(source, calibration={name: each[:4] for name, each in samples.items()})
    feeds = {name: each[5:] for name, each in samples.items()}
    expected, plain = (default_session(source).run(None, feeds)[0], default_session(Model(Encoder(size, 3).model())))
    assert snr(expected, plain.run(None, {"x": feeds["x"]})[0]) < 15  # the mask matters
    answer = verify(quantized, feeds, host="cortex-a53")
    assert answer.unexplained == 0
    executable = compile_model(quantized)
    assert len(executable.regions) == 1 and executable.offloaded_macs == executable.macs > 0
    with Session(executable, device="sim") as session:
        (found,) = session.run(feeds).values()
    assert snr(expected, found) > 25


def test_base_size_layer_keeps_the_array_busy() -> None:
    """128 positions of BERT base: four fifths of the peak, and ONNX Runtime's answer."""
    size = Size(1, 128, 12, 64, 3072)
    executable, answer, wanted = run(size, "weft-16", "sim")
    (region,) = executable.regions
    assert executable.macs / (region.estimated_cycles * executable.processors[0].macs_per_cycle) > 0.8
    assert np.mean(answer != wanted) < 0.01


def test_decomposed_normalization_is_quantized_as_one() -> None:
    """The same weights in both spellings give the same quantized model, up to the names."""
    size = Size(1, 11, 2, 8, 24)
    samples = np.random.default_rng(1).normal(0, 1, (4, size.positions, size.channels)).astype(np.float32)
    answers, kinds = [], []
    for encoder in (Encoder(size, 5), OldEncoder(size, 5)):
        quantized = weft.quantize(Model(encoder.model()), calibration={"x": samples})
        kinds.append(sorted(node.op_type for node in quantized.proto.graph.node))
        (answer,) = reference_session(integerize(normalize(quantized))).run(None, {"x": samples[:1]})
        answers.append(answer)
    assert kinds[0] == kinds[1] and "LayerNormalization" in kinds[0]
    np.testing.assert_array_equal(answers[0], answers[1])


def test_excluded_normalization_stays_decomposed() -> None:
    size = Size(1, 5, 1, 8, 8)
    model = OldEncoder(size, 6).model()
    square = next(node.name for node in model.graph.node if node.op_type == "Pow")
    samples = np.random.default_rng(1).normal(0, 1, (4, size.positions, size.channels)).astype(np.float32)
    quantized = weft.quantize(Model(model), calibration={"x": samples}, exclude=[square])
    kinds = [node.op_type for node in quantized.proto.graph.node]
    assert kinds.count("LayerNormalization") == 1 and kinds.count("Pow") == 1


def test_verify_explains_every_difference_by_the_inexact_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ONNX Runtime given the inexact operators' own results, all else agrees; a fault elsewhere does not hide."""
    size = Size(1, 64, 8, 32, 256)
    samples = np.random.default_rng(7).normal(0, 1, (8, size.positions, size.channels)).astype(np.float32)
    # On these samples, one value of this quantized model is rounded otherwise.
    options = weft.QuantizeOptions(correct_bias=False)
    model = weft.quantize(Model(Encoder(size, 3).model()), {"x": samples}, options)
    report = verify(model, {"x": samples}, target="weft-16")
    assert report.mismatches > 0 and report.unexplained == 0 and report.verified and not report.exact
    assert len(report.inexact) == 2
    (cause,) = (each for each in report.inexact if each.mismatches)
    assert cause.name.startswith("LayerNorm") and cause.mismatches < report.mismatches and cause.max_abs_diff_lsb == 1

    run = Session.run

    def faulty(session: Session, *arguments: Any) -> Any:
        outputs = run(session, *arguments)
        outputs[next(iter(outputs))].flat[5] += 1
        return outputs

    monkeypatch.setattr(Session, "run", faulty)
    report = verify(model, {"x": samples}, target="weft-16")
    assert report.unexplained == len(samples) and not report.verified
