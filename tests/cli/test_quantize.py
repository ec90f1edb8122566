"""`weft quantize`, the same options on `weft compile`, and `weft bench accuracy`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from weft.bench.photographs import crops, read_bitmap
from weft.errors import WeftError


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Calibration data of the float model."""
    images = np.random.default_rng(3).standard_normal((6, 3, 6, 5)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=images)
    return tmp_path / "samples.npz"


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_quantize_writes_a_model_that_compiles(weft: Callable, float_path: Path, samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    answer = weft("quantize", float_path, "-o", output, "--calibration", samples, "--json")
    assert answer.status == 0 and not answer.err
    assert (answer.data["calibration"], answer.data["quantized_nodes"], answer.data["report"]) == ("file", 1, None)
    assert answer.data["bytes"] == output.stat().st_size and operators(output).count("QuantizeLinear") == 2
    onnx.checker.check_model(onnx.load(output), full_check=True)
    again = tmp_path / "again.onnx"
    assert weft("quantize", float_path, "-o", again, "--calibration", samples).status == 0
    assert again.read_bytes() == output.read_bytes() and not list(tmp_path.glob("*.tmp"))
    assert weft("compile", output, "-o", tmp_path / "out.weft", "--json").data["calibration"] == "none"


def test_the_report_is_printed_and_in_json(weft: Callable, float_path: Path, samples: Path, tmp_path: Path) -> None:
    arguments = ("quantize", float_path, "-o", tmp_path / "out.onnx", "--calibration", samples, "--report")
    report = weft(*arguments, "--json").data["report"]
    assert [layer["name"] for layer in report["layers"]] == ["conv"] and report["samples"] == 6
    assert report["layers"][0]["nodes"] == ["relu", "conv"]
    assert 30 < report["layers"][0]["output_snr"] < 60
    text = weft(*arguments).out
    assert "at the outputs" in text and f"{report['quantized_snr']:.1f} dB" in text
    kept = weft(*arguments, "--min-snr", 150, "--json").data["report"]
    assert kept["layers"][0]["kept_float"] and kept["final_snr"] == 200
    assert "QuantizeLinear" not in operators(tmp_path / "out.onnx")


def test_options_arrive(weft: Callable, float_path: Path, samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    common = ("quantize", float_path, "-o", output, "--calibration", samples)
    more = ("--method", "entropy", "--activations", "int8", "--weights", "uint8", "--equalize", "--no-correct-bias")
    assert weft(*common, *more).status == 0
    kinds = {tensor.data_type for tensor in onnx.load(output).graph.initializer if "zero_point" in tensor.name}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT32}
    assert weft(*common, "--node", "conv=float").status == 0
    assert "QuantizeLinear" not in operators(output)
    assert weft(*common, "--node", "conv=mse,int8,weights-uint8", "--node", "relu=mse").status == 0
    compiled = ("compile", float_path, "-o", tmp_path / "out.weft", "--calibration", samples, "--json")
    plain, kept = weft(*compiled), weft(*compiled, "--method", "mse", "--node", "conv=float")
    assert plain.data["offloaded_macs"] > 0 and kept.data["offloaded_macs"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--node", "conv=int4"), 2, "weights-int8"),
        (("--node", "conv"), 2, "NAME=CHOICE"),
        (("--method", "median"), 2, "percentile"),
        (("--node", "nothing=float"), 1, "'nothing'"),
        (("--percentile", "10"), 1, "above 50"),
        (("--min-snr", "nan"), 1, "finite"),
    ],
)
def test_what_is_refused(
    weft: Callable, float_path: Path, samples: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    output = tmp_path / "out.onnx"
    answer = weft("quantize", float_path, "-o", output, "--calibration", samples, *arguments)
    assert answer.status == status and words in answer.err and not answer.out and not output.exists()


def test_files_at_fault(weft: Callable, float_path: Path, qdq_path: Path, samples: Path, tmp_path: Path) -> None:
    again = weft("quantize", qdq_path, "-o", tmp_path / "out.onnx", "--calibration", samples)
    assert again.status == 1 and "quantized already" in again.err
    nowhere = weft("quantize", float_path, "-o", tmp_path / "no" / "out.onnx", "--calibration", samples)
    assert nowhere.status == 1 and "cannot write the model" in nowhere.err and nowhere.err.count("\n") == 1
    random = weft("quantize", float_path, "-o", tmp_path / "out.onnx", "--json")
    assert random.status == 0 and random.data["calibration"] == "random" and "no --calibration" in random.err


def test_accuracy_goals(weft: Callable, shared_models: Path, shared_inputs: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    folders = ("--set", f"models={shared_models}", "--set", f"inputs={shared_inputs}", "--set", f"examples={examples}")
    answer = weft("bench", "accuracy", *folders, "--json")
    rows = {row["model"]: row for row in answer.data["rows"]}
    assert {"mnist_cntk", "hand_keypoint_mlp", "mlperf_resnet8"} <= rows.keys()
    assert answer.data["within_goal"] and answer.data["never_below_onnx_runtime"]
    assert rows["mlperf_resnet8"]["weft"] == 100 and rows["mnist_cntk"]["samples"] == 900
    photographs = rows.pop("mobilenet_v1_0.25")  # labelled by the float model
    assert photographs["float"] == 100 and photographs["weft"] >= 80 > photographs["onnx_runtime"]
    assert photographs["weft_snr"] > 12 > photographs["onnx_runtime_snr"]
    for row in rows.values():
        assert row["float"] - row["weft"] <= 0.5 and row["weft"] >= row["onnx_runtime"] > 90
        assert row["weft_snr"] > row["onnx_runtime_snr"] > 10


def test_photographs(tmp_path: Path) -> None:
    pixels = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)  # RGB, top down
    rows = b"".join(row[:, ::-1].tobytes() + b"\0" for row in pixels[::-1])  # a row of 15 bytes is padded to 16
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + len(rows), 0, 54, 40, 5, 3, 1, 24, 0, 0, 0, 0, 0, 0)
    file = tmp_path / "small.bmp"
    file.write_bytes(header + rows)
    np.testing.assert_array_equal(read_bitmap(file), pixels)
    middle, corner = crops(pixels, 3, 2)
    np.testing.assert_array_equal(middle, pixels[:, 1:4])
    np.testing.assert_array_equal(corner, pixels[:1, :1].repeat(3, axis=0).repeat(3, axis=1))
    for damaged in (header + rows[:-1], b"BM", b"XX" + header[2:] + rows):
        file.write_bytes(damaged)
        with pytest.raises(WeftError, match="not a bitmap"):
            read_bitmap(file)


def test_accuracy_without_data(weft: Callable, tmp_path: Path) -> None:
    nowhere = [part for key in ("models", "inputs", "examples") for part in ("--set", f"{key}={tmp_path}")]
    answer = weft("bench", "accuracy", *nowhere)
    assert answer.status == 1 and "--set" in answer.err and answer.err.count("\n") == 1
