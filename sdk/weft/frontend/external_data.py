"""Tensor data kept beside the model file: brought in only from inside the model's own folder."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo

from weft.errors import ModelError
from weft.frontend.validate import all_tensors


def bring_in(proto: onnx.ModelProto, folder: Path, name: str) -> None:
    """Replaces every external tensor's reference by its bytes, in place.

    Raises ModelError where a location is absolute, leaves `folder` (symbolic links resolved), does not exist,
    or is shorter than offset and length ask for.
    """
    root = folder.resolve()
    for owner, tensor in all_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            data = _read(tensor, root, f"{name}: {owner}")
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = data


def _read(tensor: onnx.TensorProto, root: Path, where: str) -> bytes:
    try:
        info = ExternalDataInfo(tensor)
        offset, length = int(info.offset or 0), None if info.length is None else int(info.length)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where} has an unreadable external data entry; export the model again") from error
    location = str(info.location or "")
    file = _inside(location, root, where)
    size = file.stat().st_size
    end = size if length is None else offset + length
    if offset < 0 or (length or 0) < 0 or offset > end or end > size:
        raise ModelError(
            f"{where} wants bytes {offset}..{end} of '{location}', which has {size}; the file is truncated"
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(end - offset)


def _inside(location: str, root: Path, where: str) -> Path:
    if not location or "\0" in location or Path(location).is_absolute():
        raise ModelError(
            f"{where} names the external file '{location}'; it must be a relative path in the model's folder"
        )
    file = (root / location).resolve()
    if not file.is_relative_to(root):
        raise ModelError(f"{where} names '{location}', outside the model's folder; move the data beside the model")
    if not file.is_file():
        raise ModelError(f"{where} needs the external file '{location}', which is absent from the model's folder")
    return file
