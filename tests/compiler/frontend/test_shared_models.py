"""Real models through the whole front end."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from weft.frontend import default_session, integerize, load, normalize, reference_session
from weft.frontend.origins import origins
from weft.quantize import QuantizeOptions, quantize, random_calibration

QUANTIZED = {
    "mlperf_resnet8/pretrainedResnet_quant.tf2onnx.onnx": 10,
    "mlperf_kws/kws_ref_model.tf2onnx.onnx": 10,
    "mlperf_ad/ad01_int8.tf2onnx.onnx": 10,
    "mlperf_vww/vww_96_int8.tf2onnx.onnx": 28,
    "coral_mobilenet_v1_025_128/mobilenet_v1_0.25_128_quant.tf2onnx.onnx": 28,
}
FLOAT = {
    "cifar_resnet/resnet20.onnx": 20,
    "dtln/model_2.onnx": 7,
    "fastestdet/FastestDet.onnx": 70,
    "onnx_light/light_shufflenet.onnx": 50,
    "ultraface/version-RFB-320.onnx": 52,
}
MACS = ("Conv", "MatMul", "Gemm")
INTEGER = ("QLinearConv", "QLinearMatMul")


@pytest.mark.parametrize("name", QUANTIZED)
def test_every_integer_operator_equals_the_formula(name, shared_model, mismatches):
    qdq = normalize(load(shared_model(name)))
    model = integerize(qdq)
    counts = Counter(node.op_type for node in model.proto.graph.node)
    assert sum(counts[kind] for kind in INTEGER) == QUANTIZED[name]
    assert not any(counts[kind] for kind in MACS)
    wrong, total = mismatches(model, random_calibration(model, seed=3, samples=1))
    assert total > 1000
    assert wrong == 0


@pytest.mark.parametrize("name", QUANTIZED)
def test_integer_graph_keeps_names_and_knows_its_origins(name, shared_model):
    qdq = normalize(load(shared_model(name)))
    model = integerize(qdq)
    assert model.inputs == qdq.inputs
    assert model.outputs == qdq.outputs
    names = [node.name for node in model.proto.graph.node]
    assert len(set(names)) == len(names)
    originals = {node.name for node in qdq.proto.graph.node}
    kinds = {node.name: node.op_type for node in qdq.proto.graph.node}
    covered = {origin for node in model.proto.graph.node for origin in origins(node)}
    assert covered == originals
    for node in model.proto.graph.node:
        if node.op_type in INTEGER:
            assert kinds[node.name] in MACS
            assert origins(node)[0] == node.name
    quantized = {node.output[0] for node in qdq.proto.graph.node if node.op_type == "QuantizeLinear"}
    assert quantized <= {output for node in model.proto.graph.node for output in node.output}


@pytest.mark.parametrize("name", FLOAT)
def test_float_models_quantize_completely_and_still_answer(name, shared_model):
    source = load(shared_model(name))
    calibration = random_calibration(source, seed=1, samples=1)
    assert list(calibration) == [value.name for value in source.inputs]
    model = integerize(quantize(source, calibration))
    counts = Counter(node.op_type for node in model.proto.graph.node)
    assert sum(counts[kind] for kind in INTEGER) == FLOAT[name]
    assert not any(counts[kind] for kind in MACS)
    expected = reference_session(normalize(source)).run(None, calibration)
    got = reference_session(model).run(None, calibration)
    for wanted, answer in zip(expected, got, strict=True):
        assert answer.shape == wanted.shape
        assert np.linalg.norm(answer - wanted) <= 0.25 * np.linalg.norm(wanted)


def _top1(session, images, labels):
    name = session.get_inputs()[0].name
    hits = [
        np.argmax(session.run(None, {name: image[None]})[0]) == label
        for image, label in zip(images, labels, strict=True)
    ]
    return 100.0 * np.mean(hits)


def _assert_accuracy_kept(path, images, labels, calibration, method, floor):
    source = normalize(load(path))
    name = source.inputs[0].name
    quantized = quantize(source, {name: calibration}, QuantizeOptions(method=method))
    before = _top1(reference_session(source), images, labels)
    assert before >= floor
    assert before - _top1(reference_session(integerize(quantized)), images, labels) <= 0.5
    assert before - _top1(default_session(quantized), images, labels) <= 0.5


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_mnist_keeps_its_accuracy(method, shared_model, shared_input):
    data = np.load(shared_input("mnist_1000.npz"))
    images = data["x"].astype(np.float32)[:, None]
    _assert_accuracy_kept(shared_model("mnist_cntk/mnist.onnx"), images, data["y"], images[:100], method, 98.0)


def test_hand_keypoint_keeps_its_accuracy(shared_model, shared_input):
    data = np.load(shared_input("hand_keypoint_1000.npz"))
    path = shared_model("hand_keypoint_mlp/keypoint_classifier.tf2onnx.onnx")
    _assert_accuracy_kept(path, data["x"], data["y"], data["x"][:100], "minmax", 96.0)


def test_resnet8_keeps_its_accuracy(shared_model, shared_input):
    classes = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    files = sorted(shared_input("cfu_imgc").glob("*.dat"))
    images = np.stack([np.fromfile(file, np.int8).reshape(32, 32, 3).astype(np.float32) + 128 for file in files])
    labels = [classes.index(file.stem.removeprefix("quant_")) for file in files]
    path = shared_model("mlperf_resnet8/pretrainedResnet.tf2onnx.onnx")
    _assert_accuracy_kept(path, images, labels, images, "minmax", 100.0)


def test_resnet8_int8_answers_right(shared_model, shared_input):
    classes = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    model = integerize(normalize(load(shared_model("mlperf_resnet8/pretrainedResnet_quant.tf2onnx.onnx"))))
    session = reference_session(model)
    for file in sorted(shared_input("cfu_imgc").glob("*.dat")):
        image = np.fromfile(file, np.int8).reshape(1, 32, 32, 3)
        answer = session.run(None, {"input_1_int8": image})[0]
        assert classes[int(np.argmax(answer))] == file.stem.removeprefix("quant_")


def test_models_with_free_extents_stay_dynamic_or_get_bound(shared_model):
    source = load(shared_model("super_resolution_prepost/super_resolution_core.onnx"))
    assert source.inputs[0].shape == (1, 1, "H", "W")
    assert normalize(source).inputs[0].shape == (1, 1, "H", "W")
    bound = normalize(source, {"H": 16, "W": 24})
    assert bound.outputs[0].shape == (1, 1, 48, 72)
