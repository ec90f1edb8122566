"""Reads what Yosys prints: cells per module (`stat -json`) and longest paths (`ltp`)."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from weft_synthesis.yosys import SynthesisError

PATH = re.compile(r"^Longest topological path in (\S+) \(length=(\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class Statistics:
    """One design: per module its cells by kind, instances of other modules included, and its bits of memory."""

    cells: dict[str, dict[str, int]]
    memory_bits: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> Statistics:
        """From the output of `stat -json`. Raises SynthesisError when that is something else."""
        try:
            modules = json.loads(path.read_text())["modules"]
            return cls(
                cells={_plain(name): _kinds(module["num_cells_by_type"]) for name, module in modules.items()},
                memory_bits={_plain(name): int(module["num_memory_bits"]) for name, module in modules.items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SynthesisError(f"{path} is no output of Yosys' stat -json: {error!r}") from error


def longest_paths(text: str) -> dict[str, int]:
    """Cells on the longest path of every module that has one, from the output of `ltp`."""
    return {_plain(name): int(length) for name, length in PATH.findall(text)}


def instances(cells: dict[str, dict[str, int]], top: str) -> Counter[str]:
    """How often each module occurs in the whole design; `top` once. Raises SynthesisError where a module is missing."""
    if top not in cells:
        raise SynthesisError(f"the design has no module {top}")
    result: Counter[str] = Counter()
    waiting = [(top, 1)]
    while waiting:
        name, number = waiting.pop()
        result[name] += number
        waiting += [(kind, number * count) for kind, count in cells[name].items() if kind in cells]
    return result


def source_name(module: str) -> str:
    """The name in the source: `queue` of `queue$weft_machine.u_load.u_bursts`, the queue of that one instance."""
    return module.partition("$")[0] or module


def own_cells(cells: dict[str, dict[str, int]], name: str) -> Counter[str]:
    """Cells of a module without what is inside of its instances."""
    return Counter({kind: number for kind, number in cells[name].items() if kind not in cells})


def _plain(name: str) -> str:
    return name.removeprefix("\\")


def _kinds(kinds: dict[str, int]) -> dict[str, int]:
    return {_plain(kind): int(number) for kind, number in kinds.items()}
