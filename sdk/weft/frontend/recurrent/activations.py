"""The activation functions that ONNX's recurrent operators name in their attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from weft.frontend.recurrent.builder import Builder

# Parameters that a function takes from `activation_alpha` and `activation_beta`, with the defaults that ONNX Runtime
# 1.31 was seen to use: 0 where ONNX has no operator of that name, and for ThresholdedRelu.
ALPHA = {
    "Affine": 0.0, "LeakyRelu": 0.01, "ThresholdedRelu": 0.0, "ScaledTanh": 0.0, "HardSigmoid": 0.2, "Elu": 1.0,
}  # fmt: skip
BETA = {"Affine": 0.0, "ScaledTanh": 0.0, "HardSigmoid": 0.5}
PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
BY_LOWER_CASE = {name.lower(): name for name in (*PLAIN, *ALPHA)}


@dataclass(frozen=True)
class Activation:
    """A function with its parameters; those that it does not take are 0."""

    kind: str
    alpha: float
    beta: float

    def apply(self, build: Builder, value: str) -> str:
        """The function of a tensor, as one node or as few as there are operators for it."""
        if self.kind == "Affine":
            scaled = build.binary("Mul", value, build.scalar(self.alpha))
            return build.binary("Add", scaled, build.scalar(self.beta))
        if self.kind == "ScaledTanh":
            inner = build.unary("Tanh", build.binary("Mul", value, build.scalar(self.beta)))
            return build.binary("Mul", inner, build.scalar(self.alpha))
        parameters = {"alpha": self.alpha} if self.kind in ALPHA else {}
        if self.kind in BETA:
            parameters["beta"] = self.beta
        return build.unary(self.kind, value, **parameters)


def read_activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> tuple[Activation, ...] | None:
    """The functions with their parameters, each taken from the lists by those functions alone that have one; None
    for an unknown name. Names count without case, as in ONNX Runtime."""
    kinds = [BY_LOWER_CASE.get(name.lower()) for name in names]
    alpha, beta = iter(alphas), iter(betas)
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    return tuple(Activation(kind, _next(alpha, ALPHA, kind), _next(beta, BETA, kind)) for kind in known)


def _next(given: Iterator[float], defaults: dict[str, float], kind: str) -> float:
    return float(np.float32(next(given, defaults[kind]))) if kind in defaults else 0.0
