"""Damaged models, artifacts and inputs through the command line for as long as asked.

    python tests/fuzz/fuzz.py --seconds 600 [--seed 7] [--save FOLDER]

Each file is compiled or run in a child process with limits (`sandbox.py`). A file that crashes it, hangs it, or gets
more than one line of error is saved; the exit status is 1 if there is one.
"""

from __future__ import annotations

import argparse
import random
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from mutations import damage_artifact, damage_bytes, damage_model
from onnx import helper, numpy_helper
from sandbox import call

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
LARGEST_SEED_BYTES = 400_000


@dataclass(frozen=True)
class Finding:
    """A file that is not dealt with cleanly."""

    problem: str
    stderr: str
    file: Path


@dataclass(frozen=True)
class Seeds:
    """Sound files to damage; `inputs` fits the first model."""

    models: tuple[bytes, ...]
    artifacts: tuple[bytes, ...]
    inputs: bytes


def small_model() -> bytes:
    """A quantized network of a convolution, a pooling, a product and a softmax, with a float tail on the host."""
    from weft.frontend import load
    from weft.quantize import quantize, random_calibration

    generator = np.random.default_rng(5)
    constants = {"w": (4, 2, 3, 3), "b": (4,), "m": (16, 3), "k": (3,)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "k"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"]),
        helper.make_node("TopK", ["y", "one"], ["best", "where"]),
    ]
    tensors = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in constants.items()
    ]
    tensors.append(numpy_helper.from_array(np.asarray([1], np.int64), "one"))
    value = helper.make_tensor_value_info
    outputs = [value("best", 1, ["N", 1]), value("where", 7, ["N", 1])]
    graph = helper.make_graph(nodes, "small", [value("x", 1, ["N", 2, 8, 8])], outputs, tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return quantize(proto, random_calibration(load(proto))).proto.SerializeToString()


def seeds(folder: Path) -> Seeds:
    """The generated model, the small ones of ONNX's own suite, and the shared ones where they are."""
    own = small_model()
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    files = sorted(data.glob("simple/*/model.onnx")) + sorted(data.glob("pytorch-*/*/model.onnx"))[::12]
    files += sorted(SHARED.rglob("*.onnx")) if SHARED.is_dir() else []
    small = (file.read_bytes() for file in files if file.stat().st_size <= LARGEST_SEED_BYTES)
    # Weights made by ConstantOfShape are as large as a real model's: such a file is small, running it is not.
    models = [own, *(data for data in small if b"ConstantOfShape" not in data)]
    (folder / "seed.onnx").write_bytes(own)
    for target in ("weft-8", "weft-16"):
        outcome = call(
            ["compile", str(folder / "seed.onnx"), "-o", str(folder / f"{target}.weft"), "-t", target], folder
        )
        if outcome.problem or outcome.stderr:
            raise RuntimeError(f"the sound model does not compile: {outcome}")
    generator = np.random.default_rng(0)
    np.savez(folder / "inputs.npz", x=generator.standard_normal((1, 2, 8, 8)).astype(np.float32))
    artifacts = tuple((folder / f"{target}.weft").read_bytes() for target in ("weft-8", "weft-16"))
    return Seeds(tuple(models), artifacts, (folder / "inputs.npz").read_bytes())


def attempt(found: Seeds, seed: int, folder: Path) -> Finding | None:
    """Damages one file as `seed` says and gives it to the command line."""
    chance = random.Random(seed)
    kind = chance.choice(("onnx", "onnx", "onnx", "weft", "weft", "npz"))
    source = chance.choice({"onnx": found.models, "weft": found.artifacts, "npz": (found.inputs,)}[kind])
    damages: dict[str, list[Callable[[bytes, random.Random], bytes]]] = {
        "onnx": [damage_model, damage_model, damage_bytes], "weft": [damage_artifact, damage_artifact, damage_bytes],
        "npz": [damage_bytes],
    }  # fmt: skip
    file = folder / f"damaged.{kind}"
    file.write_bytes(chance.choice(damages[kind])(source, chance))
    outcome = call(arguments(file, folder), folder)
    return Finding(outcome.problem, outcome.stderr, file) if outcome.problem else None


def arguments(file: Path, folder: Path) -> list[str]:
    """What the command line is asked to do with a file of that kind."""
    if file.suffix == ".npz":
        return ["run", str(folder / "seed.onnx"), "-i", str(file)]
    return ["run", str(file)]


def fuzz(seconds: float, seed: int, save: Path) -> int:
    """Runs for that long; the number of distinct findings."""
    distinct: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="weft-fuzz-") as name:
        folder = Path(name)
        found, start, count = seeds(folder), time.monotonic(), 0
        while time.monotonic() - start < seconds:
            finding = attempt(found, seed + count, folder)
            count += 1
            if finding is None:
                continue
            key = finding.problem + ": " + re.sub(r"'.*?'|\d+", "…", finding.stderr[-300:].replace(name, ""))
            distinct[key] = distinct.get(key, 0) + 1
            if distinct[key] == 1:
                save.mkdir(parents=True, exist_ok=True)
                kept = save / f"{seed + count - 1}{finding.file.suffix}"
                kept.write_bytes(finding.file.read_bytes())
                print(f"{kept}: {finding.problem}: {finding.stderr.strip()[-400:]}", flush=True)
    for key, times in distinct.items():
        print(f"{times} × {key[:200]}")
    print(f"{count} files from seed {seed} in {seconds:.0f} s: {len(distinct)} distinct findings")
    return len(distinct)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--save", type=Path, default=Path("out") / "fuzz")
    options = parser.parse_args()
    seed = secrets.randbelow(2**40) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    return 1 if fuzz(options.seconds, seed, options.save) else 0


if __name__ == "__main__":
    sys.exit(main())
