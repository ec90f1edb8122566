"""Artifacts of dynamic programs whose manifest was changed at random: refused or run, with typed errors alone."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter

import weft
from weft.errors import WeftError
from weft.frontend import load
from weft_runtime import interpreter
from weft_runtime.fields import Fields
from weft_runtime.manifest import describe, restore
from weft_runtime.session import Session
from weft_runtime.validate import validate
from weft_sim.result import RunOptions

SIZE, DAMAGES = 16, 60
NUMBERS = (-1, 0, 1, 2, 3, 5, 17, 1 << 40)


def program(driver: str) -> weft.Program:
    """A loop with a condition; in it an If whose outcomes are logged, and a loop that is counted by an input."""
    random_numbers = np.random.default_rng(3)
    weights = (random_numbers.standard_normal((3, SIZE, SIZE)) * 0.3).astype(np.float32)
    zeros = np.zeros(SIZE, np.float32)
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, SIZE]), weights[0], zeros, relu=True)
    count = g.value("count", INT64, [])
    b = g.body()
    b.value("step", INT64, [])
    b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, SIZE])
    then, otherwise = b.body(), b.body()
    inner = then.body()
    inner.value("step", INT64, [])
    going = inner.value("going", BOOL, [])
    again = inner.dense(inner.value("hidden", FLOAT, [1, SIZE]), weights[0], zeros, relu=True)
    repeated = then.node("Loop", [count, "", hidden], body=inner.graph([going, again]))
    truth = b.above(b.dense(hidden, weights[1][:, :1], np.zeros(1, np.float32)), 0.0)
    chosen = b.if_(truth, then, [repeated], otherwise, [otherwise.dense(hidden, weights[2], zeros, relu=True)])
    following = b.dense(chosen, weights[1], zeros, relu=True)
    more = b.above(b.dense(following, weights[2][:, :1], np.zeros(1, np.float32)), 0.0)
    last, states = g.node("Loop", [g.constant(np.int64(5)), "", state], 2, body=b.graph([more, following, following]))
    vectors = random_numbers.standard_normal((24, 1, SIZE)).astype(np.float32)
    samples = [{"vector": vector, "count": np.asarray(2)} for vector in vectors]
    quantized = weft.quantize(load(g.model([(last, FLOAT, [1, SIZE]), (states, FLOAT, ["n", 1, SIZE])])), samples)
    pins = {"annotate": lambda node: "accelerator" if node.op_type == "QLinearConv" else None}
    return weft.compile(quantized, driver="host" if driver == "host" else "device", **pins)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def damaged(manifest: dict[str, Any], chooser: random.Random) -> dict[str, Any]:
    result = copy.deepcopy(manifest)
    found = [each for name in ("control", "regions", "steps") for each in places(manifest[name], (name,))]
    texts = [value for _, value in found if isinstance(value, str)]
    path, value = chooser.choice(found)
    holder: Any = result
    for key in path[:-1]:
        holder = holder[key]
    match value:
        case int():
            holder[path[-1]] = chooser.choice(NUMBERS)
        case str():
            holder[path[-1]] = chooser.choice([*texts, ""])
        case list():
            holder[path[-1]] = chooser.choice([[], value + value, value[::-1], value[:1]])
        case _:
            del holder[path[-1]]
    return result


@pytest.mark.parametrize("driver", ["device", "host"])
def test_damaged_programs(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MAX_ITERATIONS", 30)
    manifest, sections = describe([program(driver).executable])
    chooser, refused = random.Random(5), 0
    for _ in range(DAMAGES):
        text = json.dumps(damaged(manifest, chooser))
        try:
            executable = restore(Fields(json.loads(text), "manifest"), dict(sections))[0]
            validate(executable)
            with Session(executable, options=RunOptions(instruction_limit=20_000, cycle_limit=1 << 22)) as session:
                session.run({"vector": np.ones((1, SIZE), np.float32), "count": np.asarray(3)})
        except WeftError:
            refused += 1
    assert DAMAGES > refused > DAMAGES // 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("log", "size"), 1), (("log", "offset"), 1 << 30), (("numbers", 0, "offset"), 1 << 30),
        (("numbers", 0, "name"), "nothing"), (("decisions", 0, "limit"), 0), (("decisions", 0, "mailbox"), -3),
        (("decisions", 0, "most"), 0), (("decisions", 0, "collected"), ["nothing"]), (("decisions", 0, "limit"), 4),
        (("decisions", 0, "tally"), "vector_given"), (("decisions", 0, "number"), "nothing"),
        (("decisions", 0, "decisions", 0, "mailbox"), -2),
        (("decisions", 0, "decisions", 0, "when_above", 0, "number"), "nothing"),
        (("decisions", 0, "decisions", 0, "when_above", 0, "mailbox"), -4),
    ],
)  # fmt: skip
def test_a_way_that_cannot_be(path: tuple[Any, ...], value: Any) -> None:
    """What is read back after a launch is checked: the first refusals before anything runs, the others behind it."""
    manifest, sections = describe([program("device").executable])
    region = next(each for each in manifest["regions"] if "log" in each)
    holder: Any = region
    for key in path[:-1]:
        holder = holder[key]
    assert holder[path[-1]] != value
    holder[path[-1]] = value
    with pytest.raises(WeftError):
        executable = restore(Fields(json.loads(json.dumps(manifest)), "manifest"), dict(sections))[0]
        validate(executable)
        with Session(executable) as session:
            for index in range(8):
                vector = np.random.default_rng(index).standard_normal((1, SIZE)).astype(np.float32)
                session.run({"vector": vector, "count": np.asarray(3)})
