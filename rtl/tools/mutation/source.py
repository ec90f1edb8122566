"""Where a file can be mutated: its expressions, its updates, and what is declared where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mutation.tokens import Token, blank, partners, tokenize

_SKIPPED_TO_SEMICOLON = {"import", "localparam", "parameter", "genvar"}
_TYPE_WORDS = {"logic", "int", "unsigned", "signed", "input", "output", "automatic", "integer", "bit"}
_PROCEDURES = {"always_ff", "always_comb"}


@dataclass(frozen=True)
class Zone:
    """An expression that is evaluated in hardware: tokens first to end − 1. `what` says of what it is the value:
    assign, comb, register, condition, register_condition, return or port."""

    first: int
    end: int
    what: str


@dataclass(frozen=True)
class Update:
    """A non-blocking assignment: tokens first to end − 1, the semicolon included."""

    first: int
    end: int


@dataclass(frozen=True)
class Declaration:
    """A name with the text of its type, usable in tokens first to end − 1. `local`: of a function or a block."""

    name: str
    type: str
    first: int
    end: int
    local: bool


@dataclass
class Source:
    """One file, understood."""

    path: Path
    text: str
    code: str
    tokens: tuple[Token, ...]
    pairs: dict[int, int]
    zones: list[Zone] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)

    def line(self, index: int) -> int:
        """Line of a token, from 1."""
        return self.text.count("\n", 0, self.tokens[index].start) + 1


def read(path: Path) -> Source:
    """The file's zones, updates and declarations. Raises ValueError where it is not understood."""
    text = path.read_text()
    code = blank(text)
    tokens = tokenize(code)
    source = Source(path, text, code, tokens, partners(tokens))
    _Parser(source).parse()
    return source


class _Parser:
    """Walks through the tokens; `at` is the next one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 0
        self.scope_ends: list[int] = []

    def parse(self) -> None:
        self._items(len(self.source.tokens), local=False)

    # Module level.

    def _items(self, end: int, local: bool) -> None:
        while self.at < end:
            self._item(end)

    def _item(self, end: int) -> None:
        word = self._text()
        if word in ("module", "package"):
            self._header()
        elif word == "function":
            self._function()
        elif word in _PROCEDURES:
            self._procedure(word)
        elif word == "assign":
            self._assignment("assign", end)
        elif word in _SKIPPED_TO_SEMICOLON or word == "typedef":
            self.at = self._semicolon() + 1
        elif word == "for" or word == "if":
            self.at = self.source.pairs[self.at + 1] + 1
        elif word == "begin":
            self._generate_block(end)
        elif word in ("else", "endmodule", "endpackage", "generate", "endgenerate", "end", ";"):
            self.at += 1
        elif self._instance():
            self._ports()
        else:
            self._declare(self.at, self._semicolon(), self._scope_end(end), local=False)
            self.at = self._semicolon() + 1

    def _header(self) -> None:
        end = self._find_end("endmodule" if self._text() == "module" else "endpackage")
        stop = self._semicolon()
        index = self.at
        while index < stop:  # the list of ports is the last bracket before the semicolon; imports end in one themselves
            if self._text(index) == "import":
                index = self._semicolon(index)
                stop = self._semicolon(index + 1)
            elif self._text(index) == "(" and self._text(index - 1) != "#":
                self._list(index, self.source.pairs[index], end, local=False)
                index = self.source.pairs[index]
            elif self._text(index) == "(":
                index = self.source.pairs[index]
            index += 1
        self.at = stop + 1
        self.scope_ends = [end]

    def _generate_block(self, end: int) -> None:
        close = self._block_end(self.at)
        self.at += 1
        if self._text() == ":":
            self.at += 2
        self.scope_ends.append(close)
        self._items(close, local=False)
        self.scope_ends.pop()
        self.at = close + 1

    def _instance(self) -> bool:
        """`name [#(…)] name (…);`"""
        index = self.at + 1
        if self._text(index) == "#":
            index = self.source.pairs[index + 1] + 1
        return self.source.tokens[index].kind == "name" and self._text(index + 1) == "("

    def _ports(self) -> None:
        index = self.at + 1
        if self._text(index) == "#":
            index = self.source.pairs[index + 1] + 1
        first, last = index + 1, self.source.pairs[index + 1]
        index = first + 1
        while index < last:
            if self._text(index) == "." and self._text(index + 2) == "(":
                name, close = self._text(index + 1), self.source.pairs[index + 2]
                if name.endswith("_i") and name not in ("clk_i", "rst_ni"):
                    self._zone(index + 3, close, "port")
                index = close
            index += 1
        self.at = self._semicolon(last) + 1

    # Procedures and functions.

    def _function(self) -> None:
        end = self._find_end("endfunction")
        stop = self._semicolon()
        for index in range(self.at, stop):
            if self._text(index) == "(":
                self._list(index, self.source.pairs[index], end, local=True)
                break
        self.at = stop + 1
        self.scope_ends.append(end)
        while self.at < end:
            self._statement("comb")
        self.scope_ends.pop()
        self.at = end + 1

    def _procedure(self, word: str) -> None:
        self.at += 1
        if self._text() == "@":
            self.at = self.source.pairs[self.at + 1] + 1
        self._statement("register" if word == "always_ff" else "comb")

    def _statement(self, what: str) -> None:
        word = self._text()
        if word == "begin":
            close = self._block_end(self.at)
            self.at += 3 if self._text(self.at + 1) == ":" else 1
            self.scope_ends.append(close)
            while self.at < close:
                self._statement(what)
            self.scope_ends.pop()
            self.at = close + 1
        elif word == "if":
            self._if(what)
        elif word == "case":
            self._case(what)
        elif word == "for":
            self.at = self.source.pairs[self.at + 1] + 1
            self._statement(what)
        elif word == "return":
            stop = self._semicolon()
            self._zone(self.at + 1, stop, "return")
            self.at = stop + 1
        elif word == ";":
            self.at += 1
        else:
            self._simple(what)

    def _if(self, what: str) -> None:
        close = self.source.pairs[self.at + 1]
        self._zone(self.at + 2, close, "register_condition" if what == "register" else "condition")
        self.at = close + 1
        self._statement(what)
        if self._text() == "else":
            self.at += 1
            self._statement(what)

    def _case(self, what: str) -> None:
        self.at = self.source.pairs[self.at + 1] + 1
        while self._text() != "endcase":
            while self._text() not in (":", ";"):  # labels
                self.at += 1 if self.at not in self.source.pairs else self.source.pairs[self.at] - self.at + 1
            self.at += 1
            self._statement(what)
        self.at += 1

    def _simple(self, what: str) -> None:
        stop = self._semicolon()
        assigned = self._assigned(self.at, stop)
        names = [self.source.tokens[i].kind == "name" for i in range(self.at, stop)]
        declares = self._text() in _TYPE_WORDS or (len(names) > 1 and names[0] and names[1])
        if declares or assigned is None:
            self._declare(self.at, stop, self._scope_end(stop), local=True)
        else:
            self._zone(assigned + 1, stop, what)
            if self._text(assigned) == "<=":
                self.source.updates.append(Update(self.at, stop + 1))
        self.at = stop + 1

    def _assignment(self, what: str, end: int) -> None:
        stop = self._semicolon()
        assigned = self._assigned(self.at, stop)
        if assigned is not None:
            self._zone(assigned + 1, stop, what)
        self.at = stop + 1

    # Declarations.

    def _list(self, first: int, last: int, end: int, local: bool) -> None:
        """Ports or arguments between two brackets: each has its type, or that of the one before."""
        index = start = first + 1
        kind = ""
        while index <= last:
            if index == last or self._text(index) == ",":
                names = [i for i in range(start, index) if self.source.tokens[i].kind == "name"]
                plain = [i for i in names if not self._inside(i, start)]
                if plain:
                    name = plain[-1]
                    kind = self._type(start, name) or kind
                    dimensions = "".join(self._text(i) for i in range(name + 1, index))
                    self._add(self._text(name), kind + "|" + dimensions, last, end, local)
                start = index + 1
            elif index in self.source.pairs:
                index = self.source.pairs[index]
            index += 1

    def _declare(self, first: int, stop: int, end: int, local: bool) -> None:
        """`type a, b [N], c;`"""
        index = first
        while self._text(index) == "automatic":
            index += 1
        named = index
        while index < stop and (self._text(index) in (*_TYPE_WORDS, "[") or index == named):
            index = self.source.pairs[index] + 1 if self._text(index) == "[" else index + 1
        kind = self._type(first, index)
        while index < stop and self.source.tokens[index].kind == "name":
            name = self._text(index)
            index += 1
            dimensions = ""
            while index < stop and self._text(index) != ",":
                dimensions += self._text(index)
                index += 1
            self._add(name, kind + "|" + dimensions, stop, end, local)
            index += 1

    def _add(self, name: str, kind: str, first: int, end: int, local: bool) -> None:
        if "=" not in kind:
            self.source.declarations.append(Declaration(name, kind, first, end, local))

    def _type(self, first: int, end: int) -> str:
        words = [self._text(i) for i in range(first, end)]
        return " ".join(word for word in words if word not in ("input", "output", "automatic"))

    # Small helpers.

    def _zone(self, first: int, end: int, what: str) -> None:
        texts = {self._text(i) for i in range(first, end)}
        if first < end and "rst_ni" not in texts:
            self.source.zones.append(Zone(first, end, what))

    def _text(self, index: int | None = None) -> str:
        index = self.at if index is None else index
        return self.source.tokens[index].text if index < len(self.source.tokens) else ""

    def _inside(self, index: int, start: int) -> bool:
        return any(i in self.source.pairs and self.source.pairs[i] > index for i in range(start, index))

    def _assigned(self, first: int, stop: int) -> int | None:
        index = first
        while index < stop:
            if self._text(index) in ("=", "<="):
                return index
            index = self.source.pairs[index] + 1 if index in self.source.pairs else index + 1
        return None

    def _semicolon(self, index: int | None = None) -> int:
        index = self.at if index is None else index
        while self._text(index) != ";":
            if index >= len(self.source.tokens):
                raise ValueError(
                    f"{self.source.path.name}: a semicolon is missing behind line {self.source.line(self.at)}"
                )
            if self._text(index) in ("(", "[", "{", "'{"):
                index = self.source.pairs[index]
            index += 1
        return index

    def _find_end(self, word: str) -> int:
        index = self.at
        while self._text(index) != word:
            index += 1
            if index >= len(self.source.tokens):
                raise ValueError(f"{self.source.path.name}: {word} is missing")
        return index

    def _block_end(self, index: int) -> int:
        depth = 0
        while True:
            depth += (self._text(index) == "begin") - (self._text(index) == "end")
            if depth == 0:
                return index
            index += 1
            if index >= len(self.source.tokens):
                raise ValueError(f"{self.source.path.name}: end is missing")

    def _scope_end(self, otherwise: int) -> int:
        return self.scope_ends[-1] if self.scope_ends else otherwise
