"""Bounds-checked readers over untrusted JSON: every value's type and range is checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from weft_runtime.errors import ArtifactError

__all__ = ["MAX_COUNT", "MAX_TEXT", "Fields", "parse_object"]

MAX_TEXT = 1 << 16
"""Longest accepted string, in characters."""

MAX_COUNT = 1 << 22
"""Longest accepted list."""

Value = TypeVar("Value")


def parse_object(data: bytes, where: str) -> Fields:
    """Parse a JSON object. Raises ArtifactError for malformed text, duplicate keys, NaN or too deep
    nesting."""
    try:
        values = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} is not valid JSON: {error}") from error
    return Fields(values, where)


class Fields:
    """One JSON object whose members are read exactly once each; `finish` refuses members that nobody read."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ArtifactError(f"{where} must be an object, not {_kind(values)}")
        self._values: dict[str, Any] = dict(values)
        self._where = where

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return _whole(self._take(name), low, high, f"{self._where}.{name}")

    def text(self, name: str) -> str:
        """A string of at most MAX_TEXT characters."""
        return _text(self._take(name), f"{self._where}.{name}")

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed strings."""
        value = self.text(name)
        if value not in allowed:
            raise ArtifactError(f"{self._where}.{name} is {value!r}, which is none of {', '.join(allowed)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        return self._items(name, _text)

    def wholes(self, name: str, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers from `low` to `high`."""
        return self._items(name, lambda value, where: _whole(value, low, high, where))

    def dimensions(self, name: str, high: int) -> tuple[int | str, ...]:
        """A list of extents 0..high, or symbolic ones as strings."""

        def dimension(value: Any, where: str) -> int | str:
            return _text(value, where) if isinstance(value, str) else _whole(value, 0, high, where)

        return self._items(name, dimension)

    def objects(self, name: str, read: Callable[[Fields], Value]) -> tuple[Value, ...]:
        """A list of objects, each read by `read`, which must take every member."""

        def one(value: Any, where: str) -> Value:
            fields = Fields(value, where)
            result = read(fields)
            fields.finish()
            return result

        return self._items(name, one)

    def object(self, name: str, read: Callable[[Fields], Value]) -> Value:
        """A nested object, read by `read`, which must take every member."""
        fields = Fields(self._take(name), f"{self._where}.{name}")
        result = read(fields)
        fields.finish()
        return result

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A nested object as it stands, for a reader that checks it itself."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise ArtifactError(f"{self._where}.{name} must be an object, not {_kind(value)}")
        return value

    def __contains__(self, name: str) -> bool:
        """Whether a member is there and not read yet, for the few that may be absent."""
        return name in self._values

    def finish(self) -> None:
        """Raises ArtifactError if a member is left that was not read."""
        if self._values:
            raise ArtifactError(f"{self._where} has an unknown member {next(iter(self._values))[:80]!r}")

    def fail(self, name: str, reason: str) -> NoReturn:
        """Raises ArtifactError about one member."""
        raise ArtifactError(f"{self._where}.{name} {reason}")

    def _take(self, name: str) -> Any:
        if name not in self._values:
            raise ArtifactError(f"{self._where} lacks the member {name!r}")
        return self._values.pop(name)

    def _items(self, name: str, read: Callable[[Any, str], Value]) -> tuple[Value, ...]:
        values = self._take(name)
        where = f"{self._where}.{name}"
        if not isinstance(values, list):
            raise ArtifactError(f"{where} must be a list, not {_kind(values)}")
        if len(values) > MAX_COUNT:
            raise ArtifactError(f"{where} has {len(values)} entries, more than the {MAX_COUNT} allowed")
        return tuple(read(value, f"{where}[{position}]") for position, value in enumerate(values))


def _whole(value: Any, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArtifactError(f"{where} must be a whole number, not {_kind(value)}")
    if not low <= value <= high:
        shown = str(value) if abs(value) < 1 << 64 else "a huge number"
        raise ArtifactError(f"{where} is {shown}, outside {low} to {high}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ArtifactError(f"{where} must be a string, not {_kind(value)}")
    if len(value) > MAX_TEXT:
        raise ArtifactError(f"{where} is a string of {len(value)} characters, more than the {MAX_TEXT} allowed")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object has the same member twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
