"""Networks made of cheap layers, with seeded random weights, quantized: what a machine does between large products."""

from __future__ import annotations

import onnx

from weft.bench.builder import Activation, QdqBuilder

__all__ = ["mobilenet_v1", "mobilenet_v2", "squeezenet"]


def mobilenet_v1(size: int = 224, seed: int = 1, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV1 of width 1 (Howard et al. 2017) for one float image: 569 M multiply-accumulates at 224."""
    build = QdqBuilder("mobilenet_v1", seed)
    x = build.convolution(build.input((1, 3, size, size)), 32, 3, 2)
    for channels, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
    ):  # fmt: skip
        x = build.convolution(x, x.shape[1], 3, stride, group=x.shape[1])
        x = build.convolution(x, channels, 1)
    return build.build(build.dense(build.global_average_pool(x), classes))


def mobilenet_v2(size: int = 224, seed: int = 2, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV2 of width 1 (Sandler et al. 2018) for one float image: 301 M multiply-accumulates at 224."""
    build = QdqBuilder("mobilenet_v2", seed)
    x = build.convolution(build.input((1, 3, size, size)), 32, 3, 2)
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for factor, channels, blocks, stride in stages:
        for block in range(blocks):
            x = _inverted_residual(build, x, factor, channels, stride if block == 0 else 1)
    x = build.convolution(x, 1280, 1)
    return build.build(build.dense(build.global_average_pool(x), classes))


def _inverted_residual(build: QdqBuilder, x: Activation, factor: int, channels: int, stride: int) -> Activation:
    wide = x.shape[1] * factor
    y = x if factor == 1 else build.convolution(x, wide, 1)
    y = build.convolution(y, wide, 3, stride, group=wide)
    y = build.convolution(y, channels, 1, relu=False)
    return build.add(y, x, relu=False) if y.shape == x.shape else y


def squeezenet(size: int = 224, seed: int = 3, classes: int = 1000) -> onnx.ModelProto:
    """SqueezeNet 1.0 (Iandola et al. 2016) for one float image: 836 M multiply-accumulates at 224, with
    padding in the first layer."""
    build = QdqBuilder("squeezenet", seed)
    x = build.max_pool(build.convolution(build.input((1, 3, size, size)), 96, 7, 2), 3, 2, 0)
    for channels, pooled in (
        (16, False), (16, False), (32, True), (32, False), (48, False), (48, False), (64, True), (64, False),
    ):  # fmt: skip
        x = _fire(build, x, channels)
        x = build.max_pool(x, 3, 2, 0) if pooled else x
    return build.build(build.global_average_pool(build.convolution(x, classes, 1)))


def _fire(build: QdqBuilder, x: Activation, channels: int) -> Activation:
    """Squeeze to `channels`, expand to four times as many by 1×1 and by 3×3 side by side, in one scale."""
    squeezed = build.convolution(x, channels, 1)
    wide = build.convolution(squeezed, 4 * channels, 3)
    narrow = build.convolution(squeezed, 4 * channels, 1, scale=wide.scale)
    return build.concat(narrow, wide)
