"""What tuning has measured, kept in the cache folder: a JSON file for each operator's shape on a machine.

Keys are the operator's class, its shape and the machine's hash, never weights. Files are checked as untrusted input: of
bounded size, and a tile counts only if it is in the search space, where all are legal. A file that another version of
the compiler has written is passed over: its cycles may not hold.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from weft.cache_folder import cache_folder, replace_file
from weft.ir import Operator
from weft.partition.costs.cycles import compiler_digest
from weft.schedule.choice import Shape, Tile
from weft.schedule.search import Problem
from weft_sim.machine import MachineConfig

__all__ = ["TunedTiles", "TuningCache", "problem_key"]

FOLDER = "tuning"
VERSION = 1
MAX_FILE_BYTES = 1 << 20
MAX_CYCLES = 1 << 44
LEAST_GAIN = 0.002
"""A measured tile replaces the default one if it is better by this share: less is lost again between layers."""

_LOG = logging.getLogger("weft.tuning")


def problem_key(problem: Problem) -> str:
    """A digest of operator class, shape and machine."""
    text = json.dumps([_plain(problem.shape), problem.machine.hash()], sort_keys=True)
    return f"{problem.machine.hash()[:8]}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class TuningCache:
    """Cycles by problem and candidate, in memory and on disk. Every new number is on disk when `put` returns.

    A file that cannot be used is reported once, as a warning that names it, and counts as empty. Two processes that
    write the same problem at the same time may lose each other's last numbers, never more.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (cache_folder() if folder is None else folder) / FOLDER
        self._known: dict[str, dict[int, int]] = {}
        self._writable = True

    def measured(self, problem: Problem) -> Mapping[int, int]:
        """All cycles that are known, by number of the candidate."""
        return dict(self._cycles(problem))

    def put(self, problem: Problem, number: int, cycles: int) -> None:
        """Remembers cycles of a candidate, also on disk if that can be written."""
        known = self._cycles(problem)
        known[number] = cycles
        key = problem_key(problem)
        content = {
            "version": VERSION,
            "compiler": compiler_digest(),
            "operator": type(problem.shape).__name__,
            "shape": _plain(problem.shape),
            "machine": problem.machine.to_dict(),
            "measured": [[_plain(problem.candidates[each]), known[each]] for each in sorted(known)],
        }
        try:
            replace_file(self.folder / f"{key}.json", json.dumps(content, separators=(",", ":")))
        except OSError as error:
            if self._writable:
                _LOG.warning("%s: cannot keep what was measured: %s", self.folder, error.strerror or error)
            self._writable = False

    def best(self, problem: Problem) -> Tile | None:
        """The measured tile of least cycles, or None if nothing was measured that beats the default tile."""
        known = self._cycles(problem)
        if not known:
            return None
        number = min(known, key=lambda each: (known[each], each))
        default = known.get(0)
        if number == 0 or default is None or known[number] > default * (1 - LEAST_GAIN):
            return None
        return problem.candidates[number]

    def _cycles(self, problem: Problem) -> dict[int, int]:
        key = problem_key(problem)
        if key not in self._known:
            self._known[key] = self._read(self.folder / f"{key}.json", problem)
        return self._known[key]

    def _read(self, path: Path, problem: Problem) -> dict[int, int]:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            return _unusable(path, str(error))
        if not isinstance(content, dict) or content.get("version") != VERSION:
            return _unusable(path, "it is not a tuning file of this version")
        if content.get("compiler") != compiler_digest():
            return {}
        if content.get("shape") != _plain(problem.shape) or not isinstance(content.get("measured"), list):
            return _unusable(path, "it does not hold what its name says")
        return _entries(path, content["measured"], problem)


class TunedTiles:
    """The tiles that tuning found on one machine, for the compiler."""

    def __init__(self, machine: MachineConfig, cache: TuningCache | None = None) -> None:
        self._machine = machine
        self._cache = TuningCache() if cache is None else cache
        self._chosen: dict[Shape, Tile | None] = {}

    def tile(self, shape: Shape, operator: Operator) -> Tile | None:
        """The best tile that was measured for the shape, or None."""
        if shape not in self._chosen:
            self._chosen[shape] = self._cache.best(Problem(shape, self._machine))
        return self._chosen[shape]


def _entries(path: Path, measured: list[Any], problem: Problem) -> dict[int, int]:
    numbers = {json.dumps(_plain(tile), sort_keys=True): number for number, tile in enumerate(problem.candidates)}
    result: dict[int, int] = {}
    for entry in measured:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], dict)):
            return _unusable(path, "an entry is not a tile with its cycles")
        number, cycles = numbers.get(json.dumps(entry[0], sort_keys=True)), entry[1]
        if number is None or type(cycles) is not int or not 0 < cycles <= MAX_CYCLES:
            return _unusable(path, "an entry is not a legal tile with possible cycles")
        result[number] = cycles
    return result


def _unusable(path: Path, reason: str) -> dict[int, int]:
    _LOG.warning("%s: not used as %s; delete it, or tune again", path, reason)
    return {}


def _plain(value: Any) -> Any:
    """A shape or tile as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, Enum):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
