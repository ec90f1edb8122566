"""An accelerator whose decisions the host takes."""

from __future__ import annotations

from weft.backends.npu import NpuAccelerator
from weft.ir.device_control import JoinRequest, Unjoinable
from weft_runtime.executable import Region


class Follower(NpuAccelerator):
    """An accelerator that takes no decisions, as most: the host decides, launching every region by itself."""

    decides = False

    def join(self, request: JoinRequest) -> Region:
        raise Unjoinable("this accelerator takes no decisions")
