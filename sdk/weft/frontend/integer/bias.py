"""int32 biases: constants whose scale is the product of the input's and the weights'."""

from __future__ import annotations

import numpy as np

from weft.frontend.graph import Graph
from weft.frontend.integer.quantization import Quantization, Stored, stored

# A bias scale that was computed in another order or precision differs by a few ulp; one that was chosen
# freely does not.
SCALE_TOLERANCE = 1e-5


def matching_bias(graph: Graph, name: str, channels: int, x: Quantization, w: Quantization) -> Stored | None:
    """The constant int32 [..., channels] tensor behind `name`, or None where it is no bias that an integer
    operator can add to its accumulator: not int32, not constant, a zero point, or a scale other than sx * sw
    per channel."""
    bias = stored(graph, name)
    if bias is None or bias.quantization.dtype != np.int32 or np.any(bias.quantization.zero_point):
        return None
    values = graph.constant(bias.name)
    if values is None or values.size != channels or values.shape[-1:] != (channels,):
        return None
    if not bias.quantization.per_channel_on(values.ndim - 1, values.ndim):
        return None
    wanted = np.broadcast_to(np.float32(x.scale) * w.scale.astype(np.float32), (channels,))
    scale = np.broadcast_to(bias.quantization.scale, (channels,))
    return bias if np.allclose(scale, wanted, rtol=SCALE_TOLERANCE, atol=0.0) else None
