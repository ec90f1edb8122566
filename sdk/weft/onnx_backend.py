"""Weft as a backend of ONNX's own interface (`onnx.backend.base`), which ONNX's backend tests drive.

import weft.onnx_backend as backend
outputs = backend.prepare(onnx.load("model.onnx")).run([x])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep

from weft.backends import DEFAULT_TARGET
from weft.compiler import compile as compile_model
from weft.errors import InputError, ModelError
from weft.frontend import Model, load
from weft.partition.costs import HostProfile
from weft_runtime.executable import Executable, TensorSignature
from weft_runtime.inputs import UNKNOWN_SHAPE, check_inputs
from weft_runtime.session import Session

__all__ = ["WeftBackend", "WeftRep", "prepare", "run_model", "run_node", "supports_device"]

Array = npt.NDArray[Any]

PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (1, 2, 3),
    "MatMulInteger": (2, 3),
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
}
"""Inputs of quantized operators that hold scales, zero points, weights and biases."""

SLOW_HOST = HostProfile(
    name="slow-host",
    description="A host so slow, and an accelerator so near, that whatever can be offloaded pays",
    int8_gmacs=1e-3,
    float_gmacs=1e-3,
    elementwise_gbytes=1e-3,
    function_gelements=1e-3,
    node_microseconds=10_000.0,
    bus_gbytes=1e6,
    packing_gbytes=1e6,
    transfer_microseconds=0.0,
    launch_microseconds=0.0,
)
"""For which the cheapest partition takes everything: models of one node would all stay on any real host."""


class WeftRep(BackendRep):
    """A model ready to run. Unquantized operators run on the host, in ONNX Runtime.

    Accelerator programs have fixed shapes, scales, zero points and weights. Where a model takes any of these from
    its inputs, it is compiled when it runs, for the values given, and again when they change. Raises what
    `weft.compile` and `weft_runtime.Session` raise.
    """

    def __init__(self, model: Model, device: str, target: str, host: str | HostProfile) -> None:
        self._model = model
        self._device = device
        self._target = target
        self._host = host
        self._inputs = model.inputs
        self._outputs = tuple(signature.name for signature in model.outputs)
        self._frozen = parameter_inputs(model.proto) & {signature.name for signature in self._inputs}
        self._key: object = None
        self._session: Session | None = None
        if not self._frozen and not any(isinstance(extent, str) for each in self._inputs for extent in each.shape):
            self._open({}, {})

    @property
    def executable(self) -> Executable:
        """The compiled model. Raises ModelError where no run has given it its shapes and parameters yet."""
        if self._session is None:
            raise ModelError(f"{self._model.name}: its shapes or parameters are open; run it once to compile it")
        return self._session.executable

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in the model's order. `inputs` are in the order of the model's inputs (initializers that are
        listed as inputs excluded), or by name, or the only one itself."""
        feed = self._by_name(inputs)
        check_inputs(feed, self._inputs)
        constants = {name: np.asarray(feed.pop(name)) for name in sorted(self._frozen)}
        bound = _extents([each for each in self._inputs if each.name not in constants], feed)
        key = (bound, [(name, str(each.dtype), each.shape, each.tobytes()) for name, each in constants.items()])
        if self._session is None or key != self._key:
            self._open(bound, constants)
            self._key = key
        assert self._session is not None
        results = self._session.run(feed)
        return tuple(results[name] for name in self._outputs)

    def _open(self, bound: Mapping[str, int], constants: Mapping[str, Array]) -> None:
        self._key = ({}, [])
        model = _with_constants(self._model, constants) if constants else self._model
        self._session = Session(compile_model(model, self._target, shapes=bound, host=self._host), self._device)

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return dict(inputs)
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(values) > len(self._inputs):
            raise InputError(f"{self._model.name}: takes {len(self._inputs)} inputs, not {len(values)}")
        return {signature.name: value for signature, value in zip(self._inputs, values, strict=False)}


class WeftBackend(Backend):
    """Compiles with Weft and runs on one of its devices: options `processor` ("sim", "golden" …), `target` and `host`.

    The accelerator gets all that it can take, which is what ONNX's tests ask about; with `host`, the name of a host
    profile or the profile itself, it gets what pays beside that host (docs/partitioning.md).

    ONNX's device names mean what surrounds the accelerator, so "CPU" is the only one supported.
    """

    @classmethod
    def prepare(cls, model: onnx.ModelProto | Model, device: str = "CPU", **kwargs: Any) -> WeftRep:
        """Compiles a model. Raises ModelError or CompileError."""
        if not cls.supports_device(device):
            raise ModelError(f"the device {device!r} is unknown to Weft's ONNX backend; use 'CPU'")
        options = {"processor": "sim", "target": DEFAULT_TARGET, "host": SLOW_HOST, **kwargs}
        return WeftRep(load(model), options["processor"], options["target"], options["host"])

    @classmethod
    def run_model(cls, model: onnx.ModelProto | Model, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        """Compiles a model and runs it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> Any:
        """Runs one node on arrays, given in the order of its inputs that are not left out. `opset` chooses the
        version of the standard operator set (default: the newest that onnx knows)."""
        names = [name for name in node.input if name]
        values = [np.asarray(value) for value in inputs]
        version = kwargs.pop("opset", onnx.defs.onnx_opset_version())
        taken = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(dict.fromkeys(names), values, strict=True)
        ]
        given = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        imports = [helper.make_opsetid("", version)]
        if node.domain not in ("", "ai.onnx"):
            imports.append(helper.make_opsetid(node.domain, 1))
        graph = helper.make_graph([node], node.op_type, taken, given)
        model = helper.make_model(
            graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports, True)
        )
        typed = onnx.shape_inference.infer_shapes(model)
        return cls.run_model(typed, values, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Only "CPU": the host around the accelerator."""
        return device.partition(":")[0] == "CPU"


def parameter_inputs(proto: onnx.ModelProto) -> frozenset[str]:
    """Names of what quantized operators of the main graph read where the accelerator needs a constant."""
    return frozenset(
        node.input[index]
        for node in proto.graph.node
        if node.domain in ("", "ai.onnx")
        for index in PARAMETERS.get(node.op_type, ())
        if index < len(node.input) and node.input[index]
    )


def _with_constants(model: Model, constants: Mapping[str, Array]) -> Model:
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return load(proto)


def _extents(signatures: Sequence[TensorSignature], feed: Mapping[str, Any]) -> dict[str, int]:
    """Values of the inputs' symbolic extents. Raises InputError where inputs contradict each other."""
    found: dict[str, int] = {}
    for signature in signatures:
        if signature.name not in feed or signature.shape == UNKNOWN_SHAPE:
            continue
        for symbol, extent in zip(signature.shape, np.shape(feed[signature.name]), strict=False):
            if isinstance(symbol, str) and found.setdefault(symbol, extent) != extent:
                raise InputError(
                    f"input {signature.name!r}: extent '{symbol}' is {extent}, but {found[symbol]} elsewhere"
                )
    return found


prepare = WeftBackend.prepare
run_model = WeftBackend.run_model
run_node = WeftBackend.run_node
supports_device = WeftBackend.supports_device
