"""What a user can choose about quantization: one frozen object, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from weft.errors import QuantizationError

__all__ = ["Gates", "Granularity", "Method", "NodeOptions", "QuantizeOptions", "StorageType", "Symmetry"]

Method = Literal["minmax", "percentile", "entropy", "mse"]
Symmetry = Literal["asymmetric", "symmetric"]
StorageType = Literal["uint8", "int8"]
Granularity = Literal["channel", "tensor"]
Gates = Literal["int8", "float"]
DEFAULT_PERCENTILE = 99.99


@dataclass(frozen=True)
class NodeOptions:
    """What one node does otherwise than the rest: it stays float, or its result's range is found by another
    method, or its result or its weights are stored as another type. None leaves the general choice."""

    keep_float: bool = False
    method: Method | None = None
    activation_type: StorageType | None = None
    weight_type: StorageType | None = None

    def check(self, name: str) -> None:
        """Raises QuantizationError for a value that is none of the known ones."""
        _check_choice(f"node '{name}': method", self.method, (*get_args(Method), None))
        _check_choice(f"node '{name}': activation type", self.activation_type, (*get_args(StorageType), None))
        _check_choice(f"node '{name}': weight type", self.weight_type, (*get_args(StorageType), None))


@dataclass(frozen=True)
class QuantizeOptions:
    """How a float model is quantized.

    `method`: how the range of an activation is found from what the calibration data show; "percentile" keeps
    `percentile` percent of the values. Asymmetric weights have one scale per tensor whatever
    `weight_granularity` says, because integer kernels take one zero point for all channels. `equalize`:
    cross-layer equalization before anything else. `correct_bias`: the mean shift that quantization causes per
    output channel goes into the bias. `minimum_snr`: layers stay float, the one that helps most first, until
    the model's outputs have this signal-to-noise ratio in dB on the calibration data. `nodes`: what single
    nodes do otherwise. `gates`: "float" keeps everything float, on the host, that decisions of control flow depend on
    and outputs do not.
    """

    method: Method = "minmax"
    percentile: float = DEFAULT_PERCENTILE
    activation_type: StorageType = "uint8"
    activation_symmetry: Symmetry = "asymmetric"
    weight_type: StorageType = "int8"
    weight_symmetry: Symmetry = "symmetric"
    weight_granularity: Granularity = "channel"
    equalize: bool = False
    correct_bias: bool = True
    minimum_snr: float | None = None
    nodes: Mapping[str, NodeOptions] = field(default_factory=dict)
    gates: Gates = "int8"

    def check(self) -> None:
        """Raises QuantizationError for a value that is none of the known ones."""
        _check_choice("calibration method", self.method, get_args(Method))
        _check_choice("activation type", self.activation_type, get_args(StorageType))
        _check_choice("activation symmetry", self.activation_symmetry, get_args(Symmetry))
        _check_choice("weight type", self.weight_type, get_args(StorageType))
        _check_choice("weight symmetry", self.weight_symmetry, get_args(Symmetry))
        _check_choice("weight granularity", self.weight_granularity, get_args(Granularity))
        _check_choice("choice for gates", self.gates, get_args(Gates))
        if not 50.0 < self.percentile <= 100.0:
            raise QuantizationError(f"percentile {self.percentile} must be above 50 and at most 100")
        if self.minimum_snr is not None and not np.isfinite(self.minimum_snr):
            raise QuantizationError(f"minimum signal-to-noise ratio {self.minimum_snr} must be a finite number of dB")
        for name, node in self.nodes.items():
            node.check(name)

    @property
    def kept_float(self) -> frozenset[str]:
        """Names of the nodes that the user keeps in float."""
        return frozenset(name for name, node in self.nodes.items() if node.keep_float)


DEFAULT_OPTIONS = QuantizeOptions()


def _check_choice(what: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        listed = ", ".join(f"'{each}'" for each in known if each is not None)
        raise QuantizationError(f"unknown {what} '{value}'; use one of {listed}")
