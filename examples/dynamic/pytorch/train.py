"""Trains the suite's networks: python examples/dynamic/pytorch/train.py [NAME…]

Writes ../trained/NAME.onnx, the model that weft.from_torch makes of the unedited source, NAME.npz, the same weights for
PyTorch, and figures.json, from which README.md is made. Each takes less than a minute of one core, and gives the same
result for the same version of PyTorch on the same processor. With --figures the stored networks are measured anew.
"""

from __future__ import annotations

import argparse
import time

import figures
import numpy as np
import onnx
import torch
from suite import SUITE, TRAINED, Entry
from training import fit, settle, stored_weights


def train(entry: Entry) -> float:
    """Trains and writes a network; gives the seconds of processor time that took."""
    data, began = entry.data(), time.process_time()
    network = entry.build()
    fit(network, data.training, entry.epochs, entry.rate)
    settle(network, data.calibration)
    seconds = time.process_time() - began
    TRAINED.mkdir(exist_ok=True)
    np.savez_compressed(entry.weights, **stored_weights(network))
    onnx.save(entry.converted().proto, entry.model)
    return seconds


def main() -> None:
    """Trains the named networks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITE))
    parser.add_argument("--figures", action="store_true", help="train nothing, measure what is stored")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in SUITE]
    if unknown:
        parser.error(f"unknown network {unknown[0]!r}; known: {', '.join(SUITE)}")
    torch.set_num_threads(1)
    for name in arguments.names or SUITE:
        seconds = None if arguments.figures else train(SUITE[name])
        print(figures.described(figures.update(SUITE[name], seconds)))


if __name__ == "__main__":
    main()
