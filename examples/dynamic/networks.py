"""Small networks whose path depends on the input, as ONNX: each with inputs on which every path is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from sklearn.datasets import load_digits

Array = np.ndarray
STOP = 0


@dataclass(frozen=True)
class Network:
    """A model and its inputs, one sample per row."""

    model: onnx.ModelProto
    inputs: dict[str, Array]


class Weights:
    """Seeded weights, scaled so that activations keep their size."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def conv(self, outputs: int, inputs: int, kernel: int = 3) -> tuple[Array, Array]:
        """Kernels and biases."""
        scale = np.sqrt(2 / (inputs * kernel * kernel))
        weights = self._random.standard_normal((outputs, inputs, kernel, kernel)) * scale
        return weights.astype(np.float32), (self._random.standard_normal(outputs) * 0.1).astype(np.float32)

    def dense(self, inputs: int, outputs: int, gain: float = 1.0) -> tuple[Array, Array]:
        """Weights and biases."""
        weights = self._random.standard_normal((inputs, outputs)) * gain / np.sqrt(inputs)
        return weights.astype(np.float32), (self._random.standard_normal(outputs) * 0.1).astype(np.float32)


def digits() -> tuple[Array, Array]:
    """scikit-learn's digits, [n, 1, 8, 8] between 0 and 1, and their classes."""
    data = load_digits()
    return (data.images[:, None] / 16).astype(np.float32), data.target


def convolved(images: Array, weights: Array, bias: Array, stride: int = 1) -> Array:
    """Convolution with padding, and Relu, in NumPy."""
    size = weights.shape[2]
    pad = size // 2
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.maximum(np.einsum("nchwij,ocij->nohw", windows, weights) + bias[:, None, None], 0).astype(np.float32)


def head(features: Array, classes: Array) -> tuple[Array, Array]:
    """A classifier on pooled features, fitted by regularized least squares: weights [features, 10] and biases."""
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    gram = inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1])
    solution = np.linalg.solve(gram, inputs.T @ (np.eye(10)[classes] * 8))
    return solution[:-1].astype(np.float32), solution[-1].astype(np.float32)


def probabilities(features: Array, classifier: tuple[Array, Array]) -> Array:
    """Softmax of a classifier's logits."""
    logits = features @ classifier[0] + classifier[1]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def early_exit() -> Network:
    """Shallow-Deep: after each of two stages a classifier, whose answer is final where it is sure enough."""
    images, classes = digits()
    weights = Weights(1)
    stages = [weights.conv(16, 1), weights.conv(32, 16), weights.conv(32, 32)]
    features, heads, thresholds = [images], [], []
    for place, stage in enumerate(stages):
        features.append(convolved(features[-1], *stage, stride=2 if place else 1))
        pooled = features[-1].mean(axis=(2, 3))
        heads.append(head(pooled, classes))
        thresholds.append(float(np.quantile(probabilities(pooled, heads[-1]).max(axis=1), 0.55)))
    g = GraphWriter()
    source = g.value("image", FLOAT, [1, 1, 8, 8])
    result = _exits(g, source, list(zip(stages, heads, thresholds, strict=True)), 0)
    return Network(g.model([(result, FLOAT, [1, 10])]), {"image": images})


def _exits(g: GraphWriter, source: str, stages: list, place: int) -> str:
    stage, classifier, threshold = stages[place]
    features = g.conv(source, *stage, stride=2 if place else 1)
    logits = g.dense(g.pooled(features), *classifier)
    if place == len(stages) - 1:
        return logits
    sure = g.above(g.confidence(logits), threshold)
    then, otherwise = g.body(), g.body()
    deeper = _exits(otherwise, features, stages, place + 1)
    return str(g.if_(sure, then, [logits], otherwise, [deeper]))


def skip_gates() -> Network:
    """SkipNet with feed-forward gates: each of four residual blocks runs only where its gate says so."""
    images, classes = digits()
    weights = Weights(2)
    g = GraphWriter()
    source = g.value("image", FLOAT, [1, 1, 8, 8])
    first = weights.conv(16, 1)
    state, features = g.conv(source, *first), convolved(images, *first)
    for _ in range(4):
        pooled = features.mean(axis=(2, 3))
        gate, _ = weights.dense(16, 1, 4.0)
        bias = -np.median(pooled @ gate).astype(np.float32).reshape(1)
        block = weights.conv(16, 16)
        opened = (pooled @ gate + bias > 0)[:, 0]
        score = g.node("Sigmoid", [g.dense(g.pooled(state), gate, bias)])
        then, otherwise = g.body(), g.body()
        added = then.node("Add", [state, then.conv(state, block[0] * 0.5, block[1])])
        state = g.if_(g.above(score, 0.5), then, [added], otherwise, [state])
        changed = features + convolved(features, block[0] * 0.5, block[1])
        features = np.where(opened[:, None, None, None], changed, features)
    classifier = head(features.mean(axis=(2, 3)), classes)
    return Network(g.model([(g.dense(g.pooled(state), *classifier), FLOAT, [1, 10])]), {"image": images})


def block_policy() -> Network:
    """BlockDrop: a policy network decides up front which of three residual blocks run."""
    images, classes = digits()
    weights = Weights(3)
    g = GraphWriter()
    source = g.value("image", FLOAT, [1, 1, 8, 8])
    policy_stage = weights.conv(16, 1)
    policy = weights.dense(16, 3, 4.0)[0]
    observed = convolved(images, *policy_stage, stride=2).mean(axis=(2, 3)) @ policy
    bias = -np.median(observed, axis=0).astype(np.float32)
    scores = g.dense(g.pooled(g.conv(source, *policy_stage, stride=2)), policy, bias)
    chosen = g.node("Split", [scores], 3, axis=1, num_outputs=3)
    first = weights.conv(16, 1)
    state, features = g.conv(source, *first), convolved(images, *first)
    for place in range(3):
        block = weights.conv(16, 16)
        then, otherwise = g.body(), g.body()
        added = then.node("Add", [state, then.conv(state, block[0] * 0.5, block[1])])
        state = g.if_(g.above(chosen[place], 0.0), then, [added], otherwise, [state])
        runs = (observed[:, place] + bias[place] > 0)[:, None, None, None]
        features = np.where(runs, features + convolved(features, block[0] * 0.5, block[1]), features)
    classifier = head(features.mean(axis=(2, 3)), classes)
    return Network(g.model([(g.dense(g.pooled(state), *classifier), FLOAT, [1, 10])]), {"image": images})


def experts() -> Network:
    """Top-1 mixture of four experts: a router's argmax, and nested Ifs."""
    images, classes = digits()
    weights = Weights(4)
    g = GraphWriter()
    source = g.value("image", FLOAT, [1, 1, 8, 8])
    first = weights.conv(16, 1)
    features = convolved(images, *first, stride=2)
    pooled = features.mean(axis=(2, 3))
    router = weights.dense(16, 4, 6.0)[0]
    bias = -(pooled @ router).mean(axis=0).astype(np.float32)
    shared = g.conv(source, *first, stride=2)
    choice = g.node("ArgMax", [g.dense(g.pooled(shared), router, bias)], axis=1, keepdims=0)
    stages = [weights.conv(16, 16) for _ in range(4)]
    classifiers = [head(convolved(features, *stage).mean(axis=(2, 3)), classes) for stage in stages]
    result = _choose(g, choice, shared, list(zip(stages, classifiers, strict=True)), 0)
    return Network(g.model([(result, FLOAT, [1, 10])]), {"image": images})


def _choose(g: GraphWriter, choice: str, shared: str, given: list, place: int) -> str:
    stage, classifier = given[place]
    if place == len(given) - 1:
        return g.dense(g.pooled(g.conv(shared, *stage)), *classifier)
    here = g.node("Equal", [choice, g.constant(np.asarray([place], np.int64))])
    scalar = g.node("Reshape", [here, g.constant(np.zeros(0, np.int64), "scalar")])
    then, otherwise = g.body(), g.body()
    ours = then.dense(then.pooled(then.conv(shared, *stage)), *classifier)
    return str(g.if_(scalar, then, [ours], otherwise, [_choose(otherwise, choice, shared, given, place + 1)]))


def decoder() -> Network:
    """A greedy sequence decoder: until the stop token comes, the token of each step is the input of the next."""
    weights = Weights(5)
    size, tokens = 32, 12
    inputs = np.abs(np.random.default_rng(5).standard_normal((600, size))).astype(np.float32)
    g = GraphWriter()
    state = g.dense(g.value("context", FLOAT, [1, size]), *weights.dense(size, size), relu=True)
    b = g.body()
    index, going = b.value("step", INT64, []), b.value("going", BOOL, [])
    token, hidden = b.value("token", INT64, [1]), b.value("hidden", FLOAT, [1, size])
    embedding = b.node("Gather", [b.constant(weights.dense(tokens, size, 4.0)[0], "embedding"), token], axis=0)
    mixed = b.dense(hidden, *weights.dense(size, size, 1.2))
    following = b.node("Relu", [b.node("Add", [mixed, embedding])])
    scores = weights.dense(size, tokens, 2.0)
    scores[1][STOP] += np.float32(2.5)
    logits = b.dense(following, *scores)
    chosen = b.node("ArgMax", [logits], axis=1, keepdims=0)
    stop = b.node("Equal", [chosen, b.constant(np.asarray([STOP], np.int64))])
    more = b.node("Reshape", [b.node("Not", [stop]), b.constant(np.zeros(0, np.int64), "scalar")])
    del index, going
    start = g.constant(np.asarray([1], np.int64), "start")
    limit = g.constant(np.int64(20), "limit")
    outputs = g.node("Loop", [limit, "", start, state], 3, body=b.graph([more, chosen, following, chosen]))
    kinds = [(outputs[2], INT64, ["steps", 1]), (outputs[1], FLOAT, [1, size])]
    return Network(g.model(kinds), {"context": inputs})


def halting() -> Network:
    """Adaptive halting: a state is refined until the sum of its halting probabilities reaches 1."""
    weights = Weights(6)
    size = 32
    inputs = np.abs(np.random.default_rng(6).standard_normal((600, size))).astype(np.float32)
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, size]), *weights.dense(size, size), relu=True)
    b = g.body()
    b.value("step", INT64, [])
    b.value("going", BOOL, [])
    hidden, total = b.value("hidden", FLOAT, [1, size]), b.value("total", FLOAT, [1, 1])
    following = b.dense(hidden, *weights.dense(size, size, 1.4), relu=True)
    halt = weights.dense(size, 1, 1.5)
    probability = b.node("Sigmoid", [b.dense(following, halt[0], halt[1] - np.float32(2.0))])
    reached = b.node("Add", [total, probability])
    more = b.node("Less", [reached, b.constant(np.float32(1.0))])
    scalar = b.node("Reshape", [more, b.constant(np.zeros(0, np.int64), "scalar")])
    zero = g.constant(np.zeros((1, 1), np.float32), "zero")
    limit = g.constant(np.int64(16), "limit")
    outputs = g.node("Loop", [limit, "", state, zero], 2, body=b.graph([scalar, following, reached]))
    answer = g.dense(outputs[0], *weights.dense(size, 10))
    return Network(g.model([(answer, FLOAT, [1, 10])]), {"vector": inputs})


def loop_in_if() -> Network:
    """Where a gate says so, the state is refined in a loop whose length depends on it; else it is final at once."""
    weights = Weights(7)
    size = 32
    inputs = np.abs(np.random.default_rng(7).standard_normal((600, size))).astype(np.float32)
    g = GraphWriter()
    first = weights.dense(size, size)
    state = g.dense(g.value("vector", FLOAT, [1, size]), *first, relu=True)
    gate = weights.dense(size, 1, 2.0)[0]
    level = np.median(np.maximum(inputs @ first[0] + first[1], 0) @ gate)
    hard = g.above(g.dense(state, gate, np.zeros(1, np.float32)), float(level))
    then, otherwise = g.body(), g.body()
    b = then.body()
    b.value("step", INT64, [])
    b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, size])
    following = b.dense(hidden, *weights.dense(size, size, 1.2), relu=True)
    more = b.above(b.dense(following, *weights.dense(size, 1, 2.0)), 0.0)
    limit = then.constant(np.int64(8), "limit")
    refined = then.node("Loop", [limit, "", state], body=b.graph([more, following]))
    result = g.if_(hard, then, [refined], otherwise, [state])
    return Network(g.model([(g.dense(result, *weights.dense(size, 10)), FLOAT, [1, 10])]), {"vector": inputs})


def if_in_loop() -> Network:
    """A loop of a given number of steps (an input); in each, one of two layers runs, as the state decides."""
    weights = Weights(8)
    size = 32
    generator = np.random.default_rng(8)
    inputs = np.abs(generator.standard_normal((600, size))).astype(np.float32)
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, size]), *weights.dense(size, size), relu=True)
    steps = g.node("Reshape", [g.value("steps", INT64, [1]), g.constant(np.zeros(0, np.int64), "scalar")])
    b = g.body()
    b.value("step", INT64, [])
    going = b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, size])
    gate = weights.dense(size, 1, 2.0)
    positive = b.above(b.dense(hidden, *gate), 0.0)
    then, otherwise = b.body(), b.body()
    ours = then.dense(hidden, *weights.dense(size, size, 1.4), relu=True)
    theirs = otherwise.dense(hidden, *weights.dense(size, size, 1.4), relu=True)
    following = b.if_(positive, then, [ours], otherwise, [theirs])
    result = g.node("Loop", [steps, "", state], body=b.graph([going, following]))
    rows = {"vector": inputs, "steps": generator.integers(0, 6, 600)}
    return Network(g.model([(g.dense(result, *weights.dense(size, 10)), FLOAT, [1, 10])]), rows)


def scanned() -> Network:
    """A recurrent cell over a sequence by Scan, with a gate behind it."""
    weights = Weights(9)
    size, steps = 16, 5
    inputs = np.random.default_rng(9).standard_normal((600, steps, size)).astype(np.float32)
    g = GraphWriter()
    sequence = g.value("sequence", FLOAT, [1, steps, size])
    b = g.body()
    hidden, each = b.value("hidden", FLOAT, [1, size]), b.value("each", FLOAT, [1, size])
    mixed = b.dense(hidden, *weights.dense(size, size, 1.2))
    following = b.node("Relu", [b.node("Add", [mixed, b.dense(each, *weights.dense(size, size))])])
    zero = g.constant(np.zeros((1, size), np.float32), "zero")
    last, all_states = g.node(
        "Scan", [zero, sequence], 2, body=b.graph([following, following]), num_scan_inputs=1,
        scan_input_axes=[1], scan_output_axes=[1],
    )  # fmt: skip
    answer = g.dense(last, *weights.dense(size, 4))
    return Network(g.model([(answer, FLOAT, [1, 4]), (all_states, FLOAT, [1, steps, size])]), {"sequence": inputs})


NETWORKS: dict[str, Callable[[], Network]] = {
    each.__name__: each
    for each in (
        early_exit,
        skip_gates,
        block_policy,
        experts,
        decoder,
        halting,
        loop_in_if,
        if_in_loop,
        scanned,
    )
}
