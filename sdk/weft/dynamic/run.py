"""Runs the control-flow form on the host, each sub-network by ONNX Runtime: what quantization observes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.dynamic.form import Form
from weft.frontend.session import reference_session
from weft.frontend.session_options import RUNTIME_ERRORS
from weft.frontend.validate import first_line
from weft_runtime.control import Branch, Loop
from weft_runtime.errors import HostError, SessionError
from weft_runtime.interpreter import Decision, Interpreter
from weft_runtime.steps import TensorSignature

__all__ = ["ExploringRunner", "FormRunner", "Observe"]

Array = npt.NDArray[Any]
Observe = Callable[[int, Mapping[str, Array]], None]
"""Called with a sub-network's number and its inputs before each launch."""


class FormRunner:
    """A form, loaded: one ONNX Runtime session for each sub-network. Raises ModelError where one is refused."""

    def __init__(self, form: Form, observe: Observe = lambda network, inputs: None) -> None:
        self._form = form
        self._observe = observe
        self._sessions = [reference_session(each) for each in form.networks]
        self._interpreter = self._interpreter_of(form)

    def run(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Any], tuple[Decision, ...]]:
        """The model's outputs by name, and the path."""
        results, path = self._interpreter.run(dict(inputs))
        return dict(zip((each.name for each in self._form.model.outputs), results, strict=True)), path

    def _interpreter_of(self, form: Form) -> Interpreter[Any]:
        return Interpreter(form.body, self)

    def launch(self, network: int, inputs: Sequence[Any]) -> Sequence[Any]:
        """A sub-network's outputs. Raises HostError where ONNX Runtime fails."""
        graph = self._form.networks[network].proto.graph
        feeds = dict(zip((value.name for value in graph.input), inputs, strict=True))
        self._observe(network, feeds)
        try:
            return list(self._sessions[network].run([value.name for value in graph.output], feeds))
        except RUNTIME_ERRORS as error:
            raise HostError(f"sub-network {graph.name!r}: ONNX Runtime fails: {first_line(error)}") from error

    def scalar(self, value: Any) -> int:
        """The value's only element."""
        array = np.asarray(value)
        if array.size != 1:
            raise SessionError(
                f"a condition or number of iterations is not one element but {array.size}; reduce it to one, and "
                "compile with batch 1 where each row shall decide for itself"
            )
        return int(array.reshape(-1)[0])

    def constant(self, number: int | bool, rank: int) -> Any:
        """An int64 or bool array."""
        array: Array = np.asarray(number, np.bool_ if isinstance(number, bool) else np.int64)
        return array.reshape((1,) * rank)

    def stack(self, slices: Sequence[Any], each: TensorSignature) -> Any:
        """The slices along a new leading axis."""
        if not slices:
            return np.zeros((0, *(extent if isinstance(extent, int) else 0 for extent in each.shape)), each.dtype)
        return np.stack(slices)


class ExploringRunner(FormRunner):
    """A runner that also goes where the inputs do not lead: before the branch that is taken runs the other one, before
    a loop its body once, both without effect. So every sub-network is launched with plausible inputs."""

    def _interpreter_of(self, form: Form) -> Interpreter[Any]:
        return _Explorer(form.body, self)


class _Explorer(Interpreter[Any]):
    def _run_branch(self, branch: Branch) -> None:
        before, scalars = dict(self.values), dict(self._scalars)
        self._run_block(branch.otherwise if self._scalars[branch.condition] else branch.then)
        self.values, self._scalars = before, scalars
        super()._run_branch(branch)

    def _run_loop(self, loop: Loop) -> None:
        before, scalars = dict(self.values), dict(self._scalars)
        self.values.update({name: before[start] for name, start in zip(loop.parameters, loop.initial, strict=True)})
        self.values[loop.index] = np.zeros((1,) * loop.index_rank, np.int64)
        self.values[loop.going] = np.ones((1,) * loop.going_rank, np.bool_)
        self._run_block(loop.body)
        self.values, self._scalars = before, scalars
        super()._run_loop(loop)
