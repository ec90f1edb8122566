"""Damage for files: bytes, protobuf fields, and artifacts whose checksums are made right again."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from weft_runtime.artifact import FORMAT_VERSION, MAGIC

NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 2**31 - 1, -(2**31), 2**31, 2**40, 2**60, 2**63 - 1, -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "x",
    "y",
    "Loop",
    "If",
    "QLinearConv",
    "Slice",
    "Reshape",
    "ai.onnx.ml",
    "a\nb\x1b[31m",
    "../../etc",
    "w" * 4000,
)
HEADER = struct.Struct("<8sIIQQ32s")


def damage_bytes(data: bytes, chance: random.Random) -> bytes:
    """One to four of: a byte changed, a run removed, repeated or overwritten, the end cut off."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        length = chance.choice((1, 1, 2, 4, 8, 64, 1024))
        match chance.randrange(5):
            case 0:
                content[start : start + 1] = bytes([chance.randrange(256)])
            case 1:
                del content[start : start + length]
            case 2:
                content[start:start] = content[start : start + length]
            case 3:
                content[start : start + length] = chance.randbytes(length)
            case _ if chance.random() < 0.2:
                del content[start:]
    return bytes(content)


def damage_model(data: bytes, chance: random.Random) -> bytes:
    """One to four fields of an ONNX model changed; the file stays a protobuf."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        return damage_bytes(data, chance)
    for _ in range(chance.randint(1, 4)):
        _damage_message(proto, chance)
    return proto.SerializeToString()


def _damage_message(message: Message, chance: random.Random) -> None:
    """Walks down to a random message and changes a field of it."""
    while True:
        present = message.ListFields()
        inner = [(field, value) for field, value in present if field.type == FieldDescriptor.TYPE_MESSAGE]
        if not inner or chance.random() < 0.15:
            break
        _, value = chance.choice(inner)
        if not _repeated(value):
            message = value
            continue
        if chance.random() < 0.15:
            _damage_list(value, chance)
            return
        message = chance.choice(value)
    fields = message.DESCRIPTOR.fields if chance.random() < 0.1 else [field for field, _ in message.ListFields()]
    if fields:
        _damage_field(message, chance.choice(list(fields)), chance)


def _damage_field(message: Message, field: FieldDescriptor, chance: random.Random) -> None:
    if chance.random() < 0.15:
        message.ClearField(field.name)
        return
    value = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if _repeated(value):
            _damage_list(value, chance)
        else:
            value.SetInParent()
        return
    if not _repeated(value):
        setattr(message, field.name, _scalar(value, field, chance))
    elif len(value) and chance.random() < 0.7:
        index = chance.randrange(len(value))
        value[index] = _scalar(value[index], field, chance)
    else:
        value.append(_scalar(value[0] if len(value) else _blank(field), field, chance))


def _damage_list(values: Any, chance: random.Random) -> None:
    if not len(values):
        values.add()
        return
    match chance.randrange(3):
        case 0:
            del values[chance.randrange(len(values))]
        case 1:
            values.add().CopyFrom(chance.choice(values))
        case _:
            values[chance.randrange(len(values))].CopyFrom(chance.choice(values))


def _repeated(value: Any) -> bool:
    return hasattr(value, "__len__") and hasattr(value, "append")


def _blank(field: FieldDescriptor) -> Any:
    return (
        {FieldDescriptor.CPPTYPE_STRING: ""}.get(field.cpp_type, 0) if field.type != FieldDescriptor.TYPE_BYTES else b""
    )


def _scalar(value: Any, field: FieldDescriptor, chance: random.Random) -> Any:
    if isinstance(value, bytes):
        return damage_bytes(value, chance)
    if isinstance(value, str):
        return chance.choice(TEXTS)
    if isinstance(value, float):
        return chance.choice(REALS)
    limit = 31 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM) else 63
    number = chance.choice((*NUMBERS, value + 1, value - 1, value ^ (1 << chance.randrange(16))))
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice([each.number for each in field.enum_type.values])  # protobuf takes no other
    low = 0 if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64) else -(1 << limit)
    return max(low, min(number, (1 << limit) - 1))


def damage_artifact(data: bytes, chance: random.Random) -> bytes:
    """A manifest or a section changed behind right checksums, so that the checks after those are reached."""
    size = HEADER.unpack_from(data)[3]
    manifest = json.loads(data[HEADER.size : HEADER.size + size])
    body = data[HEADER.size + size :]
    names = [each["name"] for each in manifest["sections"]]
    contents = {each["name"]: body[each["offset"] : each["offset"] + each["size"]] for each in manifest["sections"]}
    if chance.random() < 0.6:
        name = chance.choice(names)
        damage = damage_model if name.endswith("model") and chance.random() < 0.7 else damage_bytes
        contents[name] = damage(contents[name], chance)
    if chance.random() < 0.6:
        for _ in range(chance.randint(1, 3)):
            _damage_json(manifest, chance)
    return sign(manifest, contents)


def sign(manifest: dict[str, Any], contents: dict[str, bytes]) -> bytes:
    """The artifact's file with sizes and checksums that are right."""
    table, offset = [], 0
    for name, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        table.append({"name": name, "offset": offset, "size": len(content), "sha256": digest})
        offset += len(content)
    text = json.dumps({**manifest, "sections": table}, sort_keys=True, separators=(",", ":")).encode()
    size, digest = HEADER.size + len(text) + offset, hashlib.sha256(text).digest()
    header = HEADER.pack(MAGIC, FORMAT_VERSION, 0, len(text), size, digest)
    return b"".join((header, text, *contents.values()))


def _damage_json(value: Any, chance: random.Random) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.9:
            value = value[key]
            continue
        break
    other = chance.choice(keys)
    value[key] = chance.choice((*NUMBERS, *TEXTS[:6], None, [], {}, True, 1.5, value[other]))
