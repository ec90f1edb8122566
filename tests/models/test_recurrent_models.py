"""Models with recurrent operators: their products run on the accelerator, their bits are ONNX Runtime's."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.frontend import load, reference_session

RECURRENT = {"LSTM", "GRU", "RNN", "If"}
WINDOW, CONTEXT = 512, 64


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("dtln/model_1.onnx", {"input_2": (4, 1, 257), "input_3": (4, 2, 128, 2)}),
        ("dtln/model_2.onnx", {"input_4": (4, 1, 512), "input_5": (4, 2, 128, 2)}),
    ],
)
def test_noise_suppression(name: str, inputs: dict[str, tuple[int, ...]], shared_models: Path) -> None:
    random = np.random.default_rng(7)
    arrays = {key: random.normal(0, 0.5, shape).astype(np.float32) for key, shape in inputs.items()}
    quantized = weft.quantize(load(shared_models / name), arrays)
    executable = weft.compile(quantized).executable
    assert not RECURRENT.intersection(node.op for node in executable.nodes)
    assert executable.offloaded_macs == executable.macs > 0
    assert len(executable.regions) == 1
    report = weft.verify(quantized, arrays, samples=2)
    # The layer normalization of model_2 has a bound instead of a proof; without such an operator nothing may differ.
    assert report.mismatches == 0 or executable.inexact


def test_voice_detection(shared_models: Path, shared_inputs: Path) -> None:
    """Windows of real speech with the state carried over, the Ifs on ranks and extents answered at compile time."""
    model = load(shared_models / "silero_vad/silero_vad_16k_op15.onnx")
    samples = speech(shared_inputs / "audio/silero_test_0_20s.wav", 30)
    state, feeds = np.zeros((2, 1, 128), np.float32), []
    session = reference_session(model)
    for window in samples:
        feeds.append({"input": window[None], "state": state, "sr": np.array(16000)})
        state = session.run(["stateN"], feeds[-1])[0]
    quantized = weft.quantize(model, feeds, shapes={"sequence": WINDOW + CONTEXT})
    executable = weft.compile(quantized).executable
    assert not RECURRENT.intersection(node.op for node in executable.nodes)
    assert executable.offloaded_macs == executable.macs > 0
    for feed in feeds[-2:]:
        report = weft.verify(quantized, feed)
        assert report.elements == 257 and report.mismatches == 0


def speech(path: Path, windows: int) -> list[np.ndarray]:
    with wave.open(str(path)) as file:
        frames = file.readframes(file.getnframes())
    audio = np.frombuffer(frames, np.int16).astype(np.float32) / 32768
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    return [padded[index * WINDOW : index * WINDOW + WINDOW + CONTEXT] for index in range(windows)]
