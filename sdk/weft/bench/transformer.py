"""A stack of transformer encoder layers with seeded random weights, quantized."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from weft.bench.builder import Activation, QdqBuilder, spread

__all__ = ["bert_encoder"]

UNIT_SCALE = 0.03
"""Of normalized activations: they stay within four."""


def bert_encoder(
    layers: int = 12, positions: int = 128, channels: int = 768, heads: int = 12, width: int = 3072, seed: int = 12
) -> onnx.ModelProto:
    """The encoder layers of BERT base (Devlin et al. 2019) for one float sequence [1, positions, channels]: 931 M
    multiply-accumulates a layer at the default sizes. Every tensor between two operators is int8."""
    build = _TransformerBuilder("bert_encoder", seed)
    x = build.input((1, positions, channels), UNIT_SCALE)
    for _ in range(layers):
        attended = build.rows(build.attention(x, heads), channels)
        x = build.normalized(build.add(attended, x, relu=False))
        forward = build.rows(build.gelu(build.rows(x, width)), channels)
        x = build.normalized(build.add(forward, x, relu=False))
    return build.build(x)


class _TransformerBuilder(QdqBuilder):
    """Operators over activations [1, positions, channels]."""

    def rows(self, x: Activation, channels: int) -> Activation:
        """Every row times a constant matrix, plus a bias."""
        depth = x.shape[-1]
        float_weights, scales = self._dequantized(self._weights((channels, depth)))
        transposed = self._name("transposed")
        self._node("Transpose", [float_weights], transposed, perm=[1, 0])
        product, out = self._name("matmul"), self._name("rows")
        self._node("MatMul", [self._dequantize(x), transposed], product)
        self._node("Add", [product, self._bias(x, scales, depth)], out)
        return self._quantize(out, (*x.shape[:-1], channels), spread(x, depth), 0)

    def attention(self, x: Activation, heads: int) -> Activation:
        """Scaled dot products of all heads, before the output's projection."""
        _, positions, channels = x.shape
        depth = channels // heads
        query, key, value = (self._heads(x, heads, axes) for axes in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = self._product(query, key, (1, heads, positions, positions), UNIT_SCALE)
        weights = self._name("softmax")
        self._node("Softmax", [self._dequantize(scores)], weights, axis=-1)
        shares = self._quantize(weights, scores.shape, 1 / 256, -128)
        mixed = self._product(shares, value, (1, heads, positions, depth), value.scale)
        return self._reshaped(self._transposed(mixed, [0, 2, 1, 3]), (1, positions, channels))

    def gelu(self, x: Activation) -> Activation:
        """x · (1 + erf(x / √2)) / 2, in float32 between the quantizations."""
        source = self._dequantize(x)
        names = [self._name("gelu") for _ in range(5)]
        self._node("Div", [source, self._constant(np.array(2**0.5, np.float32))], names[0])
        self._node("Erf", [names[0]], names[1])
        self._node("Add", [names[1], self._constant(np.array(1, np.float32))], names[2])
        self._node("Mul", [source, names[2]], names[3])
        self._node("Mul", [names[3], self._constant(np.array(0.5, np.float32))], names[4])
        return self._quantize(names[4], x.shape, x.scale, 0)

    def normalized(self, x: Activation) -> Activation:
        """LayerNormalization over the channels."""
        out, size = self._name("normalized"), x.shape[-1]
        scale, bias = (self.random.normal(mean, 0.1, size).astype(np.float32) for mean in (1, 0))
        names = [self._dequantize(x), self._constant(scale), self._constant(bias)]
        self._node("LayerNormalization", names, out, axis=-1)
        return self._quantize(out, x.shape, UNIT_SCALE, 0)

    def _heads(self, x: Activation, heads: int, axes: list[int]) -> Activation:
        projected = self.rows(x, x.shape[-1])
        split = self._reshaped(projected, (1, x.shape[1], heads, x.shape[2] // heads))
        return self._transposed(split, axes)

    def _product(self, a: Activation, b: Activation, shape: tuple[int, ...], scale: float) -> Activation:
        out = self._name("matmul")
        self._node("MatMul", [self._dequantize(a), self._dequantize(b)], out)
        return self._quantize(out, shape, scale, 0)

    def _reshaped(self, x: Activation, shape: tuple[int, ...]) -> Activation:
        result = Activation(self._name("reshaped"), shape, x.scale, x.zero_point)
        self.initializers.append(numpy_helper.from_array(np.array(shape, np.int64), f"{result.name}_shape"))
        self._node("Reshape", [x.name, f"{result.name}_shape"], result.name)
        return result

    def _transposed(self, x: Activation, axes: list[int]) -> Activation:
        result = Activation(self._name("transposed"), tuple(x.shape[axis] for axis in axes), x.scale, x.zero_point)
        self._node("Transpose", [x.name], result.name, perm=axes)
        return result
