"""Reading ONNX models from files, bytes and protobufs."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from weft.errors import ModelError
from weft.frontend.external_data import bring_in
from weft.frontend.model import Model
from weft.frontend.session_options import newest_ir_version
from weft.frontend.validate import check_nesting, first_line, validate

# Protobuf cannot serialize more, and every later step serializes.
MAX_MODEL_BYTES = 2**31 - 1


def load(source: str | Path | bytes | onnx.ModelProto | Model) -> Model:
    """Reads and checks an ONNX model: operator sets 1 to the newest that the onnx package knows.

    `source` is a file's path, the file's bytes, or a protobuf (copied). External tensor data are read for
    paths only, and only from inside the file's folder. Node order is repaired; everything else that breaks
    ONNX's rules raises ModelError with one line: what, where, what to do.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, onnx.ModelProto):
        check_nesting(source, source.graph.name or "model")
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        return _checked(proto, None, proto.graph.name or "model")
    if isinstance(source, bytes | bytearray | memoryview):
        proto = _parse(bytes(source), "model bytes")
        return _checked(proto, None, proto.graph.name or "model bytes")
    path = Path(source)
    proto = _parse(_read_file(path), str(path))
    bring_in(proto, path.parent, str(path))
    return _checked(proto, path, path.stem)


def _read_file(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such model file; check the path")
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: larger than 2 GiB, more than the ONNX file format can hold")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {first_line(error)}") from error


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(
            f"{name}: not an ONNX model, or truncated ({len(data)} bytes); export or copy it again"
        ) from error
    return proto


def _checked(proto: onnx.ModelProto, path: Path | None, name: str) -> Model:
    where = str(path) if path is not None else name
    if proto.ByteSize() > MAX_MODEL_BYTES:
        raise ModelError(f"{where}: larger than 2 GiB with its external data, more than ONNX Runtime takes in memory")
    validate(proto, where)
    # What newer file formats add over this one is nothing that computes; the operators' versions stay.
    proto.ir_version = min(proto.ir_version, newest_ir_version())
    model = Model(proto, path, name)
    # Signatures raise for non-tensor inputs and outputs; asking here puts the error where the file is named.
    _ = model.inputs, model.outputs
    return model
