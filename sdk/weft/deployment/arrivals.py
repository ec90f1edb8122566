"""When requests arrive: at random, at a fixed rate, or as soon as others have ended."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from weft.errors import WeftError

__all__ = ["Arrivals", "parse_arrivals"]

NANOSECONDS = 1_000_000_000
FASTEST, SLOWEST = 1e9, 1e-6
MOST_CLIENTS = 1_000_000
FORMS = "poisson:RATE, fixed:RATE (requests per second), closed:CLIENTS or saturating"


@dataclass(frozen=True)
class Arrivals:
    """`poisson` and `fixed` have a rate in requests per second, whatever happens inside; in a `closed` system each of
    so many clients sends its next request when its last one has been answered; `saturating` is a closed system that
    keeps the queue full."""

    kind: Literal["poisson", "fixed", "closed", "saturating"]
    rate: float = 0.0
    clients: int = 0

    def times(self, count: int, seed: int) -> list[int]:
        """The moments of `count` arrivals in nanoseconds, ascending from 0; only for open systems."""
        if self.kind == "fixed":
            return [round(index * NANOSECONDS / self.rate) for index in range(count)]
        draw = random.Random(seed)
        moment, moments = 0.0, []
        for _ in range(count):
            moments.append(round(moment))
            moment += draw.expovariate(self.rate) * NANOSECONDS
        return moments

    @property
    def is_open(self) -> bool:
        """Whether arrivals do not depend on answers."""
        return self.kind in ("poisson", "fixed")

    def __str__(self) -> str:
        if self.kind == "saturating":
            return self.kind
        return f"{self.kind}:{self.clients if self.kind == 'closed' else format(self.rate, 'g')}"


def parse_arrivals(text: str) -> Arrivals:
    """Arrivals as written on the command line. Raises WeftError for anything else."""
    kind, _, value = text.partition(":")
    if text == "saturating":
        return Arrivals("saturating")
    if kind == "closed":
        if value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= MOST_CLIENTS and len(value) <= 9:
            return Arrivals("closed", clients=int(value))
        raise WeftError(f"arrivals {text!r}: closed needs a whole number of clients, 1 to {MOST_CLIENTS}")
    if kind not in ("poisson", "fixed"):
        raise WeftError(f"arrivals {text!r} are none of {FORMS}")
    try:
        rate = float(value)
    except ValueError:
        rate = math.nan
    if not SLOWEST <= rate <= FASTEST:
        raise WeftError(f"arrivals {text!r}: the rate must be a number of requests per second, 1e-6 to 1e9")
    return Arrivals("poisson", rate) if kind == "poisson" else Arrivals("fixed", rate)
