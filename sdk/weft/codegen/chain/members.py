"""Which operators a chain can have, and which rows of their inputs they read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.codegen.context import Context
from weft.codegen.convolution_plan import gathers_windows
from weft.codegen.exact import dequantized, reciprocal_for_pairs, reciprocal_for_values
from weft.codegen.joins import joined_parts
from weft.ir.operators import AveragePool, Convolution, Elementwise, MaxPool, Movement, Operator, SumOrder, Tensor
from weft.schedule.convolution import ConvolutionMode
from weft_sim.isa import DEPTHWISE_ROWS

__all__ = ["Axis", "Read", "blocks_of", "convolution_mode", "reads", "refuse"]


@dataclass(frozen=True)
class Axis:
    """How outputs along rows or columns read an input: windows of `kernel` taps, `pad` in front of the tensor."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The inputs that outputs start … stop − 1 read; below 0 and behind the end lies the border."""
        first = start * self.stride - self.pad
        return first, first + (stop - 1 - start) * self.stride + (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True)
class Read:
    """One input of a member: `border` is the byte that padding holds."""

    tensor: Tensor
    rows: Axis
    columns: Axis
    border: int


def blocks_of(tensor: Tensor, lanes: int) -> int:
    """Channel blocks."""
    return -(-tensor.view[1] // lanes)


def convolution_mode(operator: Convolution, context: Context) -> ConvolutionMode:
    """IM2COL where the host padded the input for gathering, DEPTHWISE for the MXU's window mode, DENSE without groups,
    else GROUPED."""
    outputs, per_group, _, kernel_columns = operator.weights.shape
    name = operator.inputs[0].name
    if operator.group == 1:
        gathers = name in context.raw_inputs and gathers_windows(operator, context.config)
        return ConvolutionMode.IM2COL if gathers else ConvolutionMode.DENSE
    plain = outputs == operator.group == operator.inputs[0].view[1] and per_group == 1
    windows = plain and operator.dilations == (1, 1) and all(stride in (1, 2, 4) for stride in operator.strides)
    fits = kernel_columns <= min(context.lanes, context.config.line_depth)
    return ConvolutionMode.DEPTHWISE if windows and fits else ConvolutionMode.GROUPED


def reads(operator: Operator, context: Context) -> tuple[Read, ...]:
    """The inputs that a member reads in the scratchpad; gathered windows are not among them."""
    match operator:
        case Convolution():
            if convolution_mode(operator, context) == ConvolutionMode.IM2COL:
                return ()
            x = operator.inputs[0]
            axes = [
                Axis(int(operator.weights.shape[2 + i]), operator.strides[i], operator.dilations[i], operator.pads[i])
                for i in range(2)
            ]
            return (Read(x, axes[0], axes[1], x.zero_byte),)
        case MaxPool():
            axes = [
                Axis(operator.kernel[i], operator.strides[i], operator.dilations[i], operator.pads[i]) for i in range(2)
            ]
            return (Read(operator.inputs[0], axes[0], axes[1], operator.inputs[0].limits[0] & 0xFF),)
        case AveragePool():
            axes = [Axis(operator.kernel[i], operator.strides[i], 1, operator.pads[i]) for i in range(2)]
            return (Read(operator.inputs[0], axes[0], axes[1], operator.inputs[0].zero_byte),)
        case _:
            return tuple(Read(tensor, Axis(), Axis(), tensor.zero_byte) for tensor in operator.inputs)


def refuse(operator: Operator, context: Context) -> str:
    """Why the operator cannot be a member of a chain; empty if it can."""
    tensors = (*operator.inputs, operator.output)
    if any(tensor.view[0] != 1 for tensor in tensors):
        return "more than one image"
    stored = [context.storage[tensor.name] for tensor in tensors if tensor.name in context.storage]
    views = {tensor.name: tensor.view for tensor in tensors}
    if any(context.storage[name].layout.view != view for name, view in views.items() if name in context.storage):
        return "a tensor is stored under another shape"
    if any(storage.layout.block != context.lanes for storage in stored):
        return "a tensor is not stored in channel blocks"
    match operator:
        case Convolution():
            return _refuse_convolution(operator, context)
        case Elementwise():
            return _refuse_elementwise(operator)
        case MaxPool():
            values = dequantized(operator.inputs[0])
            exact = reciprocal_for_values(values, operator.output, operator.low, operator.high) is not None
            return "" if exact else "its requantization divides"
        case AveragePool():
            view = operator.inputs[0].view
            whole = operator.kernel == view[2:] and not any(operator.pads) and operator.order == SumOrder.PARTIAL
            return "" if whole else "an average of part of the tensor"
        case Movement():
            return (
                "" if joined_parts(operator, context.lanes) else "a movement that is no concatenation of whole blocks"
            )
    return f"{type(operator).__name__} is not a member of chains"


def _refuse_convolution(operator: Convolution, context: Context) -> str:
    mode = convolution_mode(operator, context)
    if mode == ConvolutionMode.GROUPED:
        return "a grouped convolution"
    if math.prod(operator.output.view[2:]) == 1:
        return "a product with one vector"
    if operator.weights.shape[1] * operator.group != operator.inputs[0].view[1]:
        return "a product over a flattened tensor"
    kernel_rows, kernel_columns = operator.weights.shape[2:]
    held = min(kernel_rows, DEPTHWISE_ROWS, context.lanes // kernel_columns) if mode == ConvolutionMode.DEPTHWISE else 1
    return "" if held else "its windows are too wide"


def _refuse_elementwise(operator: Elementwise) -> str:
    if operator.constant is not None or operator.per_channel:
        return "an operand that repeats or is constant"
    a, b = operator.inputs[0], operator.second
    exact = reciprocal_for_pairs(operator.kind, a, b, operator.output, operator.low, operator.high)
    return "" if exact is not None else "its requantization divides"
