"""Which mechanisms of the scheduler are on: all of them, but for measuring what each is worth."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ScheduleOptions"]


@dataclass(frozen=True)
class ScheduleOptions:
    """`fusion`: epilogues are part of the convolution in front. `hiding`: loads and products of several tiles overlap;
    without it, a tile begins when the one before is stored. `side_by_side`: row operators (softmax, layer
    normalization) run in one half of the memories beside products in the other. `chains`: tensors between neighbouring
    operators stay in the scratchpad."""

    fusion: bool = True
    hiding: bool = True
    side_by_side: bool = True
    chains: bool = True
