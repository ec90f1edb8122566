"""A deployment in simulated time: requests arrive, and host CPU, bus and accelerators work on them."""

from __future__ import annotations

from weft.deployment.arrivals import Arrivals, parse_arrivals
from weft.deployment.figures import Figures, PartFigures, figures_of, part_name
from weft.deployment.simulate import Occupation, Played, Served, Setting, play

__all__ = [
    "Arrivals",
    "Figures",
    "Occupation",
    "PartFigures",
    "Played",
    "Served",
    "Setting",
    "figures_of",
    "parse_arrivals",
    "part_name",
    "play",
]
