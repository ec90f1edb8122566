"""What a sequence of regions, decisions and loops consists of."""

from __future__ import annotations

from weft.ir.device_control import Decide, Piece, Repeat, Sequence, Unjoinable
from weft_runtime.executable import Region, TensorBinding

__all__ = [
    "has_loops",
    "log_bytes", "made_in", "making_of", "most_cycles", "most_macs", "notes", "own_macs", "reading_of", "regions_of",
    "result_bytes",
]  # fmt: skip

DECISION_CYCLES = 250
"""Estimate of a decision: load, vector pass, jump and refill of the fetch queue."""


def _inside(step: Decide | Repeat) -> tuple[Sequence, ...]:
    return (step.body,) if isinstance(step, Repeat) else (step.when_below, step.when_above)


def regions_of(sequence: Sequence) -> list[Region]:
    """The regions of all steps, also inside decisions and loops."""
    found = []
    for step in sequence.steps:
        if isinstance(step, Piece):
            found.append(step.region)
        else:
            found += [region for inner in _inside(step) for region in regions_of(inner)]
    return found


def has_loops(sequence: Sequence) -> bool:
    """Whether any step is a loop, or has one in it."""
    return any(
        isinstance(step, Repeat) or (isinstance(step, Decide) and any(map(has_loops, _inside(step))))
        for step in sequence.steps
    )


def made_in(sequence: Sequence) -> set[str]:
    """What the sequence's own steps give."""
    names: set[str] = set()
    for step in sequence.steps:
        if isinstance(step, Piece):
            names.update(step.names[binding.name] for binding in step.region.outputs)
            continue
        names.update(step.results, *map(made_in, _inside(step)))
        if isinstance(step, Repeat):
            names.update(step.parameters)
            slices = (*step.slices, *(each for chosen in step.chosen for each in chosen.slices))
            names.update(each.binding.name for each in slices)
            names.update(each.result for each in step.collected)
    return names


def reading_of(sequence: Sequence, name: str) -> TensorBinding | None:
    """How the first region that reads a value takes it."""
    for step in sequence.steps:
        if isinstance(step, Piece):
            found = [binding for binding in step.region.inputs if step.names[binding.name] == name]
        else:
            inner = (reading_of(each, alias) for each in _inside(step) for alias in _aliases(step, name))
            found = [binding for binding in inner if binding is not None]
        if found:
            return found[0]
    return None


def making_of(sequence: Sequence, name: str) -> TensorBinding | None:
    """How the first region that makes a value gives it, also where an If or a loop hands it on."""
    for step in sequence.steps:
        if isinstance(step, Piece):
            found = [binding for binding in step.region.outputs if step.names[binding.name] == name]
        elif name in step.results:
            place = step.results.index(name)
            inner = (making_of(each, each.results[place]) for each in _inside(step))
            found = [binding for binding in inner if binding is not None]
        else:
            continue
        if found:
            return found[0]
    return None


def _aliases(step: Decide | Repeat, name: str) -> list[str]:
    """What a value is called inside a step."""
    if isinstance(step, Decide):
        return [name]
    return [name, *(inside for given, inside in zip(step.initial, step.parameters, strict=True) if given == name)]


def result_bytes(step: Decide, name: str) -> int:
    """Bytes of a result, as the first region that makes it on either side says. Raises Unjoinable where none does."""
    for side in (step.when_below, step.when_above):
        found = _bytes_of(side, side.results[step.results.index(name)])
        if found is not None:
            return found
    raise Unjoinable(f"{name!r} is made on neither side")


def _bytes_of(sequence: Sequence, value: str) -> int | None:
    """Bytes of what a region in the sequence makes under this name, or under one that is handed on as it."""
    for step in sequence.steps:
        if isinstance(step, Piece):
            for binding in step.region.outputs:
                if step.names[binding.name] == value:
                    return binding.layout.nbytes
        elif isinstance(step, Repeat) and value in [each.result for each in step.collected]:
            sizes = [each.binding.layout.nbytes for each in step.collected if each.result == value]
            return step.limit * sizes[0]
        elif value in step.results:
            index = step.results.index(value)
            found = (_bytes_of(inner, inner.results[index]) for inner in _inside(step))
            return next((size for size in found if size is not None), None)
    return None


def own_macs(sequence: Sequence) -> int:
    """Multiply-accumulates of the steps that run on every way."""
    return sum(step.region.macs for step in sequence.steps if isinstance(step, Piece))


def most_macs(sequence: Sequence) -> int:
    """Multiply-accumulates of the longest way."""
    return sum(
        step.region.macs if isinstance(step, Piece) else _times(step) * max(map(most_macs, _inside(step)))
        for step in sequence.steps
    )


def most_cycles(sequence: Sequence) -> int:
    """Cycles of the longest way."""
    return sum(
        step.region.estimated_cycles
        if isinstance(step, Piece)
        else _times(step) * (DECISION_CYCLES + max(map(most_cycles, _inside(step))))
        for step in sequence.steps
    )


def log_bytes(sequence: Sequence) -> int:
    """Bytes of the log of what is decided inside loops, on the longest way: one for each decision, and for each inner
    loop that may end early one before every iteration and one at its end."""
    return sum(step.limit * notes(step.body) if isinstance(step, Repeat)
               else max(map(log_bytes, _inside(step)), default=0)
               for step in sequence.steps if not isinstance(step, Piece))  # fmt: skip


def notes(sequence: Sequence) -> int:
    """Bytes of the log of one iteration."""
    count = 0
    for step in sequence.steps:
        if isinstance(step, Repeat):
            count += step.limit * (step.changes + notes(step.body)) + step.changes
        elif isinstance(step, Decide):
            count += 1 + max(map(notes, _inside(step)))
    return count


def _times(step: Decide | Repeat) -> int:
    """Iterations of a loop, one where they are not known."""
    return step.limit if isinstance(step, Repeat) and step.limit == step.most else 1
