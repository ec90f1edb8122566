"""DequantizeLinear → Resize (mode linear, over height and width) [→ Relu | Clip] → QuantizeLinear → Interpolation.

Which rows and columns an output reads, and with what weights, follows ONNX Runtime's formulas in float32. The result
is compared with the ONNX Runtime at hand when the operator is recognized; where they differ it stays on the host.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from weft.ir.graph import Graph, attributes
from weft.ir.interpolation import AxisTaps, Interpolation
from weft.ir.operators import Tensor
from weft.ir.patterns.common import Refusal, constant, dequantized, quantized_behind
from weft.ir.patterns.evaluate import session

__all__ = ["match"]

MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
MOST_RUNS = 1024
"""Combinations of weights, each of which takes instructions of its own."""
HALF = np.float32(0.5)

Floats = npt.NDArray[np.float32]


def match(graph: Graph, node: onnx.NodeProto) -> Interpolation:
    """Height and width of an image by any constant factor, in the four usual coordinate transformations."""
    given = attributes(node)
    mode = _text(given.get("mode", b"nearest"))
    if mode != "linear":
        raise Refusal(f"its mode is {mode}; linear is computed, and nearest moved between quantized tensors")
    transformation = _text(given.get("coordinate_transformation_mode", b"half_pixel"))
    if transformation not in MODES:
        raise Refusal(f"coordinates are transformed by {transformation!r}; known are {', '.join(MODES)}")
    if given.get("antialias", 0):
        raise Refusal("it filters against aliasing")
    _, x = dequantized(graph, node.input[0])
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    if len(x.shape) != 4 or x.shape[:2] != output.shape[:2]:
        raise Refusal(f"it resizes {list(x.shape)} to {list(output.shape)}; only the last two of four axes may change")
    factors = _factors(graph, node, x, output)
    rows, columns = (
        _taps(x.shape[axis], output.shape[axis], factors[axis - 2], transformation) for axis in (2, 3)
    )  # fmt: skip
    runs = len(rows.runs(0, output.shape[2])) * len(columns.runs(0, output.shape[3]))
    if runs > MOST_RUNS:
        raise Refusal(f"its positions have {runs} different combinations of weights; at most {MOST_RUNS} are computed")
    found = Interpolation(node.name, (node.name, *nodes), (x,), output, rows, columns, low, high)
    if not _agrees(graph, node, found):
        raise Refusal("this ONNX Runtime interpolates otherwise than the accelerator would")
    return found


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _factors(graph: Graph, node: onnx.NodeProto, x: Tensor, output: Tensor) -> tuple[np.float32, np.float32]:
    """The scales of height and width: as stated, or what the sizes make them."""
    given = attributes(node)
    if "axes" in given or _text(given.get("keep_aspect_ratio_policy", b"stretch")) != "stretch":
        raise Refusal("it resizes listed axes or keeps the aspect ratio")
    if x.shape == output.shape:  # ONNX Runtime copies, whatever the scales
        return np.float32(1), np.float32(1)
    stated = node.input[2] if len(node.input) > 2 else ""
    if stated:
        scales = constant(graph, stated, "scales").astype(np.float32).reshape(-1)
        if scales.size == 4:
            if not np.all(np.isfinite(scales) & (scales > 0)):
                raise Refusal("its scales are not positive numbers")
            return scales[2], scales[3]
    if len(node.input) < 4 or not node.input[3]:
        raise Refusal("its scales are not one number for each axis")
    constant(graph, node.input[3], "sizes")
    height, width = (np.float32(output.shape[axis]) / np.float32(x.shape[axis]) for axis in (2, 3))
    return height, width


def _taps(size: int, outputs: int, factor: np.float32, transformation: str) -> AxisTaps:
    """Neighbours of each output's coordinate, weighted by the distance to the other one. At the last input both are
    the same value, and count half each."""
    index = np.arange(outputs, dtype=np.float32)
    place = np.clip(_coordinates(index, size, factor, transformation), np.float32(0), np.float32(size - 1))
    low = np.minimum(place.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    behind, ahead = np.abs(place - low.astype(np.float32)), np.abs(place - high.astype(np.float32))
    behind, ahead = np.where(low == high, HALF, behind), np.where(low == high, HALF, ahead)
    positions = tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))
    return AxisTaps(positions, tuple((np.float32(a), np.float32(b)) for a, b in zip(ahead, behind, strict=True)))


def _coordinates(index: Floats, size: int, factor: np.float32, transformation: str) -> Floats:
    """Where the outputs lie in the input, each operation rounded to float32."""
    if factor == 1:
        return index
    match transformation:
        case "asymmetric":
            return index / factor
        case "align_corners":
            last = np.float32(index.size - 1)
            return index * np.float32(size - 1) / last if index.size > 1 else index * 0
        case "pytorch_half_pixel" if index.size == 1:
            return index * 0
    return (index + HALF) / factor - HALF


def interpolate(x: Floats, rows: AxisTaps, columns: AxisTaps) -> Floats:
    """The formula in NumPy: x float32 [..., h, w]; the result has the taps' extents."""
    total: Floats | None = None
    for row in (0, 1):
        for column in (0, 1):
            weights = np.outer([each[row] for each in rows.weights], [each[column] for each in columns.weights])
            picked = x[..., [each[row] for each in rows.positions], :][
                ..., [each[column] for each in columns.positions]
            ]
            term = picked * weights.astype(np.float32)
            total = term if total is None else total + term
    assert total is not None
    return total


def _agrees(graph: Graph, node: onnx.NodeProto, found: Interpolation) -> bool:
    """Whether ONNX Runtime gives the formula's bits for random quantized values."""
    x = found.inputs[0]
    shape = (*x.shape[:1], 1, *x.shape[2:]) if _scales_are_stated(node) else x.shape
    q = np.random.default_rng(0).integers(x.limits[0], x.limits[1] + 1, shape).astype(np.float32)
    values = (q - np.float32(x.zero_point)) * x.scale
    name, result = node.input[0], node.output[0]
    run = session(
        graph, [node], [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
    )  # fmt: skip
    try:
        (answer,) = run.run([result], {name: values})
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
    return np.array_equal(answer, interpolate(values, found.rows, found.columns))


def _scales_are_stated(node: onnx.NodeProto) -> bool:
    """Then fewer channels do for a comparison; with sizes, the shape is given."""
    return len(node.input) > 2 and bool(node.input[2])
