"""Which operator runs where, and the regions and host graphs that follow."""

from __future__ import annotations

from weft.partition.borders import Borders
from weft.partition.choose import Candidate, Partition, choose
from weft.partition.host import extract
from weft.partition.pins import Annotate, Pins, resolve_pins
from weft.partition.placement import Placement, place
from weft.partition.regions import HOST, Group, group

__all__ = [
    "HOST",
    "Annotate",
    "Borders",
    "Candidate",
    "Group",
    "Partition",
    "Pins",
    "Placement",
    "choose",
    "extract",
    "group",
    "place",
    "resolve_pins",
]
