"""Detectors on a real photograph: the network body is one region, and the boxes are those of the QDQ model in ONNX
Runtime."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import weft
from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft_runtime import Session

Image = npt.NDArray[np.uint8]
Outputs = dict[str, npt.NDArray[np.float32]]


def read_bmp(path: Path) -> Image:
    """Uncompressed 24-bit rows, bottom up: uint8 [height, width, RGB]."""
    data = path.read_bytes()
    start, width, height = struct.unpack_from("<I", data, 10)[0], *struct.unpack_from("<ii", data, 18)
    row = -(-width * 3 // 4) * 4
    rows = np.frombuffer(data, np.uint8, row * height, start).reshape(height, row)[::-1, : 3 * width]
    return rows.reshape(height, width, 3)[:, :, ::-1]


def resized(image: Image, height: int, width: int) -> Image:
    """Nearest neighbours."""
    rows = (np.arange(height) + 0.5) * image.shape[0] / height
    columns = (np.arange(width) + 0.5) * image.shape[1] / width
    return image[rows.astype(int)][:, columns.astype(int)]


def run_both(path: Path, image: npt.NDArray[np.float32]) -> tuple[weft.Program, Outputs, Outputs]:
    """The program, its outputs on the simulator, and those of the quantized model in ONNX Runtime."""
    loaded = weft.load(path)
    name = loaded.inputs[0].name
    rng = np.random.default_rng(0)
    noisy = [np.clip(image + rng.normal(0, 0.05, image.shape), image.min(), image.max()) for _ in range(2)]
    calibration = np.concatenate([image, *noisy]).astype(np.float32)
    model: Model = weft.quantize(loaded, {name: calibration})
    reference = reference_session(integerize(normalize(model)))
    names = [output.name for output in reference.get_outputs()]
    expected = dict(zip(names, reference.run(names, {name: image}), strict=True))
    executable = compile_model(model)
    with Session(executable) as session:
        found = session.run({name: image})
    return weft.Program(executable), found, expected


def faces(outputs: Outputs, threshold: float) -> npt.NDArray[np.float32]:
    """Boxes (corners, 0 to 1) whose score of a face is above the threshold, each the best of those that it overlaps."""
    scores, boxes = outputs["scores"][0, :, 1], outputs["boxes"][0]
    order = [index for index in np.argsort(-scores, kind="stable") if scores[index] > threshold]
    kept: list[int] = []
    for index in order:
        if all(overlap(boxes[index], boxes[other]) < 0.3 for other in kept):
            kept.append(index)
    return boxes[kept]


def overlap(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Intersection over union."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - both)


@pytest.fixture
def photograph(shared_models: Path) -> Image:
    path = shared_models.parent / "inputs" / "images" / "grace_hopper.bmp"
    if not path.exists():
        pytest.skip("needs ../shared/inputs")
    return read_bmp(path)


def test_ultraface_finds_the_face(shared_models: Path, photograph: Image) -> None:
    pixels = resized(photograph, 240, 320).astype(np.float32)
    image = ((pixels - 127) / 128).transpose(2, 0, 1)[None]
    program, found, expected = run_both(shared_models / "ultraface" / "version-RFB-320.onnx", image)
    assert len(program.executable.regions) == 1
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    boxes = faces(found, 0.8)
    np.testing.assert_array_equal(boxes, faces(expected, 0.8))
    assert len(boxes) == 1  # one person
    left, top, right, bottom = boxes[0]
    assert 0.3 < (left + right) / 2 < 0.7 and 0.1 < (top + bottom) / 2 < 0.6


def test_fastestdet_finds_the_person(shared_models: Path, photograph: Image) -> None:
    pixels = resized(photograph, 352, 352).astype(np.float32)[:, :, ::-1]  # BGR
    image = np.ascontiguousarray((pixels / 255).transpose(2, 0, 1)[None])
    program, found, expected = run_both(shared_models / "fastestdet" / "FastestDet.onnx", image)
    assert len(program.executable.regions) == 1
    (grid,), (wanted,) = found.values(), expected.values()
    np.testing.assert_array_equal(grid, wanted)
    # Channels: objectness, four of the box, then 80 classes of which 0 is a person; a cell's score as the model's
    # authors have it.
    scores = grid[0, 0] ** 0.6 * grid[0, 5:].max(axis=0) ** 0.4
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert scores.max() > 0.6 and grid[0, 5:, row, column].argmax() == 0
