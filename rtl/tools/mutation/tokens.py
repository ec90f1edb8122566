"""SystemVerilog as tokens with their places in the text: as much of the language as rtl/src uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<cast>\d+'(?=\())                              # 13'(x): a width, no value
  | (?P<number>\d*'s?[bdh][0-9a-fA-F_xzXZ]+|'[01](?!\w)|\d[\d_]*)
  | (?P<name>[$`]?[A-Za-z_]\w*(?:::[A-Za-z_]\w*)?)
  | (?P<string>"[^"]*")
  | (?P<operator><<<|>>>|===|!==|\|->|\|=>|<=|>=|==|!=|&&|\|\||<<|>>|\+:|-:|\+\+|\+=|::|'\{
      |[-+*/%&|^~!<>=?:;,.(){}\[\]@\#'])
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r'"[^"]*"|//[^\n]*|/\*.*?\*/|\(\*[^)]*\*\)', re.DOTALL)
_CHECKS = re.compile(r"^`ifndef SYNTHESIS$.*?^\s*`endif$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(r"^`\w+.*$", re.MULTILINE)
_OPENING = {"(": ")", "[": "]", "{": "}", "'{": "}"}


@dataclass(frozen=True)
class Token:
    """One token: its kind (cast, number, name, string, operator), text, first place and the one behind it."""

    kind: str
    text: str
    start: int
    end: int


def blank(text: str) -> str:
    """The text with comments, assertions and directives as blanks: every place stays where it is."""

    def blanks(match: re.Match[str]) -> str:
        if match[0].startswith('"'):
            return match[0]
        return re.sub(r"[^\n]", " ", match[0])

    text = _COMMENT.sub(blanks, text)
    text = _CHECKS.sub(blanks, text)
    return _DIRECTIVE.sub(blanks, text)


def tokenize(text: str) -> tuple[Token, ...]:
    """Tokens of a text without comments. Raises ValueError where something is no token."""
    tokens = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise ValueError(f"line {line}: {text[at : at + 20]!r} is not understood")
        tokens.append(Token(str(match.lastgroup), match[0], match.start(), match.end()))
        at = match.end()
    return tuple(tokens)


def partners(tokens: tuple[Token, ...]) -> dict[int, int]:
    """Index of the bracket that belongs to the one at each index, both ways. Raises ValueError when one has none."""
    found: dict[int, int] = {}
    open_ones: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind != "operator":
            continue
        if token.text in _OPENING:
            open_ones.append(index)
        elif token.text in (")", "]", "}"):
            if not open_ones or _OPENING[tokens[open_ones[-1]].text] != token.text:
                raise ValueError(f"place {token.start}: {token.text} closes nothing")
            first = open_ones.pop()
            found[first], found[index] = index, first
    if open_ones:
        raise ValueError(f"place {tokens[open_ones[-1]].start}: {tokens[open_ones[-1]].text} is never closed")
    return found
