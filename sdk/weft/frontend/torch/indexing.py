"""Items of tensors and lists at positions that depend on data."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import ModuleList, Sequential

from weft.frontend.torch.choices import Choice
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import is_data
from weft.frontend.torch.recorder import Recorder
from weft.frontend.torch.scalars import Scalar


def get_item(recorder: Recorder, container: Any, key: Any) -> Any:
    """`container[key]`: by an index_select for tensors, by decisions for lists where the key depends on data."""
    if isinstance(container, torch.Tensor):
        return _tensor_item(container, key)
    if not _is_position(key):
        return container[key]
    index = _position(key, len(container))
    if isinstance(container, list | tuple | ModuleList | Sequential):
        items = list(container)
        choice = Choice(recorder, items, index)
        return (
            choice if all(callable(each) and not isinstance(each, torch.Tensor) for each in items) else choice.value()
        )
    raise refuse(
        f"an item of a {type(container).__name__} is chosen by data; only lists, tuples and tensors can be read so"
    )


def set_item(container: Any, key: Any, value: Any) -> None:
    """`container[key] = value`."""
    if not isinstance(container, torch.Tensor):
        if _is_position(key):
            raise refuse(
                f"an item of a {type(container).__name__} is set at a position that depends on data; use a tensor"
            )
        container[key] = value
        return
    if isinstance(value, Scalar):
        value = value.beside([container.dtype])
    parts, places = _parts(container, key)
    if not places:
        container[key] = value
        return
    view, axis, index = _selected_axis(container, parts, places)
    row = view.index_select(axis, index)
    new = value if isinstance(value, torch.Tensor) else torch.full((), value, dtype=container.dtype)
    new = new.unsqueeze(axis) if new.dim() and new.dim() == view.dim() - 1 else new
    view.index_copy_(axis, index, new.to(container.dtype).expand_as(row))


def _tensor_item(tensor: torch.Tensor, key: Any) -> torch.Tensor:
    parts, places = _parts(tensor, key)
    if not places:
        return tensor[key]
    view, axis, index = _selected_axis(tensor, parts, places)
    return view.index_select(axis, index).squeeze(axis)


def _parts(tensor: torch.Tensor, key: Any) -> tuple[list[Any], list[int]]:
    """The key's parts, and which of them are single positions that depend on data."""
    parts = list(key) if isinstance(key, tuple) else [key]
    for part in parts:
        if isinstance(part, slice) and any(is_data(bound) for bound in (part.start, part.stop, part.step)):
            raise refuse(
                "a slice's bounds depend on data, so its shape would; an accelerator's tensors have fixed shapes"
            )
    return parts, [place for place, part in enumerate(parts) if _is_position(part)]


def _selected_axis(tensor: torch.Tensor, parts: list[Any], places: list[int]) -> tuple[torch.Tensor, int, torch.Tensor]:
    """The tensor indexed by the known parts; the axis and the position that depend on data."""
    if len(places) > 1:
        raise refuse("two positions of one index depend on data; take one item after the other")
    place = places[0]
    if any(isinstance(part, torch.Tensor | list) for number, part in enumerate(parts) if number != place):
        raise refuse(
            "an index mixes a position that depends on data with a list of positions; take one item after the other"
        )
    rest = [slice(None) if number == place else part for number, part in enumerate(parts)]
    behind = [part for part in rest[place + 1 :] if part is not None and part is not Ellipsis]
    if Ellipsis in rest[:place]:
        source = tensor.dim() - len(behind) - 1
        kept_behind = sum(not isinstance(part, int) for part in rest[place + 1 :])
        view = tensor[tuple(rest)]
        axis = view.dim() - kept_behind - 1
    else:
        source = sum(part is not None for part in rest[:place])
        view = tensor[tuple(rest)]
        axis = sum(not isinstance(part, int) for part in rest[:place])
    return view, axis, _position(parts[place], tensor.shape[source]).reshape(1)


def _is_position(part: Any) -> bool:
    if isinstance(part, Scalar):
        return part.kind is not bool
    return isinstance(part, torch.Tensor) and part.dim() == 0 and part.dtype is not torch.bool


def _position(key: Any, extent: int) -> torch.Tensor:
    index = (key.tensor if isinstance(key, Scalar) else key).to(torch.int64)
    return torch.where(index < 0, index + extent, index)
