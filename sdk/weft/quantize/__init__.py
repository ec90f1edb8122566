"""Post-training quantization of float models to QDQ form."""

from __future__ import annotations

from weft.quantize.calibration import random_calibration
from weft.quantize.quantizer import quantize

__all__ = ["quantize", "random_calibration"]
