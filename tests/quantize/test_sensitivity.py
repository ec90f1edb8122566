"""The sensitivity report says what a layer costs, and skipping acts on it."""

from __future__ import annotations

import numpy as np
import pytest
from float_networks import classifier, model, normal, samples
from onnx import helper

from weft.frontend import integerize, load, normalize, reference_session
from weft.frontend.graph import Graph
from weft.quantize import QuantizeOptions, quantize, quantize_and_measure
from weft.quantize.probe import Probe
from weft.quantize.quantizer import calibrate, emit
from weft.quantize.sensitivity import skip_until

DATA = {"x": samples(6)}


def literal(each, sample):
    return reference_session(each).run(None, sample)


def assert_close(found, expected):
    """Equal but for float32 rounding: a hundred times less than one step of a quantized tensor is here."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("correct_bias", [False, True])
def test_the_probe_is_both_models_up_to_the_order_of_sums(correct_bias):
    calibrated = calibrate(load(classifier()), DATA, QuantizeOptions(correct_bias=correct_bias))
    emission = emit(calibrated)
    probe = Probe(Graph(calibrated.model), emission)
    every = [layer.name for layer in probe.layers]
    assert every == ["conv1", "conv2", "add", "sigmoid", "leaky", "conv3", "mean", "gemm", "softmax"]
    for sample in calibrated.samples[:2]:
        assert_close(probe.run(sample, ())[0]["y"], literal(calibrated.model, sample)[0])
        assert_close(probe.run(sample, every)[0]["y"], literal(emission.model, sample)[0])
        assert np.abs(literal(calibrated.model, sample)[0] - literal(emission.model, sample)[0]).max() > 1e-3


def test_one_layer_on_is_the_model_with_all_others_excluded():
    calibrated = calibrate(load(classifier()), DATA, QuantizeOptions())
    probe = Probe(Graph(calibrated.model), emit(calibrated))
    by_name = {layer.name: layer for layer in probe.layers}
    for name in ("conv1", "gemm", "softmax"):  # their inputs have no other readers
        others = [node for layer in probe.layers if layer.name != name for node in layer.nodes]
        alone = emit(calibrated, others).model
        sample = calibrated.samples[0]
        assert_close(probe.run(sample, (name,))[0]["y"], literal(alone, sample)[0])
    assert by_name["conv1"].nodes == ("relu1", "conv1") and by_name["conv1"].output == "r1"


def fragile():
    """A chain of convolutions; the middle one sees one channel a thousand times as large as the others, which
    the last one takes away again."""
    generator = np.random.default_rng(21)
    loud = np.ones((6, 1, 1, 1), np.float32)
    loud[2] = 1000.0
    quiet = np.ones((1, 6, 1, 1), np.float32)
    quiet[0, 2] = 0.0
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "robust1"),
        helper.make_node("Relu", ["a"], ["ar"], "relu1"),
        helper.make_node("Conv", ["ar", "w2"], ["b"], "loud"),
        helper.make_node("Conv", ["b", "w3"], ["c"], "deaf"),
        helper.make_node("Relu", ["c"], ["cr"], "relu3"),
        helper.make_node("Conv", ["cr", "w4"], ["y"], "robust2"),
    ]
    constants = {
        "w1": normal(generator, 6, 3, 1, 1),
        "w2": normal(generator, 6, 6, 1, 1) * loud,
        "w3": normal(generator, 6, 6, 1, 1) * quiet,
        "w4": normal(generator, 4, 6, 1, 1),
    }
    return model(nodes, {"x": [1, 3, 8, 10]}, ["y"], constants)


def test_the_report_points_at_what_hurts():
    found = quantize_and_measure(load(fragile()), DATA)
    report = found.report
    by_name = {layer.name: layer for layer in report.layers}
    assert [layer.name for layer in report.layers] == ["robust1", "loud", "deaf", "robust2"]
    assert max(by_name["loud"].output_snr, by_name["deaf"].output_snr) < 20
    assert min(by_name["robust1"].output_snr, by_name["robust2"].output_snr) > 30
    # At its own output the loud channel drowns the noise: only the model's outputs tell.
    assert by_name["loud"].layer_snr > 30
    assert report.quantized_snr == report.final_snr and report.samples == 6
    assert report.quantized_snr <= min(layer.output_snr for layer in report.layers) + 1
    assert not any(layer.kept_float for layer in report.layers)
    plain = quantize(load(fragile()), DATA)
    assert found.model.proto.SerializeToString(deterministic=True) == plain.proto.SerializeToString(deterministic=True)


def test_layers_that_hurt_stay_float_and_no_others():
    found = quantize_and_measure(load(fragile()), DATA, QuantizeOptions(minimum_snr=30.0))
    kept = [layer.name for layer in found.report.layers if layer.kept_float]
    assert kept == ["loud", "deaf"] and found.report.final_snr >= 30 > found.report.quantized_snr
    kinds = [node.op_type for node in integerize(found.model).proto.graph.node]
    assert kinds.count("Conv") == 2 and kinds.count("QLinearConv") == 2
    source = normalize(load(fragile()))
    signal = noise = 0.0
    for image in DATA["x"]:
        expected, answer = (literal(each, {"x": image[None]})[0] for each in (source, found.model))
        signal, noise = signal + float(np.sum(expected**2)), noise + float(np.sum((answer - expected) ** 2))
    assert 10 * np.log10(signal / noise) == pytest.approx(found.report.final_snr, abs=0.01)
    enough = quantize_and_measure(load(fragile()), DATA, QuantizeOptions(minimum_snr=-50.0)).report
    assert not any(layer.kept_float for layer in enough.layers)


def test_skipping_can_always_reach_the_wanted_ratio():
    found = quantize_and_measure(load(fragile()), DATA, QuantizeOptions(minimum_snr=150.0))
    assert all(layer.kept_float for layer in found.report.layers) and found.report.final_snr == 200.0


def test_skipping_quantizes_again_what_turns_out_harmless():
    worst_first = ["a", "b", "c", "d", "e"]
    asked = []

    def is_enough(quantized):
        asked.append(tuple(quantized))
        return not {"b", "d"} & set(quantized)

    assert skip_until(is_enough, worst_first) == {"b", "d"}
    assert len(asked) <= 3 + 4
    assert skip_until(lambda quantized: True, worst_first) == frozenset()
    assert skip_until(lambda quantized: not quantized, worst_first) == frozenset(worst_first)
