"""The parts of a model that stay on the CPU, run by ONNX Runtime exactly as their nodes are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from weft_runtime.errors import HostError
from weft_runtime.executable import HostGraph

__all__ = ["HostProgram", "reference_options"]

Array = npt.NDArray[Any]


def reference_options() -> onnxruntime.SessionOptions:
    """Session options under which ONNX Runtime computes each node by itself: no fusion, one thread, same bits
    always."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # errors come as exceptions; its own log would break the one line on stderr
    return options


class HostProgram:
    """One host graph, loaded. Raises HostError, naming the graph, if ONNX Runtime does not take it."""

    def __init__(self, graph: HostGraph) -> None:
        self.graph = graph
        try:
            self._session = onnxruntime.InferenceSession(
                graph.model, reference_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise HostError(f"host graph {graph.name!r}: ONNX Runtime cannot load it: {_one_line(error)}") from error

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The graph's outputs by name: arrays, or what stands for sequences, optionals and maps (lists, None,
        dictionaries). Raises HostError naming the graph if ONNX Runtime fails or gives anything else."""
        feeds = {name: tensors[name] for name in self.graph.inputs}
        try:
            results = self._session.run(list(self.graph.outputs), feeds)
        except Exception as error:
            raise HostError(f"host graph {self.graph.name!r}: ONNX Runtime fails: {_one_line(error)}") from error
        for name, result in zip(self.graph.outputs, results, strict=True):
            if not isinstance(result, np.ndarray | np.generic | list | dict | None):
                raise HostError(f"host graph {self.graph.name!r}: {name!r} is no tensor but {type(result).__name__}")
        return {
            name: np.asarray(result) if isinstance(result, np.generic) else result
            for name, result in zip(self.graph.outputs, results, strict=True)
        }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
