"""Regions joined by decisions that the accelerator takes itself: what a backend is asked to make one program of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft_runtime.executable import Region

__all__ = ["Decide", "JoinRequest", "Piece", "Repeat", "Sequence", "Unjoinable"]


class Unjoinable(Exception):
    """Why regions cannot become one program; the host takes the decision then."""


@dataclass(frozen=True)
class Piece:
    """A region, with the program's names for the tensors that it takes and gives."""

    region: Region
    names: Mapping[str, str]


@dataclass(frozen=True)
class Decide:
    """A decision on a stored tensor of one element: the first sequence where it is below `threshold`, else the second.
    Both give `results`. `name` is the If's, `below` and `above` what its outcomes are called ("then", "else")."""

    name: str
    tensor: str
    threshold: int
    below: str
    above: str
    when_below: Sequence
    when_above: Sequence
    results: tuple[str, ...]


@dataclass(frozen=True)
class Repeat:
    """A loop of 1 to `limit` iterations, which hands the body's results on as `parameters`. After each it ends unless
    the stored element `tensor` is on the side of `threshold` that `continues` names ("below" or "above"); an empty
    `tensor` does not end it."""

    name: str
    limit: int
    tensor: str
    threshold: int
    continues: str
    body: Sequence
    initial: tuple[str, ...]
    parameters: tuple[str, ...]
    results: tuple[str, ...]


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
