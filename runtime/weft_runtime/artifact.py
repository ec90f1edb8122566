"""The `.weft` file: one executable, or several variants of a model, with a checksum over every byte.

Header (64 bytes): magic (8) | format version, u32 | zero, u32 | manifest size, u64 | file size, u64 | SHA-256
of the manifest (32). Then the manifest (JSON, see `manifest.py`, plus `sections`: name, offset, size,
sha256), then the sections back to back up to the end of the file. Sections of equal content (the weights that
variants of a model share) lie there once: their rows name the same bytes. Numbers are little-endian. Nothing
in the file is executed or unpickled, and no byte of it is outside a check, so that any damaged byte is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from weft_runtime.errors import ArtifactError, BackendError, ExecutableError
from weft_runtime.executable import Executable, Processor
from weft_runtime.fields import Fields, parse_object
from weft_runtime.manifest import describe, restore
from weft_runtime.validate import validate
from weft_runtime.variants import Variants

__all__ = ["FORMAT_VERSION", "MAGIC", "is_artifact", "load", "load_variants", "save"]

MAGIC = b"\x89WEFT\r\n\x1a"
FORMAT_VERSION = 6
MAX_FILE_BYTES = 1 << 32
MAX_MANIFEST_BYTES = 1 << 28

_HEADER = struct.Struct("<8sIIQQ32s")


def save(executable: Executable | Sequence[Executable], path: str | os.PathLike[str]) -> None:
    """Write the artifact of an executable, or of all variants of a model, atomically: a reader sees the old file or
    the whole new one. Equal executables give equal files. Raises ExecutableError if an executable is inconsistent or
    the variants do not belong together, ArtifactError if the file cannot be written."""
    variants = Variants((executable,) if isinstance(executable, Executable) else tuple(executable)).executables
    for each in variants:
        validate(each)
    data = _encode(variants)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactError(f"{target}: cannot write the artifact: {error.strerror or error}") from error


def load(path: str | os.PathLike[str], processors: Sequence[Processor] = ()) -> Executable:
    """Read and check an artifact; with `processors`, it must have been compiled for exactly these. Of several variants
    the first is the answer.

    Raises ArtifactError, naming the file and the reason, for anything that `save` would not have written.
    """
    return load_variants(path, processors)[0]


def load_variants(path: str | os.PathLike[str], processors: Sequence[Processor] = ()) -> tuple[Executable, ...]:
    """Every executable in an artifact, one or several variants of a model; otherwise as `load`."""
    data = _read(Path(path))
    try:
        variants = Variants(_decode(data)).executables
        for each in variants:
            validate(each)
    except (ArtifactError, BackendError, ExecutableError) as error:
        raise ArtifactError(f"{path}: {error}") from error
    executable = variants[0]
    if processors and [each.identity for each in processors] != [each.identity for each in executable.processors]:
        raise ArtifactError(
            f"{path}: compiled for {_named(executable.processors)}, not for {_named(processors)}; "
            "compile the model again for that target"
        )
    return variants


def _named(processors: Sequence[Processor]) -> str:
    return ", ".join(f"{each.name!r} ({each.identity[:12]})" for each in processors)


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether the file starts as an artifact does (it may still be damaged). False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _encode(variants: Sequence[Executable]) -> bytes:
    manifest, sections = describe(variants)
    table = []
    stored: dict[str, tuple[int, bytes]] = {}  # by checksum
    offset = 0  # from the end of the manifest, whose own length depends on the digits of these numbers
    for name, content in sections.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest not in stored:
            stored[digest] = (offset, content)
            offset += len(content)
        table.append({"name": name, "offset": stored[digest][0], "size": len(content), "sha256": digest})
    manifest["sections"] = table
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    size = _HEADER.size + len(text) + offset
    if len(text) > MAX_MANIFEST_BYTES or size > MAX_FILE_BYTES:
        raise ArtifactError(f"the artifact would have {size} bytes, more than the format allows")
    header = _HEADER.pack(MAGIC, FORMAT_VERSION, 0, len(text), size, hashlib.sha256(text).digest())
    return b"".join((header, text, *(content for _, content in stored.values())))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactError(f"{path}: not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise ArtifactError(f"{path}: {status.st_size} bytes, more than the {MAX_FILE_BYTES} of any artifact")
            return file.read(status.st_size)  # a larger bound would be allocated whole
    except OSError as error:
        raise ArtifactError(f"{path}: cannot read the artifact: {error.strerror or error}") from error


def _decode(data: bytes) -> tuple[Executable, ...]:
    if not data.startswith(MAGIC):
        raise ArtifactError("not a Weft artifact (or damaged in its first bytes)")
    if len(data) < _HEADER.size:
        raise ArtifactError(f"truncated: {len(data)} bytes are less than a header")
    _, version, reserved, manifest_size, file_size, digest = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise ArtifactError(f"format version {version}; this build reads {FORMAT_VERSION}: compile the model again")
    if reserved:
        raise ArtifactError("damaged: a reserved header field is not zero")
    if file_size != len(data):
        raise ArtifactError(f"damaged or truncated: {len(data)} bytes, but the header says {file_size}")
    if manifest_size > min(MAX_MANIFEST_BYTES, len(data) - _HEADER.size):
        raise ArtifactError(f"damaged: a manifest of {manifest_size} bytes does not fit in the file")
    start = _HEADER.size + manifest_size
    text = data[_HEADER.size : start]
    if hashlib.sha256(text).digest() != digest:
        raise ArtifactError("damaged: the manifest does not match its checksum")
    fields = parse_object(text, "manifest")
    return restore(fields, _sections(fields, memoryview(data)[start:]))


def _sections(fields: Fields, body: memoryview) -> dict[str, bytes]:
    """The sections by name; they must tile the body exactly, in the order of the table, but for those that are
    equal to an earlier one in everything but the name."""
    table = fields.objects(
        "sections",
        lambda each: (
            each.text("name"),
            each.whole("offset", 0, MAX_FILE_BYTES),
            each.whole("size", 0, MAX_FILE_BYTES),
            each.text("sha256"),
        ),
    )
    sections: dict[str, bytes] = {}
    stored: dict[tuple[int, int, str], bytes] = {}
    cursor = 0
    for name, offset, size, digest in table:
        if name in sections:
            raise ArtifactError(f"section {name[:80]!r} is there twice")
        if (offset, size, digest) in stored:
            sections[name] = stored[offset, size, digest]
            continue
        if offset != cursor:
            raise ArtifactError(
                f"section {name[:80]!r} at offset {offset} overlaps or leaves a gap ({cursor} expected)"
            )
        if offset + size > len(body):
            raise ArtifactError(f"section {name[:80]!r} of {size} bytes reaches outside the file")
        content = bytes(body[offset : offset + size])
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactError(f"damaged: section {name[:80]!r} does not match its checksum")
        sections[name] = stored[offset, size, digest] = content
        cursor += size
    if cursor != len(body):
        raise ArtifactError(f"{len(body) - cursor} bytes after the last section belong to nothing")
    return sections
