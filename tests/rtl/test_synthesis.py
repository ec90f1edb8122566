"""Synthesis (rtl/tools/weft_synthesis): what is read and added up, and that a planted latch and loop are found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "rtl" / "tools"))

from weft_synthesis import checks, page, result, yosys
from weft_synthesis.targets import FPGA, GATES, TARGETS
from weft_synthesis.usage import Statistics, instances, longest_paths, source_name

DESIGN = {
    "top": {"LUT6": 1, "pair$top.u_a": 1, "pair$top.u_b": 1},
    "pair$top.u_a": {"LUT2": 3, "leaf$top.x": 2},
    "pair$top.u_b": {"LUT2": 4, "leaf$top.x": 1, "DSP48E2": 1},
    "leaf$top.x": {"FDCE": 10, "RAM32M16": 1},
    "unused": {"LUT6": 1000},
}
BITS = Statistics(cells=DESIGN, memory_bits={"leaf$top.x": 512, "unused": 9})
FLAT = {"LUT6": 1, "LUT2": 7, "FDCE": 30, "RAM32M16": 3, "DSP48E2": 1}

needs_yosys = pytest.mark.skipif(bool(yosys.missing()), reason=f"needs {yosys.missing()}")


def test_instances_multiply_down_the_hierarchy() -> None:
    assert instances(DESIGN, "top") == {"top": 1, "pair$top.u_a": 1, "pair$top.u_b": 1, "leaf$top.x": 3}
    with pytest.raises(yosys.SynthesisError, match="no module absent"):
        instances(DESIGN, "absent")


@pytest.mark.parametrize(
    ("name", "plain"), [("queue$a.b[3].c", "queue"), ("csr", "csr"), ("$paramod\\x", "$paramod\\x")]
)
def test_an_instance_goes_by_its_name_in_the_source(name: str, plain: str) -> None:
    assert source_name(name) == plain


def test_modules_add_up_to_the_total() -> None:
    numbers = result.aggregate(FPGA, BITS, BITS, {"pair$top.u_a": 3, "pair$top.u_b": 5, "top": 1}, "top")
    pair, leaf = numbers["modules"]["pair"], numbers["modules"]["leaf"]
    assert (pair["instances"], pair["longest_path"], pair["own"]["luts"], pair["own"]["dsps"]) == (2, 5, 7, 1)
    assert (leaf["instances"], leaf["memory_bits"], leaf["own"]["flip_flops"], leaf["own"]["memory_luts"]) == (
        3,
        1536,
        30,
        24,
    )
    assert set(numbers["modules"]) == {"top", "pair", "leaf"}
    assert numbers["total"]["luts"] == 8 and numbers["total"]["memory_bits"] == 1536
    with_leaves = {"LUT6": 1, "LUT2": 7, "leaf$top.x": 3, "DSP48E2": 1}
    for flat in (FLAT, with_leaves):
        result.compare(FPGA, numbers["total"], Statistics({"top": flat}, {}), BITS, "top")
        with pytest.raises(yosys.SynthesisError, match="luts"):
            result.compare(FPGA, numbers["total"], Statistics({"top": {**flat, "LUT2": 6}}, {}), BITS, "top")
    with pytest.raises(yosys.SynthesisError, match="flip_flops"):
        result.compare(FPGA, numbers["total"], Statistics({"top": {**with_leaves, "leaf$top.x": 2}}, {}), BITS, "top")


def test_no_kind_of_cell_is_left_out() -> None:
    assert GATES.count({"$_NAND_": 2, "$_DFF_PN0_": 3, "$_DFFE_PP_": 4, "$mem_v2": 1})["flip_flops"] == 7
    with pytest.raises(yosys.SynthesisError, match="kind LUT7"):
        FPGA.count({"LUT7": 1})


@pytest.mark.parametrize(
    "kind", ["$dlatch", "$adlatch", "$dlatchsr", "$sr", "$_DLATCH_P_", "$_SR_PP_", "LDCE", "LDPE", "LD"]
)
def test_every_kind_of_latch_is_refused(kind: str) -> None:
    with pytest.raises(yosys.SynthesisError, match="module unit has a latch"):
        checks.refuse_latches({"clean": {"$dff": 1, "LUT6": 2, "$_DFF_P_": 1, "FDCE": 1, "$shl": 1}, "unit": {kind: 1}})


def test_flip_flops_are_no_latches() -> None:
    checks.refuse_latches({"unit": {"$dff": 1, "$adffe": 1, "$aldff": 1, "$_SDFFE_PP0P_": 1, "FDCE": 1, "$shr": 1}})


def test_longest_paths_are_read() -> None:
    log = "Longest topological path in \\queue$a.b[0] (length=12):\n 0: \\x\n"
    log += "Longest topological path in leaf (length=-1):\n"
    assert longest_paths(log) == {"queue$a.b[0]": 12}


@pytest.mark.parametrize("text", ["", "[]", '{"modules": {"top": {}}}', '{"modules": 3}'])
def test_what_is_no_statistics_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "stat.json").write_text(text)
    with pytest.raises(yosys.SynthesisError, match=r"stat\.json is no output"):
        Statistics.read(tmp_path / "stat.json")


def test_the_page_is_of_the_numbers_beside_it() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    if not (docs / "synthesis.json").is_file():
        pytest.skip("docs/synthesis.json is absent (make synth writes it)")
    numbers = json.loads((docs / "synthesis.json").read_text())
    assert (docs / "synthesis.md").read_text() == page.render(numbers)
    for results in numbers.values():
        for target, numbers_of in results.items():
            for column in TARGETS[target].columns:
                summed = sum(module["own"][column] for module in numbers_of["modules"].values())
                assert summed == numbers_of["total"][column]


def _check(source: str, folder: Path) -> None:
    (folder / "planted.sv").write_text(source)
    checks.elaborate(["planted.sv"], "planted", (), folder)
    checks.refuse_latches(Statistics.read(folder / "elaborated.json").cells)
    checks.refuse_loops(folder)


@needs_yosys
def test_a_planted_latch_is_found(tmp_path: Path) -> None:
    source = "module planted (input logic e, d, output logic q);\n always @* {} q = d;\nendmodule\n"
    _check(source.replace("{}", ""), tmp_path)
    with pytest.raises(yosys.SynthesisError, match="latch"):
        _check(source.replace("{}", "if (e)"), tmp_path)
    with pytest.raises(yosys.SynthesisError, match="loop"):
        _check(source.replace("{}", "if (e)").replace("always @*", "always_comb"), tmp_path)


@needs_yosys
def test_a_loop_through_two_modules_is_found(tmp_path: Path) -> None:
    source = """
    module nand_gate (input logic a, b, output logic q); assign q = ~(a & b); endmodule
    module planted (input logic a, b, output logic q);
      logic x;
      nand_gate u_first (.a, .b(SECOND), .q(x));
      nand_gate u_second (.a(b), .b(x), .q);
    endmodule
    """
    _check(source.replace("SECOND", "b"), tmp_path)
    with pytest.raises(yosys.SynthesisError, match="logic loop"):
        _check(source.replace("SECOND", "q"), tmp_path)


@needs_yosys
def test_a_memory_becomes_block_ram_and_the_sums_agree(tmp_path: Path) -> None:
    source = """
    module bank (input logic c, w, input logic [9:0] a, input logic [35:0] d, output logic [35:0] q);
      logic [35:0] memory [1024];
      always_ff @(posedge c) begin if (w) memory[a] <= d; q <= memory[a]; end
    endmodule
    module planted (input logic c, w, input logic [9:0] a, input logic [35:0] d, output logic [35:0] q);
      logic [35:0] x;
      bank u_first (.c, .w, .a, .d, .q(x));
      bank u_second (.c, .w, .a, .d(x), .q);
    endmodule
    """
    _check(source, tmp_path)
    for target, column, number in ((FPGA, "ramb36", 2), (GATES, "memories", 2)):
        for step, commands in enumerate(target.scripts("planted")):
            yosys.run(commands, tmp_path, f"{target.name}_{step}")
        numbers = result.read(target, tmp_path, "planted")
        assert numbers["total"][column] == number and numbers["total"]["memory_bits"] == 2 * 36 * 1024
        assert numbers["modules"]["bank"]["instances"] == 2
