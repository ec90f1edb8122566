"""Weft: from an ONNX model to instruction streams of a neural-network accelerator, and to checked answers.

model = weft.load("resnet8.onnx")
model = weft.quantize(model, calibration=samples)
program = weft.compile(model, target="weft-16")
with weft.Session(program, device="sim") as session:
    outputs = session.run({"input": image})
"""

from __future__ import annotations

from weft.api import verify
from weft.api.tuning import TuneOptions, tune
from weft.frontend import Model, from_torch, load
from weft.on_demand import DynamicProgram
from weft.program import Program, compile
from weft.quantize import NodeOptions, QuantizeOptions, quantize
from weft_runtime import Session, shared_devices
from weft_sim.machine import MachineConfig, machine

__version__ = "0.1.0"

__all__ = [
    "DynamicProgram",
    "MachineConfig",
    "Model",
    "NodeOptions",
    "Program",
    "QuantizeOptions",
    "Session",
    "TuneOptions",
    "__version__",
    "compile",
    "from_torch",
    "load",
    "machine",
    "quantize",
    "shared_devices",
    "tune",
    "verify",
]
