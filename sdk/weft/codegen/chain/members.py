"""Which operators a chain can have, and which rows of their inputs they read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.codegen.context import Context
from weft.codegen.convolution_plan import gathers_windows
from weft.codegen.elementwise import pair_constants
from weft.codegen.exact import dequantized, reciprocal_for_values
from weft.codegen.joins import joined_parts
from weft.ir.operators import AveragePool, Convolution, Elementwise, MaxPool, Movement, Operator, SumOrder, Tensor
from weft.schedule.convolution import ConvolutionMode

__all__ = ["Axis", "Member", "Read", "blocks_of", "member_of"]


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


@dataclass(frozen=True)
class Member:
    """An operator with what a chain needs to know about it. `refusal`: why it cannot be in one, empty if it can; the
    rest is empty then. `mode` is None for operators without products. `reads`: the inputs that it reads in the
    scratchpad; gathered windows are not among them. `parts`: of a concatenation that moves nothing. `reduces`: input
    blocks that an output block adds up; `weight_bytes`: those of an output block."""

    operator: Operator
    refusal: str
    mode: ConvolutionMode | None = None
    reads: tuple[Read, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()
    blocks: int = 0
    reduces: int = 0
    weight_bytes: int = 0

    @property
    def name(self) -> str:
        """The ONNX node."""
        return self.operator.name

    @property
    def output(self) -> Tensor:
        """What it makes."""
        return self.operator.output

    @property
    def gathers(self) -> bool:
        """Whether its input comes as windows from the host-padded image."""
        return self.mode == ConvolutionMode.IM2COL


def blocks_of(tensor: Tensor, lanes: int) -> int:
    """Channel blocks."""
    return -(-tensor.view[1] // lanes)


def member_of(operator: Operator, context: Context) -> Member:
    """The operator as a member of chains, or with the reason why it cannot be one."""
    refusal = _refuse_storage(operator, context)
    if refusal:
        return Member(operator, refusal)
    blocks = blocks_of(operator.output, context.lanes)
    if isinstance(operator, Convolution):
        mode = _mode(operator, context)
        reduces, weight_bytes = _reduction(operator, mode, context.lanes)
        refusal = _refuse_convolution(operator, mode)
        return Member(operator, refusal, mode, _reads(operator, mode), (), blocks, reduces, weight_bytes)
    parts = joined_parts(operator, context.lanes)
    return Member(operator, _refuse_passes(operator, parts), None, _reads(operator, None), parts, blocks)


def _reduction(operator: Convolution, mode: ConvolutionMode, lanes: int) -> tuple[int, int]:
    """Blocks (vectors of a gathered window) that an output block adds up, and bytes of its weights."""
    _, channels, kernel_rows, kernel_columns = (int(extent) for extent in operator.weights.shape)
    taps = kernel_rows * kernel_columns
    if mode == ConvolutionMode.DEPTHWISE:
        return 1, taps * lanes
    if mode == ConvolutionMode.IM2COL:
        vectors = -(-taps * channels // lanes)
        return vectors, vectors * lanes * lanes
    blocks = blocks_of(operator.inputs[0], lanes)
    return blocks, blocks * taps * lanes * lanes


def _mode(operator: Convolution, context: Context) -> ConvolutionMode:
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


def _reads(operator: Operator, mode: ConvolutionMode | None) -> tuple[Read, ...]:
    match operator:
        case Convolution():
            if mode == ConvolutionMode.IM2COL:
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


def _refuse_storage(operator: Operator, context: Context) -> str:
    tensors = (*operator.inputs, operator.output)
    if any(tensor.view[0] != 1 for tensor in tensors):
        return "more than one image"
    stored = [(context.storage[each.name], each) for each in tensors if each.name in context.storage]
    if any(storage.layout.view != tensor.view for storage, tensor in stored):
        return "a tensor is stored under another shape"
    if any(storage.layout.block != context.lanes for storage, _ in stored):
        return "a tensor is not stored in channel blocks"
    return ""


def _refuse_passes(operator: Operator, parts: tuple[tuple[str, int], ...]) -> str:
    match operator:
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
            return "" if parts else "a movement that is no concatenation of whole blocks"
    return f"{type(operator).__name__} is not a member of chains"


def _refuse_convolution(operator: Convolution, mode: ConvolutionMode) -> str:
    if mode == ConvolutionMode.GROUPED:
        return "a grouped convolution"
    if math.prod(operator.output.view[2:]) == 1:
        return "a product with one vector"
    if operator.weights.shape[1] * operator.group != operator.inputs[0].view[1]:
        return "a product over a flattened tensor"
    return ""


def _refuse_elementwise(operator: Elementwise) -> str:
    if operator.constant is not None or operator.per_channel:
        return "an operand that repeats or is constant"
    return "" if pair_constants(operator) is not None else "its requantization divides"
