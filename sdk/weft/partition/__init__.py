"""Which operator runs where, and the regions and host graphs that follow."""

from __future__ import annotations

from weft.partition.host import extract
from weft.partition.placement import Placement, place
from weft.partition.regions import HOST, Group, group

__all__ = ["HOST", "Group", "Placement", "extract", "group", "place"]
