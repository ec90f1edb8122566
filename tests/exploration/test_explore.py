"""weft explore: machines from parameters, areas, the front, the picture, what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import weft
from weft.api.exploration import explore, write_plot
from weft.bench.builder import QdqBuilder
from weft.errors import CompileError
from weft.exploration import area as area_module
from weft.exploration.area import area, condense
from weft.exploration.axes import machines, parse_axes
from weft.exploration.evaluate import evaluate
from weft.frontend import Model
from weft.tuning.cache import TuningCache
from weft_sim.machine import PRESETS, machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model() -> Model:
    build = QdqBuilder("small", 5)
    x = build.convolution(build.input((1, 16, 28, 28)), 32, 3)
    return Model(build.build(build.dense(build.convolution(x, 32, 3, 2), 10)), name="small")


def test_values_become_machines_in_order():
    points, invalid = machines(
        machine("weft-16"), parse_axes(["lanes=8,16", "scratchpad_kib=128", "dram_bytes_per_cycle=3.3,16"])
    )
    assert not invalid
    assert [point.label for point in points][:2] == [
        "lanes=8 scratchpad_kib=128 dram_bytes_per_cycle=3.3",
        "lanes=8 scratchpad_kib=128 dram_bytes_per_cycle=16",
    ]
    assert [point.machine.lanes for point in points] == [8, 8, 16, 16]
    assert all(point.machine.scratchpad_bytes == 128 << 10 for point in points)
    assert [point.machine.dram_bytes_per_cycle for point in points] == pytest.approx([3.3, 16, 3.3, 16])
    assert [point.machine.dram_beat_bytes for point in points] == [4, 16, 4, 16]


def test_combinations_that_are_no_machine_are_named():
    points, invalid = machines(machine("weft-16"), parse_axes(["lanes=8,12", "dram_bytes_per_cycle=0,8,1000"]))
    assert [point.label for point in points] == ["lanes=8 dram_bytes_per_cycle=8"]
    assert len(invalid) == 5
    assert any("power of two" in each.reason for each in invalid)
    assert any("must be positive" in each.reason for each in invalid)
    assert any("dram_beat_bytes" in each.reason for each in invalid)


@pytest.mark.parametrize(
    "wrong", ["lanes", "lanes=", "lanes=8.5", "lane=8", "name=x", "dram_bytes_per_cycle=nan", "lanes=8,x"]
)
def test_what_cannot_be_varied_is_refused(wrong):
    with pytest.raises(CompileError):
        parse_axes([wrong])


def test_too_many_machines_and_double_parameters_are_refused():
    values = ",".join(str(each) for each in range(1, 100))
    with pytest.raises(CompileError, match="more than"):
        parse_axes([f"clock_mhz={values}", f"dram_latency={values}"])
    with pytest.raises(CompileError, match="twice"):
        parse_axes(["lanes=8", "lanes=16"])


def test_the_area_table_is_that_of_the_synthesis():
    synthesis = json.loads((ROOT / "docs" / "synthesis.json").read_text())
    assert condense(synthesis) == area_module._table()
    for name in ("weft-8", "weft-16"):
        total = synthesis[name]["gates"]["total"]
        found = area(PRESETS[name])
        assert found.memory_bits == total["memory_bits"]
        assert found.gates == sum(factor * total[cell] for cell, factor in area_module.GATES.items())


def test_areas_grow_as_machines_do():
    small, middle, large = (area(PRESETS[f"weft-{lanes}"]) for lanes in (8, 16, 32))
    assert 2 * small.gates < middle.gates + small.gates < large.gates < 4 * middle.gates
    points, _ = machines(machine("weft-16"), parse_axes(["scratchpad_kib=256,512"]))
    half, whole = (area(point.machine) for point in points)
    assert whole.gates == half.gates and whole.memory_bits - half.memory_bits == 8 * 256 * 1024


def test_all_machines_are_compared(model, tmp_path):
    report = explore([model, model], ["lanes=8,16,24", "dram_bytes_per_cycle=4,16"], "weft-8", processes=2)
    assert len(report.machines) == 4 and len(report.invalid) == 2 and len(report.models) == 2
    quickest = min(report.machines, key=lambda each: each.microseconds)
    smallest = min(report.machines, key=lambda each: (each.area, each.microseconds))
    assert quickest.front and smallest.front and any(not each.front for each in report.machines)
    for each in report.machines:
        assert sum(each.cycles_by_model.values()) == each.cycles > 0
        assert 0 < each.utilization < 1 and each.moved_bytes > 2 * 16 * 28 * 28 and 0 < each.offloaded <= 1
    machine_8 = next(each for each in report.machines if each.parameters == {"lanes": 8, "dram_bytes_per_cycle": 4})
    points, _ = machines(machine("weft-8"), parse_axes(["lanes=8", "dram_bytes_per_cycle=4"]))
    program = weft.compile(model, points[0].machine)
    assert machine_8.cycles == 2 * program.estimated_cycles
    write_plot(report, tmp_path / "plot.svg")
    picture = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert len(picture.findall(".//{*}circle/{*}title")) == 4
    assert "http" not in (tmp_path / "plot.svg").read_text().replace("http://www.w3.org/2000/svg", "")
    json.dumps(report.to_dict(), allow_nan=False)


def test_what_was_tuned_does_not_favour_a_machine(model):
    report = explore([model], ["lanes=16"], processes=1)
    weft.tune(model, options=weft.TuneOptions(trials=12, ranker="simulator", processes=2))
    assert list(TuningCache().folder.glob("*.json"))
    assert explore([model], ["lanes=16"], processes=1) == report


def test_a_model_that_cannot_be_compiled_is_a_reason():
    values = machine("weft-8").to_dict()
    build = QdqBuilder("small", 5)
    proto = build.build(build.convolution(build.input((1, 16, 8, 8)), 16, 3))
    cost = evaluate("small", proto.SerializeToString(), {}, "no-such-host", values)
    assert "unknown host profile" in cost.failure and cost.cycles == 0
