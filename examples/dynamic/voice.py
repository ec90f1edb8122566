"""Voice detection frame by frame: Silero VAD quantized, compiled, and streamed beside ONNX Runtime's float model.

python examples/dynamic/voice.py silero_vad_16k_op15.onnx speech.wav
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import weft
from weft.frontend import normalize, reference_session

WINDOW, CONTEXT, RATE = 512, 64, 16000
SHAPES = {"sequence": WINDOW + CONTEXT}
THRESHOLD = 0.5

Array = np.ndarray
Step = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Agreement:
    """Probabilities of speech per frame, float and quantized; `offloaded`: multiply-accumulates on the accelerator."""

    expected: Array
    found: Array
    offloaded: int

    @property
    def share(self) -> float:
        """How many frames have the same decision."""
        return float(np.mean((self.expected > THRESHOLD) == (self.found > THRESHOLD)))


def frames(path: Path) -> list[Array]:
    """Windows of 512 samples with the 64 before in front, float32 [576]."""
    with wave.open(str(path)) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    return [padded[start : start + WINDOW + CONTEXT] for start in range(0, len(audio) - WINDOW + 1, WINDOW)]


def stream(windows: list[Array], step: Step) -> tuple[Array, list[dict[str, Array]]]:
    """The probability of each frame, the state carried over, and what each step was fed."""
    state, probabilities, feeds = np.zeros((2, 1, 128), np.float32), [], []
    for window in windows:
        feeds.append({"input": window[None], "state": state, "sr": np.array(RATE)})
        outputs = step(feeds[-1])
        state = outputs["stateN"]
        probabilities.append(float(outputs["output"].reshape(-1)[0]))
    return np.asarray(probabilities), feeds


def kept_float(model: weft.Model) -> list[str]:
    """The nodes that 8 bits are too few for, on the host.

    Quiet speech is below one step of a loud recording's scale, so the spectrum and the first layer on it stay float,
    and so does what the LSTM adds to its state, frame after frame.
    """
    nodes = normalize(model, SHAPES).proto.graph.node
    front = [node.name for node in nodes if "/stft/" in node.name or "/encoder/0/" in node.name]
    state = [node.name for node in nodes if "/rnn/LSTM_" in node.name and node.op_type != "MatMul"]
    ends = [node.name for node in nodes if "/decoder/decoder/" in node.name or node.name == "/Add"]
    return [*front, *state, *ends]


def compare(model_path: Path, wav: Path, device: str = "sim") -> Agreement:
    """Streams the whole file through both; every fourth frame of the float model calibrates."""
    model = weft.load(model_path)
    float_session = reference_session(model)
    names = ["output", "stateN"]
    windows = frames(wav)
    expected, feeds = stream(
        windows, lambda feed: dict(zip(names, float_session.run(names, dict(feed)), strict=True))
    )  # fmt: skip
    quantized = weft.quantize(model, feeds[::4], exclude=kept_float(model), shapes=SHAPES)
    program = weft.compile(quantized)
    with weft.Session(program, device=device) as session:
        found, _ = stream(windows, session.run)
    return Agreement(expected, found, program.executable.offloaded_macs)


def main() -> None:
    """Prints how many frames agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("wav", type=Path)
    arguments = parser.parse_args()
    agreement = compare(arguments.model, arguments.wav)
    speaking = int(np.sum(agreement.found > THRESHOLD))
    print(
        f"{len(agreement.found)} frames, {speaking} with speech; {agreement.share:.2%} decided as in float; "
        f"{agreement.offloaded:,} multiply-accumulates per frame on the accelerator"
    )


if __name__ == "__main__":
    main()
