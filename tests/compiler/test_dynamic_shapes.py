"""Symbolic extents: several variants, compilation on first use, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import weft
from weft.api.shapes import combinations
from weft.cli import main
from weft.errors import ArtifactError, ExecutableError, InputError, ModelError
from weft.frontend import integerize, load, normalize, rebind, reference_session
from weft_runtime import artifact
from weft_runtime.variants import MAX_VARIANTS, Variants

FLOAT = TensorProto.FLOAT


def flattening(path: Path) -> Path:
    """x [N, 4, H, W] → Conv → Relu → Reshape to [N, H·W, 8] by its own shape → MatMul: extents become constants."""
    random = np.random.default_rng(0)
    constants = {
        "w": random.normal(0, 0.3, (8, 4, 3, 3)).astype(np.float32),
        "m": random.normal(0, 0.3, (8, 5)).astype(np.float32),
        "first": np.array([0], np.int64),
        "rest": np.array([8, -1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["r", "to"], ["f"]),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flattening",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 4, "H", "W"])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", "L", 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, path)
    return path


def samples(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    path = flattening(tmp_path_factory.mktemp("dynamic") / "flattening.onnx")
    return weft.quantize(load(path), {"x": samples(6, 4, 6, 7)}, shapes={"H": 6, "W": 7})


def reference(model, **extents):
    return reference_session(integerize(normalize(rebind(model, extents))))


def parts(proto):
    """Everything in a model, whatever the order in which it is listed."""
    graph = proto.graph
    lists = (graph.node, graph.initializer, graph.value_info, graph.input, graph.output)
    return [sorted(entry.SerializeToString(deterministic=True) for entry in entries) for entries in lists]


def scales(model):
    return {
        tensor.name: numpy_helper.to_array(tensor).tobytes()
        for tensor in model.proto.graph.initializer
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)
    }


def test_a_quantized_model_is_bound_anew_with_the_same_scales_and_weights(quantized):
    other = rebind(quantized, {"N": 3, "H": 5})
    assert scales(other) == scales(quantized)
    assert [value.shape for value in (*other.inputs, *other.outputs)] == [(3, 4, 5, 7), (3, 35, 5)]
    assert dict(other.extents) == {"N": 3, "H": 5, "W": 7} and rebind(other, {}) is other
    back = rebind(other, {"N": 1, "H": 6})
    assert parts(back.proto) == parts(quantized.proto)
    x = samples(3, 4, 6, 7)
    together = reference(quantized, N=3).run(None, {"x": x})[0]
    apart = [reference(quantized).run(None, {"x": each[None]})[0] for each in x]
    np.testing.assert_array_equal(together, np.concatenate(apart))


@pytest.mark.parametrize("extents", [{"Q": 2}, {"N": -1}])
def test_unknown_and_impossible_extents_are_refused_by_name(quantized, extents):
    with pytest.raises(ModelError, match=next(iter(extents))):
        weft.compile(quantized, shapes=extents)


def test_a_model_whose_nodes_depend_on_the_extent_must_be_quantized_for_it():
    """An LSTM over T steps has other nodes for another T."""
    random = np.random.default_rng(3)
    constants = {name: random.normal(0, 0.5, (1, 16, 4)).astype(np.float32) for name in "WR"}
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "W", "R"], ["", "y"], hidden_size=4)],
        "steps",
        [helper.make_tensor_value_info("x", FLOAT, ["T", 1, 4])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 1, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    quantized = weft.quantize(model, {"x": samples(3, 1, 4)}, shapes={"T": 3})
    with pytest.raises(ModelError, match="T=5: quantize it"):
        weft.compile(quantized, shapes={"T": 5})


def test_each_combination_is_a_variant_and_the_inputs_choose(quantized, tmp_path):
    program = weft.compile(quantized, shapes={"N": (1, 4), "H": [6, 5]})
    assert [dict(each.extents) for each in program.variants] == [
        {"N": n, "H": h, "W": 7} for n in (1, 4) for h in (6, 5)
    ]
    program.save(tmp_path / "model.weft")
    assert artifact.load_variants(tmp_path / "model.weft") == program.variants
    assert artifact.load(tmp_path / "model.weft") == program.executable
    with weft.Session(tmp_path / "model.weft", device="golden") as session:
        for count, height, batch in ((1, 6, 1), (4, 5, 4), (3, 5, 1), (8, 6, 4)):
            x = samples(count, 4, height, 7)
            answer = session.run({"x": x})["y"]
            assert dict(session.executable.extents) == {"N": batch, "H": height, "W": 7}
            assert session.profile.samples == count // batch
            np.testing.assert_array_equal(answer, reference(quantized, N=count, H=height).run(None, {"x": x})[0])
        with pytest.raises(InputError, match=r"'x': its extent 'H' \(axis 2\) is 9.*N=4, W=7"):
            session.run({"x": samples(1, 4, 9, 7)})


def test_one_program_refuses_other_extents_by_name(quantized):
    with weft.Session(weft.compile(quantized, shapes={"N": 2}), device="golden") as session:
        with pytest.raises(InputError, match=r"'x': its extent 'W' \(axis 3\) is 8, but 7 is expected"):
            session.run({"x": samples(2, 4, 6, 8)})
        with pytest.raises(InputError, match=r"'N' \(axis 0\) is 3, but 2 or a multiple"):
            session.run({"x": samples(3, 4, 6, 7)})


def test_compiled_on_first_use_and_kept(quantized, tmp_path):
    program = weft.DynamicProgram(quantized, shapes={"N": 2})
    assert program.compilations == 1
    with weft.Session(program, device="golden") as session:
        for count, height, compilations in ((2, 6, 1), (3, 6, 2), (3, 8, 3), (2, 6, 3), (3, 8, 3)):
            x = samples(count, 4, height, 7, seed=count)
            answer = session.run({"x": x})["y"]
            assert program.compilations == compilations and session.profile.samples == 1
            np.testing.assert_array_equal(answer, reference(quantized, N=count, H=height).run(None, {"x": x})[0])
    program.save(tmp_path / "used.weft")
    kept = {each.extents for each in artifact.load_variants(tmp_path / "used.weft")}
    assert kept == {each.extents for each in program.variants} and len(kept) == 3


def test_nothing_is_compiled_before_the_first_use(quantized, tmp_path):
    program = weft.DynamicProgram(quantized)
    with pytest.raises(ArtifactError, match="nothing is compiled"):
        program.save(tmp_path / "empty.weft")
    with weft.Session(program, device="golden") as session:
        assert program.compilations == 0
        session.run({"x": samples(1, 4, 3, 3)})
        assert program.compilations == 1
        with pytest.raises(InputError, match="'H'"):
            session.run({"x": samples(1, 4, 0, 3)})
        with pytest.raises(InputError, match="'x'"):
            session.run({"x": samples(1, 3, 3, 3)})
    assert program.compilations == 1


def test_inputs_that_contradict_each_other_are_refused():
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    inputs = [helper.make_tensor_value_info(name, FLOAT, ["N", "K"]) for name in "ab"]
    graph = helper.make_graph(nodes, "two", inputs, [helper.make_tensor_value_info("y", FLOAT, ["N", "K"])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    program = weft.DynamicProgram(weft.quantize(proto, {name: samples(2, 3) for name in "ab"}, shapes={"K": 3}))
    with weft.Session(program, device="golden") as session, pytest.raises(InputError, match=r"'b'.*'K'.*4.*3 in.*'a'"):
        session.run({"a": samples(2, 3), "b": samples(2, 4)})


def test_more_variants_than_devices_held_at_a_time(quantized):
    with weft.Session(weft.DynamicProgram(quantized), device="golden") as session:
        for count in (*range(1, 11), 1):
            assert session.run({"x": samples(count, 4, 2, 2)})["y"].shape == (count, 4, 5)
            assert len(session._placed) <= 8


def test_combinations_are_bounded_and_in_order():
    assert combinations({}) == [{}]
    assert combinations({"a": (2, 1, 2), "b": 3}) == [{"a": 2, "b": 3}, {"a": 1, "b": 3}]
    assert len(combinations({"a": tuple(range(1, MAX_VARIANTS + 1))})) == MAX_VARIANTS
    with pytest.raises(ModelError, match=str(MAX_VARIANTS + 1)):
        combinations({"a": tuple(range(1, MAX_VARIANTS + 2))})
    with pytest.raises(ModelError, match="'a'"):
        combinations({"a": ()})


def test_variants_must_belong_together(quantized):
    first = weft.compile(quantized).executable
    other = weft.compile(quantized, "weft-8", shapes={"N": 2}).executable
    for variants in ((first, first), (first, other), ()):
        with pytest.raises(ExecutableError):
            Variants(variants)


def test_command_line_compiles_several_and_picks_by_input(tmp_path, capsys):
    model, out, given = flattening(tmp_path / "m.onnx"), tmp_path / "m.weft", tmp_path / "x.npz"
    assert main(["compile", str(model), "-o", str(out)]) == 1
    assert "'H'" in capsys.readouterr().err
    assert main(["compile", str(model), "-o", str(out), "--shape", "H=4,5", "--shape", "W=3", "--json"]) == 0
    assert '"extents": {"H": 5, "N": 1, "W": 3}' in capsys.readouterr().out
    np.savez(given, x=samples(2, 4, 5, 3))
    answers = tmp_path / "y.npz"
    assert main(["run", str(out), "--input", str(given), "-o", str(answers), "--device", "golden"]) == 0
    assert np.load(answers)["y"].shape == (2, 15, 5)
    assert main(["run", str(out), "--shape", "H=5", "--device", "golden", "-o", str(answers)]) == 0
    assert np.load(answers)["y"].shape == (1, 15, 5)
    # A model takes the extents behind its leading axes from the inputs.
    assert main(["verify", str(model), "--input", str(given), "--device", "golden"]) == 0
    assert main(["explain", str(out), "--shape", "H=9"]) == 1
    assert "H=9" in capsys.readouterr().err
    assert main(["run", str(model), "--shape", "H=4,5"]) == 2
