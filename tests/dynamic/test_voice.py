"""Silero VAD, frame by frame, decides as ONNX Runtime's float model does."""

from __future__ import annotations

from pathlib import Path

from voice import compare


def test_speech_decisions(shared_models: Path, shared_inputs: Path) -> None:
    agreement = compare(
        shared_models / "silero_vad/silero_vad_16k_op15.onnx", shared_inputs / "audio/silero_test_0_20s.wav"
    )
    assert len(agreement.found) == 625
    assert 0.2 < (agreement.expected > 0.5).mean() < 0.8
    assert agreement.share >= 0.99
    assert agreement.offloaded > 200_000
