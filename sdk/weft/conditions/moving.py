"""Where a node that only moves elements takes each of them from, found by moving their numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from weft.ir.device_control import Unjoinable
from weft_runtime.errors import HostError
from weft_runtime.executable import HostGraph
from weft_runtime.host import HostProgram

__all__ = ["moved"]

MOST_ELEMENTS = 1 << 23
"""Numbers are carried as float32."""
Index = npt.NDArray[np.int64]


def moved(model: onnx.ModelProto, node: onnx.NodeProto, sources: Mapping[str, Index]) -> dict[str, Index]:
    """For each output of the node the numbers that stand in its places, given those in its inputs. Raises Unjoinable
    where ONNX Runtime does not run it alone, or it gives anything else."""
    if any(each.size == 0 or each.max() >= MOST_ELEMENTS for each in sources.values()):
        raise Unjoinable("the condition moves nothing, or too many elements")
    outputs = tuple(name for name in node.output if name)
    constants = [_as_float(each) for each in model.graph.initializer if each.name in node.input]
    body = helper.make_graph(
        [node], "moving",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, index.shape) for name, index in sources.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs], constants,
    )  # fmt: skip
    proto = helper.make_model(body, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    try:
        program = HostProgram(HostGraph("moving", proto.SerializeToString(), tuple(sources), outputs))
        forward = program.run({name: (index + 1).astype(np.float32) for name, index in sources.items()})
        backward = program.run({name: -(index + 1).astype(np.float32) for name, index in sources.items()})
    except HostError as error:
        raise Unjoinable(f"{node.op_type} in the condition is not followed: {error}") from error
    if any(not np.array_equal(forward[name], -backward[name]) or np.any(forward[name] <= 0) for name in outputs):
        raise Unjoinable(f"{node.op_type} in the condition does more than move elements")
    return {name: forward[name].astype(np.int64) - 1 for name in outputs}


def _as_float(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Constants of element types that only data have, as float32, like the numbers."""
    data = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.BOOL)
    if tensor.data_type not in data:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
