"""The faults: what can be wrong at a place of the source, one token or one update at a time.

A fault of an expression belongs to a region: the smallest part of the zone around it that is an operand by itself
(between brackets, commas, ? and :), so that the whole region can be chosen between its right and its wrong text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mutation.source import Source, Update, Zone

KINDS = (
    "wrong operator",
    "wrong constant",
    "off by one",
    "dropped enable",
    "dropped update",
    "wrong condition",
    "wrong signal",
    "swapped branches",
)
_OPERATORS = {
    "+": ("-",), "-": ("+",), "*": ("+",), "==": ("!=",), "!=": ("==",),
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="),
    "&&": ("||",), "||": ("&&",), "&": ("|",), "|": ("&",), "^": ("|",), "<<": (">>",), ">>": ("<<",), ">>>": (">>",),
}  # fmt: skip
_ENABLE = re.compile(
    r"(enable|valid|write|read|push|pop|take|takes|next|start|clear|arrives|load|swap|book|step|round)_i$"
)
_OPENING, _CLOSING = ("(", "[", "{", "'{"), (")", "]", "}")


@dataclass(frozen=True)
class Fault:
    """`new` in the place of the text from `start` to `end` of a file, inside of the region that is chosen as a whole; a
    dropped update has its statement as region, and is not made when the fault is chosen."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str
    region_start: int
    region_end: int

    @property
    def is_statement(self) -> bool:
        """Whether the region is a statement rather than an expression."""
        return self.kind == "dropped update"

    @property
    def name(self) -> str:
        """Stays the same from one campaign to another as long as the line does."""
        return f"{self.file}:{self.line}:{self.start}:{self.old} -> {self.new}"


def faults(source: Source) -> Iterator[Fault]:
    """All faults that can be planted in a file, in the order of the text."""
    for zone in source.zones:
        yield from _Zone(source, zone).faults()
    for update in source.updates:
        yield _dropped(source, update)


def _dropped(source: Source, update: Update) -> Fault:
    start, end = source.tokens[update.first].start, source.tokens[update.end - 1].end
    old = _flat(source.code[start:end])
    return Fault(source.path.name, source.line(update.first), "dropped update", start, end, old, "", start, end)


def _flat(text: str) -> str:
    return " ".join(text.split())


class _Zone:
    """The faults of one expression."""

    def __init__(self, source: Source, zone: Zone) -> None:
        self.source, self.zone = source, zone
        self.tokens, self.pairs = source.tokens, source.pairs
        self.fixed = self._fixed()

    def faults(self) -> Iterator[Fault]:
        if self.zone.what in ("condition", "register_condition"):
            yield from self._whole_condition()
        if self.zone.what == "port":
            yield from self._enable_port()
        for index in range(self.zone.first, self.zone.end):
            if index in self.fixed:
                continue
            yield from self._operator(index)
            yield from self._number(index)
            yield from self._negation(index)
            yield from self._branches(index)
            yield from self._names(index)

    # What is constant in hardware: widths, numbers of copies, sizes, and names of members.

    def _fixed(self) -> set[int]:
        fixed: set[int] = set()
        for index in range(self.zone.first, self.zone.end):
            if index not in self.pairs or self.pairs[index] < index:
                continue
            last = self.pairs[index]
            inside = range(index + 1, last)
            if self._is_constant(index, last):
                fixed.update(inside)
            elif self._text(index) == "{" and (inner := self._copies(index, last)) is not None:
                fixed.update(range(index + 1, inner))
            elif self._text(index) == "'{":
                fixed.update(i for i in inside if self.tokens[i].kind == "name" and self._text(i + 1) == ":")
        return fixed

    def _is_constant(self, first: int, last: int) -> bool:
        """What stands between these brackets: a size, a width, a range, the number of a generated instance."""
        before = self.tokens[first - 1].text
        if before.startswith(("$clog2", "$bits")) or self._text(last + 1) == "'":
            return True
        ranges = any(self._text(i) in (":", "+:", "-:") for i in range(first + 1, last))
        return self._text(first) == "[" and (ranges or before.startswith("gen_"))

    def _copies(self, first: int, last: int) -> int | None:
        """The inner bracket of {number{…}}."""
        index = first + 1
        while index < last:
            if (
                self._text(index) == "{"
                and index > first + 1
                and self._text(index - 1) not in (",", "?", ":", "(", "|", "&")
            ):
                return index
            if self._text(index) in (",", "?"):
                return None
            index = self.pairs[index] + 1 if self._text(index) in ("(", "[") else index + 1
        return None

    # Kinds of faults.

    def _whole_condition(self) -> Iterator[Fault]:
        first, end = self.zone.first, self.zone.end
        if any(i in self.fixed for i in range(first, end) if self.tokens[i].kind == "name" and end - first == 1):
            return
        dropped = "dropped enable" if self.zone.what == "register_condition" else "wrong condition"
        yield self._replacing(first, end, dropped, "1'b1")
        yield self._replacing(first, end, "wrong condition", "1'b0")
        yield self._replacing(first, end, "wrong condition", f"!({self._code(first, end)})")

    def _enable_port(self) -> Iterator[Fault]:
        name = self._text(self.zone.first - 2)
        if not _ENABLE.search(name) or self._text(self.zone.first) == "1'b0":
            return
        yield self._replacing(self.zone.first, self.zone.end, "dropped enable", "'1")
        yield self._replacing(self.zone.first, self.zone.end, "wrong constant", "'0")

    def _operator(self, index: int) -> Iterator[Fault]:
        token = self.tokens[index]
        if token.kind != "operator" or token.text not in _OPERATORS or index == self.zone.first:
            return
        before = self.tokens[index - 1]
        if before.kind == "operator" and before.text not in _CLOSING:  # a sign or a reduction
            return
        for wrong in _OPERATORS[token.text]:
            yield self._fault(index, index + 1, "wrong operator", wrong)

    def _number(self, index: int) -> Iterator[Fault]:
        token = self.tokens[index]
        if token.kind != "number" or self._text(index + 1) == "'" or self._text(index - 1) == ".":
            return
        text = token.text
        if text in ("'0", "'1"):
            yield self._fault(index, index + 1, "wrong constant", "'1" if text == "'0" else "'0")
            return
        match = re.fullmatch(r"(?:(\d+)?'(s)?([bdh]))?([0-9a-fA-F_]+)", text)
        if match is None:
            return
        base = {"b": 2, "h": 16}.get(match[3] or "d", 10)
        value = int(match[4].replace("_", ""), base)
        bits = int(match[1]) if match[1] else 31
        if bits == 1:
            yield self._fault(index, index + 1, "wrong constant", f"1'b{1 - value}")
            return
        for wrong in (value + 1, value - 1):
            if 0 <= wrong < 1 << bits:
                yield self._fault(index, index + 1, "off by one", self._like(match, wrong))

    @staticmethod
    def _like(match: re.Match[str], value: int) -> str:
        if match[3] is None:
            return str(value)
        digits = {"b": format(value, "b"), "h": format(value, "x"), "d": str(value)}[match[3]]
        return f"{match[1] or ''}'{match[2] or ''}{match[3]}{digits}"

    def _negation(self, index: int) -> Iterator[Fault]:
        if self._text(index) in ("!", "~") and self.tokens[index].kind == "operator":
            yield self._fault(index, index + 1, "wrong operator", "")

    def _branches(self, index: int) -> Iterator[Fault]:
        if self._text(index) != "?" or self.tokens[index].kind != "operator":
            return
        first, end = self._region(index, whole_choice=True)
        colon = self._colon(index, end)
        if colon is None:
            return
        wrong = f"{self._code(colon + 1, end)} : {self._code(index + 1, colon)}"
        region = self.tokens[first].start, self.tokens[end - 1].end
        start = self.tokens[index + 1].start
        old = _flat(self.source.code[start : region[1]])
        yield Fault(
            self.source.path.name, self.source.line(index), "swapped branches", start, region[1], old, wrong, *region
        )

    def _colon(self, question: int, end: int) -> int | None:
        depth, index = 0, question + 1
        while index < end:
            depth += (self._text(index) == "?") - (self._text(index) == ":")
            if depth < 0:
                return index
            index = self.pairs[index] + 1 if self._text(index) in _OPENING else index + 1
        return None

    def _names(self, index: int) -> Iterator[Fault]:
        token = self.tokens[index]
        if token.kind != "name" or self._text(index + 1) == "(" or token.text.startswith("$"):
            return
        if self._text(index - 1) == ".":
            yield from self._neighbours(index)
        elif re.fullmatch(r"(?:\w+::)?[A-Z][A-Z0-9_]+", token.text):
            yield from self._constants(index)
        else:
            yield from self._signals(index)

    def _neighbours(self, index: int) -> Iterator[Fault]:
        """A member whose name ends in the number of a loop: the next loop's."""
        match = re.fullmatch(r"(\w+_)([0-4])", self._text(index))
        if match is not None:
            other = f"{match[1]}{int(match[2]) - 1 if match[2] != '0' else 1}"
            yield self._fault(index, index + 1, "wrong signal", other)

    def _constants(self, index: int) -> Iterator[Fault]:
        """Another value of the same enumeration, as far as the file knows it."""
        name = self._text(index)
        family = name.split("_")[0] + "_"
        if family in ("MAX_", "TABLE_", "NO_", "MXU_", "VPU_"):
            return
        known = sorted(
            {token.text for token in self.tokens if token.kind == "name" and token.text.startswith(family)} - {name}
        )
        for other in known:
            if re.fullmatch(r"(?:\w+::)?[A-Z][A-Z0-9_]+", other) and not other.endswith(("_BITS", "_BYTES")):
                yield self._fault(index, index + 1, "wrong constant", other)

    def _signals(self, index: int) -> Iterator[Fault]:
        """Another signal of the same type. Where no register stands between, only registers and locals: no loops."""
        token = self.tokens[index]
        visible = [d for d in self.source.declarations if d.first < index < d.end]
        mine = next((d for d in reversed(visible) if d.name == token.text), None)
        if mine is None:
            return
        registered = self.zone.what in ("register", "register_condition")
        wires = not any(d.name.endswith("_q") for d in self.source.declarations)  # a module that only connects others
        for other in visible:
            if other.type != mine.type or other.name == mine.name or other.name in ("clk_i", "rst_ni"):
                continue
            if other.name.endswith("_o") or other.local != mine.local:
                continue
            if registered or other.local or other.name.endswith("_q") or (wires and self.zone.what == "port"):
                yield self._fault(index, index + 1, "wrong signal", other.name)

    # Regions.

    def _fault(self, first: int, end: int, kind: str, new: str) -> Fault:
        region = self._region(first)
        return self._make(first, end, kind, new, region)

    def _replacing(self, first: int, end: int, kind: str, new: str) -> Fault:
        return self._make(first, end, kind, new, (first, end))

    def _make(self, first: int, end: int, kind: str, new: str, region: tuple[int, int]) -> Fault:
        start, stop = self.tokens[first].start, self.tokens[end - 1].end
        return Fault(
            self.source.path.name, self.source.line(first), kind, start, stop, _flat(self.source.code[start:stop]), new,
            self.tokens[region[0]].start, self.tokens[region[1] - 1].end,
        )  # fmt: skip

    def _region(self, index: int, whole_choice: bool = False) -> tuple[int, int]:
        stops = {",", ";"} if whole_choice else {",", ";", "?", ":"}
        first = index
        while first > self.zone.first:
            text = self._text(first - 1)
            if text in stops or text in _OPENING:
                break
            if whole_choice and text == ":" and self.tokens[first - 1].kind == "operator" and self._keyed(first - 1):
                break
            first = self.pairs[first - 1] if text in _CLOSING else first - 1
        end = index + 1 if index not in self.pairs else self.pairs[index] + 1
        while end < self.zone.end:
            text = self._text(end)
            if text in stops or text in _CLOSING:
                break
            end = self.pairs[end] + 1 if text in _OPENING else end + 1
        return first, end

    def _keyed(self, colon: int) -> bool:
        return (colon - 1) in self.fixed

    def _text(self, index: int) -> str:
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def _code(self, first: int, end: int) -> str:
        return _flat(self.source.code[self.tokens[first].start : self.tokens[end - 1].end])
