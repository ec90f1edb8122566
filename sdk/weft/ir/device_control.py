"""Regions joined by decisions that the accelerator takes itself: what a backend is asked to make one program of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from weft_runtime.executable import Region, Relation, TensorBinding

__all__ = [
    "UNKNOWN", "Chosen", "Collected", "Comparison", "Decide", "JoinRequest", "NumberKind", "Piece", "Reading", "Repeat",
    "Sequence", "Slice", "Unjoinable",
]  # fmt: skip

NumberKind = Literal[
    "element", "maximum", "minimum", "first_maximum", "last_maximum", "first_minimum", "last_minimum", "sum"
]

UNKNOWN = -1
"""Limit of a loop for which none is known yet."""


class Unjoinable(Exception):
    """Why regions cannot become one program; the host takes the decision then."""


@dataclass(frozen=True)
class Piece:
    """A region, with the program's names for the tensors that it takes and gives."""

    region: Region
    names: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """A whole number made of some elements of a stored tensor, which are numbered as they follow one another.

    By `kind`: the only element; the greatest or least of `elements`; the place in `elements` where the first or last of
    the greatest or least stands; or Σ table[(x − greatest x) mod 256]. All are of values as stored. Where `lookup` is
    given, the number is then replaced by lookup[number mod 256]. Tables have 256 entries.
    """

    tensor: str
    kind: NumberKind
    elements: tuple[int, ...]
    table: tuple[int, ...] = ()
    lookup: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Whether a number is below a value, or equal to it."""

    reading: Reading
    relation: Relation
    value: int


@dataclass(frozen=True)
class Decide:
    """A decision: the first sequence where the comparison holds, else the second. Both give `results`. `name` is the
    If's, `below` and `above` what its outcomes are called ("then", "else"): where it holds, and where not. Behind the
    launch the host knows how often it came out so, by `tallies` (where it holds, where not), if these are names."""

    name: str
    comparison: Comparison
    below: str
    above: str
    when_below: Sequence
    when_above: Sequence
    results: tuple[str, ...]
    tallies: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Slice:
    """What iteration k of a loop reads as tensor `binding.name`: part k of `count` parts, packed one behind the other,
    of the stored tensor `source`, or of `table` where that is empty."""

    binding: TensorBinding
    source: str
    table: bytes
    count: int


@dataclass(frozen=True)
class Collected:
    """A value of a loop's body, of which the loop gives all iterations' as `result`, along a new leading axis.
    `binding` is one iteration's. In place of a value it may be the number that a reading gives, as a byte."""

    value: str
    result: str
    binding: TensorBinding
    reading: Reading | None = None


@dataclass(frozen=True)
class Chosen:
    """What iterations read by the number that `reading` gave in the iteration before: a part of each slice, the first
    iteration the last part."""

    reading: Reading
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Repeat:
    """A loop of `limit` iterations, or fewer where the number `count` that the host gives at launch (if any) is less;
    it hands the body's results on as `parameters`. After each iteration it ends unless the comparison comes out as
    `continues` says: "below" where it has to hold, "above" where it must not; None does not end it. More than `most`
    iterations are an error that the host reports; `limit` is one more where that can happen.

    Before the first iteration, the loop ends where `begins` comes out other than `begins_as` says, or where the value
    `allowed` that the host gives at launch is 0. Behind it, the host knows the number of iterations as `tally`, if that
    is a name.
    """

    name: str
    limit: int
    most: int
    count: str
    comparison: Comparison | None
    continues: str
    body: Sequence
    initial: tuple[str, ...]
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    begins: Comparison | None = None
    begins_as: str = "below"
    allowed: str = ""
    slices: tuple[Slice, ...] = ()
    collected: tuple[Collected, ...] = ()
    chosen: tuple[Chosen, ...] = ()
    tally: str = ""

    @property
    def changes(self) -> bool:
        """Whether there may be fewer than `limit` iterations."""
        return bool(self.count or self.comparison or self.begins or self.allowed)


@dataclass(frozen=True)
class Sequence:
    """Steps in order, and the values that they give."""

    steps: tuple[Piece | Decide | Repeat, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class JoinRequest:
    """One program for a sequence: `sequence.results` are the values that are read outside; what no step makes comes
    from outside."""

    name: str
    sequence: Sequence
