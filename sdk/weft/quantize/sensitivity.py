"""What each layer's quantization costs, and which layers to leave in float."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weft.frontend.graph import Array
from weft.quantize.probe import Layer, Probe

__all__ = ["LayerSensitivity", "SensitivityReport", "measure", "skip_until"]

Progress = Callable[[int, int], None]
# More samples move the figures little and cost a run of the model for each layer.
SAMPLES = 16
GREATEST_SNR = 200.0


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantizing one layer alone does, all others in float: signal-to-noise ratios in dB (200 at most)
    at the layer's own output and at the model's outputs. `nodes`: what is quantized as this layer.
    `kept_float`: whether it was skipped because of that."""

    name: str
    operator: str
    nodes: tuple[str, ...]
    layer_snr: float
    output_snr: float
    kept_float: bool


@dataclass(frozen=True)
class SensitivityReport:
    """Layers in order of execution. `quantized_snr`: the ratio at the model's outputs in dB with all of them
    quantized; `final_snr`: with those that are not kept in float. Measured on `samples` samples."""

    layers: tuple[LayerSensitivity, ...]
    quantized_snr: float
    final_snr: float
    samples: int


class _Noise:
    """Power of signals and of their differences, by tensor."""

    def __init__(self) -> None:
        self._signal: dict[str, float] = {}
        self._noise: dict[str, float] = {}

    def add(self, reference: Mapping[str, Array], found: Mapping[str, Array]) -> None:
        for name, values in found.items():
            expected = reference[name].astype(np.float64)
            self._signal[name] = self._signal.get(name, 0.0) + float(np.sum(expected**2))
            error = float(np.sum((expected - values.astype(np.float64)) ** 2))
            self._noise[name] = self._noise.get(name, 0.0) + error

    @property
    def decibels(self) -> float:
        """Signal over noise; of several tensors the mean of noise over signal counts."""
        ratios = [
            noise / signal if (signal := self._signal[name]) > 0 else float(noise > 0) * 1e20
            for name, noise in self._noise.items()
        ]
        mean = float(np.mean(ratios)) if ratios else 0.0
        if mean <= 0:
            return GREATEST_SNR
        return float(np.clip(-10.0 * np.log10(mean), -GREATEST_SNR, GREATEST_SNR))


class Sensitivity:
    """Measures on a probe, with the float model's results on each sample remembered."""

    def __init__(self, probe: Probe, samples: Sequence[Mapping[str, Array]], progress: Progress | None) -> None:
        self._probe = probe
        self._samples = tuple(samples[:SAMPLES])
        self._progress = progress
        self._outputs = [probe.run(sample, ())[0] for sample in self._samples]

    @property
    def samples(self) -> int:
        return len(self._samples)

    def at_outputs(self, quantized: Collection[str]) -> float:
        """The ratio at the model's outputs with these layers quantized."""
        noise = _Noise()
        for sample, expected in zip(self._samples, self._outputs, strict=True):
            noise.add(expected, self._probe.run(sample, quantized)[0])
        return noise.decibels

    def one_at_a_time(self) -> Iterator[tuple[Layer, float, float]]:
        """Each layer with the ratio at its own output and at the model's, it alone being quantized."""
        layers = self._probe.layers
        own, outputs = [_Noise() for _ in layers], [_Noise() for _ in layers]
        names = [layer.name for layer in layers]
        for count, (sample, expected) in enumerate(zip(self._samples, self._outputs, strict=True)):
            floats = self._probe.run(sample, (), names)[1]
            for index, layer in enumerate(layers):
                found, at_layer = self._probe.run(sample, (layer.name,), (layer.name,))
                own[index].add(floats, at_layer)
                outputs[index].add(expected, found)
                if self._progress is not None:
                    self._progress(count * len(layers) + index + 1, len(layers) * len(self._samples))
        for index, layer in enumerate(layers):
            yield layer, own[index].decibels, outputs[index].decibels


def measure(
    probe: Probe,
    samples: Sequence[Mapping[str, Array]],
    minimum_snr: float | None,
    progress: Progress | None = None,
) -> SensitivityReport:
    """Measures every layer on up to 16 samples, and chooses those to keep in float if `minimum_snr` asks."""
    sensitivity = Sensitivity(probe, samples, progress)
    measured = list(sensitivity.one_at_a_time())
    names = [layer.name for layer, _, _ in measured]
    quantized = sensitivity.at_outputs(names)
    skipped: frozenset[str] = frozenset()
    if minimum_snr is not None and quantized < minimum_snr:
        worst_first = [layer.name for layer, _, _ in sorted(measured, key=lambda each: each[2])]
        skipped = skip_until(lambda kept: sensitivity.at_outputs(kept) >= minimum_snr, worst_first)
    layers = tuple(
        LayerSensitivity(layer.name, layer.operator, layer.nodes, own, output, layer.name in skipped)
        for layer, own, output in measured
    )
    final = sensitivity.at_outputs([name for name in names if name not in skipped]) if skipped else quantized
    return SensitivityReport(layers, quantized, final, sensitivity.samples)


def skip_until(is_enough: Callable[[Collection[str]], bool], worst_first: Sequence[str]) -> frozenset[str]:
    """The layers to keep in float so that quantizing the others is good enough.

    First as many of the worst as it takes, by bisection; then each of these, the least bad first, is quantized
    again where the rest still is enough. `is_enough` gets the layers that are quantized.
    """
    low, high = 0, len(worst_first)
    while low < high:
        middle = (low + high) // 2
        if is_enough(worst_first[middle:]):
            high = middle
        else:
            low = middle + 1
    skipped = list(worst_first[:high])
    for name in reversed(worst_first[:high]):
        without = [other for other in skipped if other != name]
        if is_enough([other for other in worst_first if other not in without]):
            skipped = without
    return frozenset(skipped)
