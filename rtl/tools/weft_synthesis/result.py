"""From a synthesized design to the numbers of docs/synthesis.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weft_synthesis.checks import refuse_latches
from weft_synthesis.targets import FLATTENED, PATHS, STATISTICS, Target
from weft_synthesis.usage import Statistics, instances, longest_paths, own_cells, source_name
from weft_synthesis.yosys import SynthesisError


@dataclass(frozen=True)
class Module:
    """One module of the source: how often it occurs, and the cells of all its occurrences, without their instances.

    `longest_path` counts the cells on the longest way between two registers, ports, memories or instances in any one of
    them; `memory_bits` are those of the source's arrays.
    """

    instances: int
    longest_path: int
    memory_bits: int
    own: dict[str, int]


def aggregate(
    target: Target, mapped: Statistics, elaborated: Statistics, paths: dict[str, int], top: str
) -> dict[str, Any]:
    """The total of the design below `top` and its modules by their names in the source."""
    numbers = instances(mapped.cells, top)
    own: dict[str, Counter[str]] = {}
    occurrences: Counter[str] = Counter()
    bits: Counter[str] = Counter()
    longest: dict[str, int] = {}
    for name, number in numbers.items():
        plain = source_name(name)
        occurrences[plain] += number
        bits[plain] += number * elaborated.memory_bits.get(name, 0)
        longest[plain] = max(longest.get(plain, 0), paths.get(name, 0))
        for kind, count in own_cells(mapped.cells, name).items():
            own.setdefault(plain, Counter())[kind] += number * count
    modules = {
        plain: asdict(Module(occurrences[plain], longest[plain], bits[plain], target.count(own.get(plain, {}))))
        for plain in sorted(occurrences)
    }
    total = {column: sum(module["own"][column] for module in modules.values()) for column in target.columns}
    return {
        "total": {**total, "memory_bits": sum(bits.values()), "longest_path": max(longest.values())},
        "modules": modules,
    }


def read(target: Target, folder: Path, top: str) -> dict[str, Any]:
    """The numbers of a finished run in `folder`.

    Raises SynthesisError for a latch, and where modules times instances are not the flattened design.
    """
    mapped, flattened = Statistics.read(folder / STATISTICS), Statistics.read(folder / FLATTENED)
    refuse_latches(mapped.cells)
    paths = longest_paths((folder / PATHS).read_text())
    result = aggregate(target, mapped, Statistics.read(folder / "elaborated.json"), paths, top)
    compare(target, result["total"], flattened, mapped, top)
    return result


def compare(target: Target, total: dict[str, int], flattened: Statistics, mapped: Statistics, top: str) -> None:
    """Raises SynthesisError where the sum over the modules is not what the flattened design holds.

    What stayed a module in it counts as often as the flattened design has it.
    """
    cells: Counter[str] = Counter()
    for kind, number in flattened.cells.get(top, {}).items():
        inside = mapped.cells.get(kind, {kind: 1})
        cells.update({each: number * count for each, count in inside.items()})
    whole = target.count(cells)
    different = {column: (total[column], number) for column, number in whole.items() if total[column] != number}
    if different:
        raise SynthesisError(f"sum over modules against flattened design differ: {different}")
