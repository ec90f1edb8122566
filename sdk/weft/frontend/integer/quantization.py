"""Scale and zero point of a QuantizeLinear or DequantizeLinear, read from constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from weft.frontend.graph import Array, Graph, integer, is_standard

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quantization:
    """real = (stored - zero_point) * scale. `scale` float32 and `zero_point` have the shape () or [channels];
    `axis` is the channel axis as written (may be negative), 0 and without meaning for shape ()."""

    scale: FloatArray
    zero_point: Array
    axis: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return self.zero_point.dtype

    @property
    def is_per_tensor(self) -> bool:
        """Whether one scale holds for all values."""
        return self.scale.ndim == 0

    def per_channel_on(self, axis: int, rank: int) -> bool:
        """Whether the channels, if there are several, lie on this axis of a tensor of this rank."""
        return self.is_per_tensor or (self.axis + rank if self.axis < 0 else self.axis) == axis

    def limits(self) -> tuple[int, int]:
        """The least and the greatest storable value."""
        info = np.iinfo(self.zero_point.dtype)
        return int(info.min), int(info.max)

    def quantize_bound(self, value: float) -> int:
        """What QuantizeLinear makes of one value: float32 quotient, round half to even, zero point,
        saturation."""
        low, high = self.limits()
        if np.isinf(value):
            return high if value > 0 else low
        with np.errstate(over="ignore"):
            quotient = np.float32(value) / self.scale
        return int(np.clip(np.rint(np.float64(quotient)) + int(self.zero_point), low, high))


def read(graph: Graph, node: onnx.NodeProto) -> Quantization | None:
    """The quantization that a Q or DQ node states, or None where it is not constant, not float32, blocked, or
    of a type other than int8, uint8 and int32."""
    scale = graph.constant(node.input[1])
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1 or integer(node, "block_size", 0):
        return None
    stored = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    zero_point: Array | None
    if len(node.input) > 2 and node.input[2]:
        zero_point = graph.constant(node.input[2])
    else:
        zero_point = np.zeros(scale.shape, _numpy_type(graph.element_type(stored)))
    if zero_point is None or zero_point.dtype not in (np.int8, np.uint8, np.int32):
        return None
    if not np.all(np.isfinite(scale)) or np.any(scale < 0) or zero_point.size != scale.size:
        return None
    if scale.size == 1:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    return Quantization(np.asarray(scale, np.float32), zero_point, integer(node, "axis", 1))


@dataclass(frozen=True)
class Stored:
    """A quantized tensor behind a DequantizeLinear: the tensor's name, how it is stored, and the node
    itself."""

    name: str
    quantization: Quantization
    node: onnx.NodeProto


def stored(graph: Graph, name: str) -> Stored | None:
    """The quantized tensor that `name` is the dequantized form of, or None."""
    node = graph.producer(name)
    if node is None or not is_standard(node, "DequantizeLinear"):
        return None
    quantization = read(graph, node)
    return None if quantization is None else Stored(node.input[0], quantization, node)


def activation(graph: Graph, name: str) -> Stored | None:
    """As `stored`, for int8 and uint8 with one positive scale."""
    found = stored(graph, name)
    if found is None or not found.quantization.is_per_tensor or not found.quantization.scale > 0:
        return None
    return found if found.quantization.dtype in (np.int8, np.uint8) else None


def _numpy_type(element_type: int) -> np.dtype[np.generic]:
    if element_type == onnx.TensorProto.INT8:
        return np.dtype(np.int8)
    return np.dtype(np.int32 if element_type == onnx.TensorProto.INT32 else np.uint8)
