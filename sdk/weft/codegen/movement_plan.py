"""Which bytes of which input become which bytes of the output of a Movement, both sides in their DRAM layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.codegen.nests import Nest, Step, factor
from weft.ir.operators import Movement
from weft_runtime.executable import Layout

__all__ = ["Copy", "copies", "element_addresses", "sources_of_bytes"]

Index = npt.NDArray[np.int64]
INPUT_SHIFT = 40
NOTHING = -1000
"""Marks bytes of the output that hold no element: what they get does not matter."""


@dataclass(frozen=True)
class Copy:
    """One nest from input number `input`, or, where that is None, of the constant byte `fill`."""

    input: int | None
    fill: int
    nest: Nest


def element_addresses(layout: Layout) -> Index:
    """The byte of each element (row-major in the view) in a borderless blocked layout: int64 [elements]."""
    n, c, h, w = layout.view
    channels = np.arange(c, dtype=np.int64)
    lane = channels // layout.block * (h * w * layout.block) + channels % layout.block
    plane = np.arange(h * w, dtype=np.int64) * layout.block
    image = np.arange(n, dtype=np.int64) * (layout.channel_blocks * h * w * layout.block)
    return (image[:, None, None] + lane[:, None] + plane).reshape(-1)


def sources_of_bytes(operator: Movement, inputs: Sequence[Layout], output: Layout) -> Index:
    """For each byte of the output: input number << 40 | byte of that input, −1 − byte for constants, or NOTHING.

    Lanes that hold no element continue what the lanes before them copy, so that vectors are copied as a whole.
    """
    numbers = [element_addresses(layout) + (i << INPUT_SHIFT) for i, layout in enumerate(inputs)]
    joined = np.concatenate([*numbers, np.zeros(1, np.int64)])
    codes = np.full(output.nbytes, NOTHING, np.int64)
    index = operator.index
    codes[element_addresses(output)] = np.where(index >= 0, joined[np.maximum(index, 0)], index)
    vectors = codes.reshape(-1, output.block)
    ends = np.array([layout.nbytes + (i << INPUT_SHIFT) for i, layout in enumerate(inputs)], np.int64)
    for lane in range(1, output.block):
        before, here = vectors[:, lane - 1], vectors[:, lane]
        continued = before + 1
        inside = (before >= 0) & ~np.isin(continued, ends)
        widened = np.where(inside, continued, np.where(before > NOTHING, before, NOTHING))
        vectors[:, lane] = np.where(here == NOTHING, np.where((before >= 0) & ~inside, NOTHING, widened), here)
    return codes


def _constant(nest: Nest) -> Nest:
    return Nest(nest.target, 0, nest.run, tuple(Step(loop.count, loop.target, 0) for loop in nest.loops))


def copies(codes: Index, selected: npt.NDArray[np.bool_], inputs: int, lanes: int) -> list[Copy] | None:
    """The selected bytes as nests, input by input, then the constants; None if there is no regularity in them."""
    found: list[Copy] = []
    for number in range(inputs):
        mine = np.flatnonzero(selected & (codes >= 0) & (codes >> INPUT_SHIFT == number))
        nests = factor(mine, codes[mine] & ((1 << INPUT_SHIFT) - 1), lanes)
        if nests is None:
            return None
        found += [Copy(number, 0, nest) for nest in nests]
    for code in np.unique(codes[selected & (codes < 0) & (codes > NOTHING)]).tolist():
        mine = np.flatnonzero(selected & (codes == code))
        nests = factor(mine, mine, lanes)
        if nests is None:
            return None
        found += [Copy(None, -1 - code, _constant(nest)) for nest in nests]
    return found
