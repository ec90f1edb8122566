"""Runs the control-flow form on the host, and says for each decision how far it was from falling otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from weft.dynamic.form import Form
from weft.dynamic.margins import Closeness, MarginRule, margin_rule
from weft.dynamic.run import FormRunner
from weft.frontend.model import Model
from weft_runtime.control import Block, Branch, Loop, statements_within
from weft_runtime.interpreter import Decision, Interpreter
from weft_runtime.steps import TensorSignature

__all__ = ["DecisionMargins", "MarginRunner"]


@dataclass(frozen=True)
class DecisionMargins:
    """The margins behind one decision, None where they cannot be told: of an If that of its condition; of a Loop those
    of the condition behind each iteration, and that of its number of iterations, where these are computed."""

    conditions: tuple[float | None, ...] = ()
    count: float | None = None

    @property
    def least(self) -> float | None:
        """The one that was closest."""
        return min((each for each in (*self.conditions, self.count) if each is not None), default=None)


@dataclass(frozen=True)
class _Value:
    """A tensor, and how close its elements are to being others, where that is known."""

    array: Any
    closeness: Closeness | None = None


class _Scalar(int):
    """What the host read, and its margin."""

    margin: float | None = None


class MarginRunner:
    """A form, loaded, with margins. Raises ModelError where ONNX Runtime refuses a sub-network."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._rules = [margin_rule(each) for each in form.networks]
        watching = tuple(map(_watching, form.networks, self._rules))
        self._runner = FormRunner(form.with_networks(watching))
        self._names = [_names(each) for each in watching]
        self._interpreter = _Recording(form.body, self)

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[tuple[Decision, ...], tuple[DecisionMargins, ...]]:  # fmt: skip
        """The path, and the margins of each of its decisions. Raises HostError and SessionError as running does."""
        self._interpreter.margins = []
        _, path = self._interpreter.run({name: _Value(array) for name, array in inputs.items()})
        return path, tuple(self._interpreter.margins)

    def launch(self, network: int, inputs: Sequence[_Value]) -> Sequence[_Value]:
        """A sub-network's outputs."""
        arrays = [each.array for each in inputs]
        results = self._runner.launch(network, arrays)
        entering, leaving = self._names[network]
        values = {**dict(zip(entering, arrays, strict=True)), **dict(zip(leaving, results, strict=True))}
        given = {
            name: each.closeness for name, each in zip(entering, inputs, strict=True) if each.closeness is not None
        }
        found = self._rules[network].apply(values, given)
        outputs = [value.name for value in self._form.networks[network].proto.graph.output]
        return [_Value(values[name], found.get(name)) for name in outputs]

    def scalar(self, value: _Value) -> int:
        """The value's only element."""
        scalar = _Scalar(self._runner.scalar(value.array))
        if value.closeness is not None:
            margin = float(value.closeness.margin.reshape(-1)[0])
            scalar.margin = margin if np.isfinite(margin) else None
        return scalar

    def constant(self, number: int | bool, rank: int) -> _Value:
        """An int64 or bool array, which is never another."""
        array = self._runner.constant(number, rank)
        return _Value(array, Closeness(np.full(array.shape, np.inf)))

    def stack(self, slices: Sequence[_Value], each: TensorSignature) -> _Value:
        """The slices along a new leading axis."""
        return _Value(self._runner.stack([value.array for value in slices], each))


class _Recording(Interpreter[_Value]):
    """`margins` are those of the path's decisions, in order."""

    def __init__(self, body: Block, machine: MarginRunner) -> None:
        super().__init__(body, machine)
        self.margins: list[DecisionMargins] = []
        self._rounds: list[list[float | None]] = []
        self._bodies = {id(each.body): each for each in statements_within(body) if isinstance(each, Loop)}

    def _run_branch(self, branch: Branch) -> None:
        self.margins.append(DecisionMargins((_margin(self._scalars[branch.condition]),)))
        super()._run_branch(branch)

    def _run_loop(self, loop: Loop) -> None:
        count = _margin(self._scalars[loop.count]) if loop.count else None
        first = [_margin(self._scalars[loop.condition])] if loop.condition else []
        self._rounds.append([])
        super()._run_loop(loop)
        rounds = self._rounds.pop()
        self.margins.append(DecisionMargins(tuple(rounds or first), count))

    def _run_block(self, block: Block) -> None:
        super()._run_block(block)
        loop = self._bodies.get(id(block))
        if loop is not None and loop.proceed:
            self._rounds[-1].append(_margin(self._scalars[loop.proceed]))


def _margin(scalar: int) -> float | None:
    return scalar.margin if isinstance(scalar, _Scalar) else None


def _watching(network: Model, rule: MarginRule) -> Model:
    """The sub-network with what the rule watches as further outputs."""
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in rule.watched)
    return network.with_proto(proto)


def _names(network: Model) -> tuple[list[str], list[str]]:
    graph = network.proto.graph
    return [value.name for value in graph.input], [value.name for value in graph.output]
