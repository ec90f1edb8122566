"""An independent interpreter of ONNX programs: node by node in ONNX Runtime, If and Loop as the standard says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Values = dict[str, Any]
Path = list[tuple[str, str]]


class Oracle:
    """Runs a model; `run` gives the outputs by name, and what every If and Loop did, in order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._sessions: dict[bytes, Any] = {}
        self._path: Path = []

    def run(self, inputs: Mapping[str, Any]) -> tuple[Values, Path]:
        self._path = []
        results = self._graph(self._model.graph, dict(inputs))
        return dict(zip((value.name for value in self._model.graph.output), results, strict=True)), self._path

    def _graph(self, graph: onnx.GraphProto, outer: Values) -> list[Any]:
        values = {**outer, **{tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}}
        for node in graph.node:
            operands = [values[name] if name else None for name in node.input]
            if node.op_type == "If":
                results = self._if(node, operands, values)
            elif node.op_type == "Loop":
                results = self._loop(node, operands, values)
            else:
                results = self._node(node, operands)
            values.update({name: result for name, result in zip(node.output, results, strict=True) if name})
        return [values[value.name] for value in graph.output]

    def _if(self, node: onnx.NodeProto, operands: list[Any], values: Values) -> list[Any]:
        taken = bool(operands[0].reshape(())) if operands[0].ndim == 0 else bool(operands[0][0])
        self._path.append((node.name, "then" if taken else "else"))
        wanted = "then_branch" if taken else "else_branch"
        return self._graph(next(each.g for each in node.attribute if each.name == wanted), values)

    def _loop(self, node: onnx.NodeProto, operands: list[Any], values: Values) -> list[Any]:
        body = next(each.g for each in node.attribute if each.name == "body")
        names = [value.name for value in body.input]
        limit = None if operands[0] is None else int(operands[0].reshape(-1)[0])
        going = True if operands[1] is None else bool(operands[1].reshape(-1)[0])
        state, count = operands[2:], 0
        rank = len(body.input[0].type.tensor_type.shape.dim)
        collected: list[list[Any]] = [[] for _ in range(len(body.output) - 1 - len(state))]
        while going and (limit is None or count < limit):
            index = np.full((1,) * rank, count, np.int64)
            inner = {**values, names[0]: index, names[1]: np.asarray(True), **dict(zip(names[2:], state, strict=True))}
            condition, *rest = self._graph(body, inner)
            going, state, count = bool(condition.reshape(-1)[0]), rest[: len(state)], count + 1
            for slices, each in zip(collected, rest[len(state) :], strict=True):
                slices.append(each)
        self._path.append((node.name, str(count)))
        return [*state, *map(_stacked, collected, list(body.output)[1 + len(state) :])][: len(node.output)]

    def _node(self, node: onnx.NodeProto, operands: list[Any]) -> list[Any]:
        kinds = ["" if each is None else (helper.np_dtype_to_tensor_dtype(each.dtype), each.ndim) for each in operands]
        key = repr((node.name, kinds)).encode()
        if key not in self._sessions:
            self._sessions[key] = self._session(node, operands)
        names = [f"i{index}" for index in range(len(operands)) if operands[index] is not None]
        feeds = dict(zip(names, (each for each in operands if each is not None), strict=True))
        return list(self._sessions[key].run(None, feeds))

    def _session(self, node: onnx.NodeProto, operands: list[Any]) -> Any:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = ["" if each is None else f"i{index}" for index, each in enumerate(operands)]
        copy.output[:] = [f"o{index}" for index in range(len(node.output))]
        inputs = [
            helper.make_tensor_value_info(f"i{index}", helper.np_dtype_to_tensor_dtype(each.dtype), [None] * each.ndim)
            for index, each in enumerate(operands)
            if each is not None
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in copy.output]
        graph = helper.make_graph([copy], "node", inputs, outputs)
        model = helper.make_model(graph, opset_imports=list(self._model.opset_import), ir_version=10)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def decided(path: Path, nodes: Any) -> Path:
    """Of a path, what a program decides whose nodes are reported so: without the Ifs that it made selects."""
    selected = {node.name for node in nodes if node.op == "If" and node.reason.startswith("no decision: ")}
    return [step for step in path if step[0] not in selected]


def _stacked(slices: list[Any], declared: onnx.ValueInfoProto) -> Any:
    if slices:
        return np.stack(slices)
    kind = declared.type.tensor_type
    return np.zeros((0, *(each.dim_value for each in kind.shape.dim)), helper.tensor_dtype_to_np_dtype(kind.elem_type))
