"""Types of values in control flow."""

from __future__ import annotations

import onnx
from onnx import helper

__all__ = ["Refused", "generalized", "is_static", "scalar_type", "sequence_of", "slice_shape", "tensor_type"]


class Refused(Exception):
    """Why an If, Loop or Scan stays whole, for the host."""


def tensor_type(element_type: int, shape: tuple[int | None, ...]) -> onnx.TypeProto:
    """A dense tensor; None for an extent that is not known."""
    return helper.make_tensor_type_proto(element_type, list(shape))


def scalar_type(element_type: int, rank: int) -> onnx.TypeProto:
    """One element with `rank` axes."""
    return tensor_type(element_type, (1,) * rank)


def is_static(kind: onnx.TypeProto) -> bool:
    """Whether it is a tensor whose every extent is a number."""
    tensor = kind.tensor_type
    return (
        kind.WhichOneof("value") == "tensor_type"
        and tensor.HasField("shape")
        and all(extent.HasField("dim_value") for extent in tensor.shape.dim)
    )


def slice_shape(kind: onnx.TypeProto) -> tuple[int | None, ...]:
    """The extents, None where unknown. Raises Refused where the rank is unknown."""
    if not kind.tensor_type.HasField("shape"):
        raise Refused("the rank of a value that it collects is not known")
    return tuple(extent.dim_value if extent.HasField("dim_value") else None for extent in kind.tensor_type.shape.dim)


def sequence_of(kind: onnx.TypeProto, count: int | None) -> onnx.TypeProto:
    """The type of so many slices of this type (None: not known) along a new leading axis."""
    return tensor_type(kind.tensor_type.elem_type, (count, *slice_shape(kind)))


def generalized(first: onnx.TypeProto, second: onnx.TypeProto) -> onnx.TypeProto:
    """The narrowest type that holds values of both. Raises Refused where their element types differ or one is no
    tensor."""
    if first.WhichOneof("value") != "tensor_type" or second.WhichOneof("value") != "tensor_type":
        raise Refused("a value that it returns is no tensor")
    element = first.tensor_type.elem_type
    if not element or element != second.tensor_type.elem_type:
        raise Refused("a value that it returns has different or unknown element types")
    result = onnx.TypeProto()
    result.tensor_type.elem_type = element
    if first.tensor_type.HasField("shape") and second.tensor_type.HasField("shape"):
        ours, theirs = slice_shape(first), slice_shape(second)
        if len(ours) == len(theirs):
            extents = tuple(a if a == b else None for a, b in zip(ours, theirs, strict=True))
            return tensor_type(element, extents)
    return result
