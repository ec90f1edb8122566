"""Trains the small convolutional network of the demo in plain NumPy and writes it as digits.onnx.

Deterministic for one NumPy version; takes about a minute on one core. Run: python examples/digits/train.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from data import load_split
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]

SEED = 1
EPOCHS = 60
BATCH = 64
STEP = 2e-3
LAYERS = ((1, 16, 1), (16, 32, 2), (32, 32, 1))
"""Input channels, output channels and stride of the 3×3 convolutions."""


def windows(x: Array, stride: int) -> Array:
    """Padded 3×3 windows of [n, c, h, w]: [n, oh, ow, c, 3, 3]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return view[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)


class Network:
    """Three convolutions with ReLU, 2×2 max pooling, one dense layer; parameters in a flat list."""

    def __init__(self) -> None:
        random = np.random.default_rng(SEED)
        self.parameters: list[Array] = []
        for inputs, outputs, _ in LAYERS:
            self.parameters.append(
                random.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3)).astype(np.float32)
            )
            self.parameters.append(np.zeros(outputs, np.float32))
        self.parameters.append(random.normal(0, np.sqrt(1 / 128), (10, 128)).astype(np.float32))
        self.parameters.append(np.zeros(10, np.float32))

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        """Logits [n, 10], and what `backward` needs."""
        saved: list[Any] = []
        for index, (_, _, stride) in enumerate(LAYERS):
            columns = windows(x, stride)
            y = np.tensordot(columns, self.parameters[2 * index], axes=((3, 4, 5), (1, 2, 3)))
            y = np.maximum(y + self.parameters[2 * index + 1], 0).transpose(0, 3, 1, 2)
            saved.append((x.shape, columns, y))
            x = y
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
        pooled = blocks.max(axis=(3, 5))
        saved.append((blocks, pooled))
        return pooled.reshape(n, -1) @ self.parameters[-2].T + self.parameters[-1], saved

    def backward(self, gradient: Array, saved: list[Any]) -> list[Array]:
        """Gradients of all parameters, given that of the logits."""
        blocks, pooled = saved[-1]
        flat = pooled.reshape(len(pooled), -1)
        result = [gradient.T @ flat, gradient.sum(axis=0)]
        back = (gradient @ self.parameters[-2]).reshape(pooled.shape)[:, :, :, None, :, None]
        hits = blocks == pooled[:, :, :, None, :, None]
        x_gradient = (hits * back / hits.sum(axis=(3, 5), keepdims=True)).reshape(saved[-2][2].shape)
        for index in reversed(range(len(LAYERS))):
            shape, columns, y = saved[index]
            g = (x_gradient * (y > 0)).transpose(0, 2, 3, 1)
            weight_gradient = np.tensordot(g, columns, axes=((0, 1, 2), (0, 1, 2)))
            result = [weight_gradient, g.sum(axis=(0, 1, 2)), *result]
            x_gradient = self._scatter(np.tensordot(g, self.parameters[2 * index], axes=1), shape, LAYERS[index][2])
        return result

    @staticmethod
    def _scatter(columns: Array, shape: tuple[int, ...], stride: int) -> Array:
        """The transpose of `windows`."""
        n, c, h, w = shape
        padded = np.zeros((n, c, h + 2, w + 2), np.float32)
        rows, cols = columns.shape[1] * stride, columns.shape[2] * stride
        for i in range(3):
            for j in range(3):
                padded[:, :, i : i + rows : stride, j : j + cols : stride] += columns[..., i, j].transpose(0, 3, 1, 2)
        return padded[:, :, 1:-1, 1:-1]


def train(images: Array, labels: npt.NDArray[Any]) -> Network:
    """Adam on the cross-entropy, with a little noise on the images; the step decays to zero."""
    network, random = Network(), np.random.default_rng(SEED)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in network.parameters]
    total, step = EPOCHS * (len(labels) // BATCH), 0
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for start in range(0, len(labels) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            noise = random.normal(0, 0.05, (BATCH, 1, 8, 8)).astype(np.float32)
            logits, saved = network.forward(images[chosen] + noise)
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            gradient = odds / odds.sum(axis=1, keepdims=True)
            gradient[np.arange(BATCH), labels[chosen]] -= 1
            step += 1
            rate = STEP * (1 - step / (total + 1))
            for parameter, (mean, square), g in zip(
                network.parameters, moments, network.backward((gradient / BATCH).astype(np.float32), saved), strict=True
            ):
                mean += 0.1 * (g - mean)
                square += 0.001 * (g * g - square)
                parameter -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return network


def export(network: Network) -> onnx.ModelProto:
    """The network as ONNX: image float32 [batch, 1, 8, 8] → logits float32 [batch, 10]."""
    names = [
        "conv1.weight",
        "conv1.bias",
        "conv2.weight",
        "conv2.bias",
        "conv3.weight",
        "conv3.bias",
        "dense.weight",
        "dense.bias",
    ]
    initializers = [numpy_helper.from_array(p, name) for p, name in zip(network.parameters, names, strict=True)]
    nodes, x = [], "image"
    for index, (_, _, stride) in enumerate(LAYERS, start=1):
        nodes.append(
            helper.make_node(
                "Conv", [x, f"conv{index}.weight", f"conv{index}.bias"], [f"conv{index}"], name=f"conv{index}",
                kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride],
            )
        )  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"conv{index}"], [f"relu{index}"], name=f"relu{index}"))
        x = f"relu{index}"
    nodes.append(helper.make_node("MaxPool", [x], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"], name="flat", axis=1))
    nodes.append(helper.make_node("Gemm", ["flat", "dense.weight", "dense.bias"], ["logits"], name="dense", transB=1))
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="weft")
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Trains, reports accuracy on the test split, writes digits.onnx beside this file."""
    digits = load_split()
    network = train(digits.train_images, digits.train_labels)
    logits, _ = network.forward(digits.test_images)
    accuracy = float((logits.argmax(axis=1) == digits.test_labels).mean())
    path = Path(__file__).parent / "digits.onnx"
    onnx.save(export(network), path)
    print(
        f"test accuracy {accuracy:.2%} on {len(digits.test_labels)} images; {path.stat().st_size} bytes in {path.name}"
    )


if __name__ == "__main__":
    main()
