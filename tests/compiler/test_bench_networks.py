"""The networks of `weft bench networks` are what their names say, and their rooflines are right."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest

from weft.bench.ablation import ABLATIONS, ablation_rows
from weft.bench.builder import QdqBuilder
from weft.bench.mobile_networks import mobilenet_v1, mobilenet_v2, squeezenet
from weft.bench.networks import resnet50
from weft.bench.roofline import Roofline, operators_of, roofline
from weft.bench.transformer import bert_encoder
from weft.bench.whole_models import run
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft_sim.machine import machine


@pytest.mark.parametrize(
    ("build", "macs"),
    [  # published counts at 224, (64/224)² of that without the classifier, and one of 10 classes
        (lambda: mobilenet_v1(64, classes=10), (568_740_352 - 1_024_000) * 4 // 49 + 10_240),
        (lambda: mobilenet_v2(64, classes=10), (300_774_272 - 1_280_000) * 4 // 49 + 12_800),
        (lambda: resnet50(64, classes=10), (4_089_184_256 - 2_048_000) * 4 // 49 + 20_480),
        # 32² · 96 · 147, then fires on 15², 7² and 3² positions
        (lambda: squeezenet(64, classes=10), 14_450_688 + 225 * 69_120 + 49 * 452_608 + 9 * 201_728),
        # rows · (4 projections + 2 of the feed-forward part) + 2 products of positions with positions
        (lambda: bert_encoder(1, 16, 64, 4, 256), 16 * (4 * 64 * 64 + 2 * 64 * 256) + 2 * 16 * 16 * 64),
    ],
)
def test_everything_but_the_borders_is_one_region(build: Callable[[], onnx.ModelProto], macs: int) -> None:
    executable = compile_model(Model(build(), name="network"), "weft-16")
    assert len(executable.regions) == 1
    assert executable.macs == executable.offloaded_macs == macs


def test_roofline_takes_the_larger_of_compute_and_bytes() -> None:
    """1×1, 8 → 8 channels on 4×4: 1,024 MACs are 4 cycles at 256 a cycle; 128 in, 128 out, 64 weights and 64 of
    parameters are 384 bytes, 24 cycles at 16. As one operator, two such layers move 128 · 2 + 2 · 128 = 512."""
    build = QdqBuilder("two", 1)
    x = build.input((1, 8, 4, 4))
    model = Model(build.build(build.convolution(build.convolution(x, 8, 1), 8, 1)), name="two")
    assert roofline(operators_of(model), machine("weft-16")) == Roofline(48.0, 32.0)


def test_missing_models_are_listed_and_unknown_ones_refused() -> None:
    assert run(networks="ultraface", models="no/such/folder") == {
        "target": "weft-16", "absent": ["ultraface"], "networks": [],
    }  # fmt: skip
    with pytest.raises(ValueError, match="unknown network 'lenet'; known: resnet18"):
        run(networks="lenet")


def test_ablation_compares_with_the_full_compiler() -> None:
    """Two convolutions, their sum and two products that read it: more cycles without hiding, most without all
    mechanisms; nothing here runs beside products."""
    build = QdqBuilder("small", 3)
    x = build.convolution(build.input((1, 32, 14, 14)), 32, 3)
    joined = build.add(build.convolution(x, 32, 3), x)
    model = Model(build.build(build.convolution(build.convolution(joined, 64, 1), 32, 3)), name="small")
    full = sum(region.estimated_cycles for region in compile_model(model, "weft-16").regions)
    rows = ablation_rows("small", model, "weft-16", full)
    cycles = {row["without"]: row["cycles"] for row in rows}
    assert list(cycles) == ["nothing", *ABLATIONS]
    assert rows[0] == {"network": "small", "without": "nothing", "cycles": full, "percent_of_full": 100.0}
    assert cycles["latency hiding"] > full <= cycles["residency (chains)"]
    assert cycles["rows beside products"] == full <= cycles["fusion"]
    assert cycles["all of these"] == max(cycles.values()) > cycles["fusion"]
    assert rows[-1]["percent_of_full"] == pytest.approx(100 * cycles["all of these"] / full, abs=0.05)
