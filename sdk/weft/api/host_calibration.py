"""A host profile of this machine: operators of ONNX Runtime, measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from weft.errors import CompileError
from weft.frontend.session import reference_session
from weft.partition.costs import DEFAULT_HOST, HostProfile, host_profile
from weft.partition.costs.profile import profile_text
from weft_runtime.executable import Layout
from weft_runtime.layout import pack, unpack

__all__ = ["calibrate_host", "measure_host"]

REPEATS = 15
CHANNELS, SIZE = 64, 56
ELEMENTS = 1 << 20
CHAIN = 100
QUANTIZATION = ("scale", "zero", "w", "scale", "zero", "scale", "zero")
"""A QLinearConv's inputs behind the first."""

Arrays = dict[str, npt.NDArray[np.generic]]


def calibrate_host(path: Path) -> HostProfile:
    """Measures this machine and writes the profile to a `.toml` file. Raises CompileError if that cannot be written."""
    if path.suffix != ".toml":
        raise CompileError(f"{path}: a host profile is a .toml file")
    profile = measure_host(path.stem)
    try:
        path.write_text(profile_text(profile))
    except OSError as error:
        raise CompileError(f"{path}: cannot write the host profile: {error.strerror or error}") from error
    return profile


def measure_host(name: str) -> HostProfile:
    """Operators as host graphs run them (one by one, no optimizations), the median of several runs each.

    The bus and the start of a launch belong to hardware that is not here: those figures are the default profile's.
    """
    node = _chain_seconds() / CHAIN
    macs = CHANNELS * CHANNELS * 9 * SIZE * SIZE
    elements = np.linspace(-4, 4, ELEMENTS, dtype=np.float32)
    adding = max(_seconds(_unary("Neg"), {"x": elements}) - node, 1e-9)
    whole = _seconds(_unary("Exp"), {"x": elements}) - node
    function = max(whole - adding, whole / 10)  # beyond reading and writing, which noise may hide
    default = host_profile(DEFAULT_HOST)
    return HostProfile(
        name=name,
        description=f"measured on {platform.machine()}, {os.cpu_count()} CPUs; bus and launch as {DEFAULT_HOST}",
        int8_gmacs=_rate(macs, _seconds(_integer_convolution(), _image(np.int8)) - node),
        float_gmacs=_rate(macs, _seconds(_float_convolution(), _image(np.float32)) - node),
        elementwise_gbytes=_rate(2 * elements.nbytes, adding),
        function_gelements=_rate(ELEMENTS, function),
        node_microseconds=node * 1e6,
        bus_gbytes=default.bus_gbytes,
        packing_gbytes=_packing_rate(),
        transfer_microseconds=default.transfer_microseconds,
        launch_microseconds=default.launch_microseconds,
    )


def _rate(work: int, seconds: float) -> float:
    """10^9 per second."""
    return work / max(seconds, 1e-9) / 1e9


def _median(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[REPEATS // 2]


def _seconds(model: onnx.ModelProto, feeds: Arrays) -> float:
    session = reference_session(model)
    return _median(lambda: session.run(None, feeds))


def _chain_seconds() -> float:
    """Seconds of CHAIN nodes with next to nothing to compute: integer convolutions and pools, one by one."""
    nodes = []
    for index in range(CHAIN):
        source, target = f"t{index}", f"t{index + 1}"
        if index % 2:
            nodes.append(helper.make_node("MaxPool", [source], [target], kernel_shape=[3, 3], pads=[1] * 4))
        else:
            nodes.append(helper.make_node("QLinearConv", [source, *QUANTIZATION], [target]))
    constants: Arrays = {
        "w": np.ones((8, 8, 1, 1), np.int8),
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
    }
    x, y = (helper.make_tensor_value_info(name, TensorProto.INT8, [1, 8, 4, 4]) for name in ("t0", f"t{CHAIN}"))
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return _seconds(_model(nodes, x, y, initializers), {"t0": np.ones((1, 8, 4, 4), np.int8)})


def _unary(kind: str) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [ELEMENTS]) for name in "xy")
    return _model([helper.make_node(kind, ["x"], ["y"])], x, y, [])


def _image(dtype: npt.DTypeLike) -> Arrays:
    values = np.random.default_rng(0).integers(-100, 100, (1, CHANNELS, SIZE, SIZE))
    return {"x": values.astype(dtype)}


def _float_convolution() -> onnx.ModelProto:
    return _convolution("Conv", ["x", "w"], TensorProto.FLOAT, {"w": _weights(np.float32)})


def _integer_convolution() -> onnx.ModelProto:
    constants: Arrays = {
        "w": _weights(np.int8), "scale": np.array(0.01, np.float32), "zero": np.array(0, np.int8),
    }  # fmt: skip
    return _convolution("QLinearConv", ["x", *QUANTIZATION], TensorProto.INT8, constants)


def _weights(dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    return np.random.default_rng(1).integers(-100, 100, (CHANNELS, CHANNELS, 3, 3)).astype(dtype)


def _convolution(kind: str, inputs: list[str], element_type: int, constants: Arrays) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, element_type, [1, CHANNELS, SIZE, SIZE]) for name in "xy")
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return _model([helper.make_node(kind, inputs, ["y"], pads=[1, 1, 1, 1])], x, y, initializers)


def _model(
    nodes: list[onnx.NodeProto], x: onnx.ValueInfoProto, y: onnx.ValueInfoProto, constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "calibration", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _packing_rate() -> float:
    """10^9 bytes per second, of packing and unpacking on average."""
    layout = Layout((1, CHANNELS, 2 * SIZE, 2 * SIZE), 16)
    array = np.zeros(layout.view, np.int8)
    packed = pack(array, layout)
    seconds = _median(lambda: unpack(pack(array, layout), layout, array.shape, "int8")) / 2
    return _rate(packed.size, seconds)
