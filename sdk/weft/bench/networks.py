"""Well-known networks with seeded random weights, quantized."""

from __future__ import annotations

import onnx

from weft.bench.builder import Activation, QdqBuilder

__all__ = ["resnet18", "resnet18_convolutions", "resnet50"]


def resnet18(size: int = 224, seed: int = 18, classes: int = 1000) -> onnx.ModelProto:
    """ResNet-18 (He et al. 2015) for one float image [1, 3, size, size]: 1.81 G multiply-accumulates at
    224."""
    build = QdqBuilder("resnet18", seed)
    x = build.convolution(build.input((1, 3, size, size)), 64, 7, 2)
    x = build.max_pool(x, 3, 2, 1)
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(2):
            x = _basic_block(build, x, channels, 2 if stage > 0 and block == 0 else 1)
    return build.build(build.dense(build.global_average_pool(x), classes))


def _basic_block(build: QdqBuilder, x: Activation, channels: int, stride: int) -> Activation:
    shortcut = x
    if stride != 1 or x.shape[1] != channels:
        shortcut = build.convolution(x, channels, 1, stride, relu=False)
    y = build.convolution(x, channels, 3, stride)
    y = build.convolution(y, channels, 3, relu=False)
    return build.add(y, shortcut)


def resnet50(size: int = 224, seed: int = 50, classes: int = 1000) -> onnx.ModelProto:
    """ResNet-50 for one float image [1, 3, size, size], strides in the 3×3 convolutions as frameworks have them now:
    4.09 G multiply-accumulates at 224."""
    build = QdqBuilder("resnet50", seed)
    x = build.convolution(build.input((1, 3, size, size)), 64, 7, 2)
    x = build.max_pool(x, 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            x = _bottleneck(build, x, 64 << stage, 2 if stage > 0 and block == 0 else 1)
    return build.build(build.dense(build.global_average_pool(x), classes))


def _bottleneck(build: QdqBuilder, x: Activation, channels: int, stride: int) -> Activation:
    shortcut = x
    if stride != 1 or x.shape[1] != 4 * channels:
        shortcut = build.convolution(x, 4 * channels, 1, stride, relu=False)
    y = build.convolution(x, channels, 1)
    y = build.convolution(y, channels, 3, stride)
    y = build.convolution(y, 4 * channels, 1, relu=False)
    return build.add(y, shortcut)


def resnet18_convolutions(size: int = 224, seed: int = 18) -> onnx.ModelProto:
    """The twenty convolutions of ResNet-18, each alone: one input and one output per layer."""
    build = QdqBuilder("resnet18_convolutions", seed)
    outputs = []
    for index, (channels, scale, filters, kernel, stride) in enumerate(_RESNET18):
        x = build.input((1, channels, size // scale, size // scale), name=f"input_{index}")
        outputs.append(build.convolution(x, filters, kernel, stride))
    return build.build(*outputs)


_RESNET18 = (
    (3, 1, 64, 7, 2),
    *[(64, 4, 64, 3, 1)] * 4,
    *((64, 4, 128, 3, 2), (64, 4, 128, 1, 2), *[(128, 8, 128, 3, 1)] * 3),
    *((128, 8, 256, 3, 2), (128, 8, 256, 1, 2), *[(256, 16, 256, 3, 1)] * 3),
    *((256, 16, 512, 3, 2), (256, 16, 512, 1, 2), *[(512, 32, 512, 3, 1)] * 3),
)
"""Input channels, reduction of the image, filters, kernel and stride of every convolution."""
