"""Comparison, scales, arrays in files, random inputs, targets from files."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from weft.api.arrays import first_samples, load_arrays, random_arrays, save_arrays
from weft.api.compare import compare, output_scale
from weft.api.targets import list_targets, resolve_machine
from weft.report import ReportError
from weft_runtime.errors import InputError
from weft_runtime.executable import TensorSignature
from weft_sim.errors import MachineError
from weft_sim.machine import PRESETS, machine

NAN, INFINITY = float("nan"), float("inf")
ULP = np.nextafter(np.float32(1), np.float32(2))


@pytest.mark.parametrize(
    ("dtype", "expected", "actual", "scale", "mismatches", "steps"),
    [
        ("int8", [-128, 0, 5], [127, 0, 5], None, 1, 255),
        ("uint8", [0, 3], [255, 3], 0.5, 1, 255),
        ("int64", [-(2**63)], [2**63 - 1], None, 1, float(2**64 - 1)),
        ("bool", [True, False], [False, False], None, 1, 1),
        ("float32", [1.0, 2.0], [1.0, 2.0], 0.25, 0, 0),
        ("float32", [1.0, 2.0], [1.5, 2.25], 0.25, 2, 2),
        ("float32", [1.0], [ULP], None, 1, 1),
        ("float32", [-1e-45], [1e-45], None, 1, 2),
        ("float32", [0.0], [-0.0], None, 1, 0),
        ("float32", [NAN, INFINITY], [NAN, INFINITY], 0.5, 0, 0),
        ("float32", [NAN], [1.0], None, 1, math.inf),
        ("float64", [INFINITY], [1.0], 0.5, 1, math.inf),
        ("float16", [], [], None, 0, 0),
        ("object", ["a", "b"], ["a", "c"], None, 1, 1),
    ],
)
def test_differences_in_steps(
    dtype: str,
    expected: list[object],
    actual: list[object],
    scale: float | None,
    mismatches: int,
    steps: float,
) -> None:
    found = compare(np.array(expected, dtype), np.array(actual, dtype), scale)
    assert (found.elements, found.mismatches) == (len(expected), mismatches)
    assert found.steps == pytest.approx(steps)


def test_arrays_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="int8"):
        compare(np.zeros(1, np.int8), np.zeros(1, np.uint8), None)
    with pytest.raises(ValueError, match=r"\[2\]"):
        compare(np.zeros(1, np.int8), np.zeros(2, np.int8), None)


def test_the_scale_of_an_output_is_found_behind_movement(make_qdq: Callable[..., onnx.ModelProto]) -> None:
    model = make_qdq()
    assert output_scale(model, "y") == pytest.approx(0.1)
    assert output_scale(model, "q") is None and output_scale(model, "c") is None
    model.graph.node.add().CopyFrom(helper.make_node("Transpose", ["y"], ["t"], perm=[0, 2, 3, 1]))
    assert output_scale(model, "t") == pytest.approx(0.1)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "sy")
    scale.CopyFrom(numpy_helper.from_array(np.array([0.4, 0.2], np.float32), "sy"))
    assert output_scale(model, "t") == pytest.approx(0.2)
    model.graph.initializer.remove(scale)
    assert output_scale(model, "t") is None


def test_arrays_of_any_name_survive_a_file(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "a/b:0": np.zeros((0, 2), np.int8), "self": np.array(["x"], object)}
    save_arrays(tmp_path / "arrays.npz", arrays)
    loaded = load_arrays(tmp_path / "arrays.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    with pytest.raises(ReportError, match="cannot write"):
        save_arrays(tmp_path / "no" / "arrays.npz", arrays)


def test_unreadable_arrays_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, x=np.arange(1000))
    good = path.read_bytes()
    np.save(tmp_path / "single.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }\n"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], object))
    cases = {"missing.npz": None, "text.npz": b"text", "empty.npz": b"", "cut.npz": good[: len(good) // 2]}
    cases |= {"flipped.npz": good[:300] + bytes([good[300] ^ 255]) + good[301:]}
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    for name in (*cases, "single.npy", "huge.npz", "pickle.npz", "."):
        with pytest.raises(InputError) as caught:
            load_arrays(tmp_path / name)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_random_inputs_are_seeded_and_fit() -> None:
    signatures = (
        TensorSignature("x", "float32", ("N", 2)),
        TensorSignature("state", "float16", (2, "N", 3)),
        TensorSignature("q", "int8", ("N", 4000)),
        TensorSignature("index", "int64", ()),
        TensorSignature("flag", "bool", ("N",)),
        TensorSignature("text", "object", (1,)),
    )
    arrays = random_arrays(signatures, 2, 3, seed=1)
    assert {name: array.shape for name, array in arrays.items()} == {
        "x": (6, 2), "state": (6, 2, 3), "q": (6, 4000), "index": (), "flag": (6,), "text": (3,),
    }  # fmt: skip
    assert [array.dtype.name for array in arrays.values()] == [each.dtype for each in signatures]
    assert arrays["q"].min() == -128 and arrays["q"].max() == 127
    for name, array in random_arrays(signatures, 2, 3, seed=1).items():
        np.testing.assert_array_equal(array, arrays[name])
    assert not np.array_equal(random_arrays(signatures, 2, 3, seed=2)["x"], arrays["x"])
    picture = (TensorSignature("x", "float32", ("N", "H")),)
    with pytest.raises(InputError, match="'x' leaves its extent 'H' open"):
        random_arrays(picture, 1, 1, 0)
    assert random_arrays(picture, 1, 1, 0, {"H": 5})["x"].shape == (1, 5)
    with pytest.raises(InputError, match="'x' has no shape"):
        random_arrays((TensorSignature("x", "float32", ("...",)),), 1, 1, 0)


def test_first_samples() -> None:
    signatures = (TensorSignature("x", "int8", ("N", 2)), TensorSignature("k", "int8", ()))
    arrays = {"x": np.arange(12, dtype=np.int8).reshape(6, 2), "k": np.int8(4)}
    found = first_samples(arrays, signatures, 2, 2)
    np.testing.assert_array_equal(found["x"], arrays["x"][:4])
    assert found["k"] == 4
    assert len(first_samples(arrays, signatures, 2, None)["x"]) == 6
    with pytest.raises(InputError, match="3 samples, fewer than the 4"):
        first_samples(arrays, signatures, 2, 4)


def test_targets_by_name_and_from_a_file(tmp_path: Path) -> None:
    assert resolve_machine("weft-8") == PRESETS["weft-8"]
    assert [each["name"] for each in list_targets()] == list(PRESETS)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**machine("weft-8").to_dict(), "name": "mine", "dram_latency": 99}))
    assert resolve_machine(str(path)).dram_latency == 99
    assert resolve_machine(resolve_machine(str(path))).name == "mine"
    for text in ("[]", "{", "[" * 100_000, '{"name": "x", "lanes": 3}', '{"name": "x", "wings": 2}'):
        path.write_text(text)
        with pytest.raises(MachineError, match=r"mine\.json") as caught:
            resolve_machine(str(path))
        assert "\n" not in str(caught.value)
    for name in ("weft-9", str(tmp_path / "none.json")):
        with pytest.raises(MachineError):
            resolve_machine(name)
