"""Post-training quantization of float models to QDQ form."""

from __future__ import annotations

from weft.quantize.calibration import random_calibration
from weft.quantize.entry import Quantized, quantize, quantize_and_measure
from weft.quantize.options import NodeOptions, QuantizeOptions
from weft.quantize.sensitivity import LayerSensitivity, SensitivityReport

__all__ = [
    "LayerSensitivity",
    "NodeOptions",
    "QuantizeOptions",
    "Quantized",
    "SensitivityReport",
    "quantize",
    "quantize_and_measure",
    "random_calibration",
]
