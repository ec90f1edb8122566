"""The faults of rtl/tools/mutate.py: what is planted, where, and that number 0 stays the RTL as it is."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "rtl" / "tools"))

from mutation import benches, choose, report, schemata, suite  # noqa: E402
from mutation.faults import KINDS, Fault, faults  # noqa: E402
from mutation.source import read  # noqa: E402
from mutation.tokens import blank, partners, tokenize  # noqa: E402
from weft_sim import simulator  # noqa: E402
from weft_sim.machine import machine  # noqa: E402
from weft_sim.rtl import RtlError  # noqa: E402

MODULE = """// A comment with a <= b; in it.
module sample
  import weft_pkg::*;
#(
  parameter int unsigned Depth = 4
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       enable_i,
  input  logic [7:0] a_i, b_i,
  input  logic [3:0] c_i,
  output logic [7:0] sum_o
);
  localparam int unsigned Bits = Depth + 1;
  logic [7:0] sum_q, old_q;
  logic [Bits-1:0] count_q;

  assign sum_o = c_i == 4'd3 ? sum_q : old_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q <= '0;
    end else if (enable_i && a_i != 8'd0) begin
      sum_q <= a_i + b_i;
      count_q <= count_q + Bits'(1);
    end
  end

  if (Depth > 1) begin : gen_more
    assign wide = {Depth{c_i[3:1]}} >> {c_i, 1'b0};
  end

  other #(.Width(Bits + 1)) u_other (.clk_i, .push_i(enable_i), .data_i(a_i), .head_o(sum_o));

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) a_i + b_i != '0);
`endif
endmodule
"""


def _source(tmp_path: Path, text: str = MODULE):
    path = tmp_path / "sample.sv"
    path.write_text(text)
    return read(path)


def _found(tmp_path: Path, text: str = MODULE) -> set[tuple[int, str, str, str]]:
    return {(fault.line, fault.kind, fault.old, fault.new) for fault in faults(_source(tmp_path, text))}


def _line(words: str) -> int:
    return next(number for number, line in enumerate(MODULE.splitlines(), start=1) if words in line)


def test_blank_keeps_every_place() -> None:
    code = blank(MODULE)
    assert len(code) == len(MODULE) and code.count("\n") == MODULE.count("\n")
    assert "comment" not in code and "assert" not in code and "SYNTHESIS" not in code
    assert code.index("assign sum_o") == MODULE.index("assign sum_o")


def test_tokens_have_their_places() -> None:
    text = "x <= 13'(y) >>> 4'd3;"
    assert [token.text for token in tokenize(text)] == ["x", "<=", "13'", "(", "y", ")", ">>>", "4'd3", ";"]
    assert all(text[token.start : token.end] == token.text for token in tokenize(text))
    with pytest.raises(ValueError, match="line 2"):
        tokenize("a\n\\b")
    with pytest.raises(ValueError, match="closes nothing"):
        partners(tokenize("(a]"))
    with pytest.raises(ValueError, match="never closed"):
        partners(tokenize("(a"))


@pytest.mark.parametrize(
    ("words", "kind", "old", "new"),
    [
        ("assign sum_o", "wrong operator", "==", "!="),
        ("assign sum_o", "off by one", "4'd3", "4'd4"),
        ("assign sum_o", "off by one", "4'd3", "4'd2"),
        ("assign sum_o", "swapped branches", "sum_q : old_q", "old_q : sum_q"),
        ("assign sum_o", "wrong signal", "sum_q", "old_q"),
        ("else if", "wrong operator", "&&", "||"),
        ("else if", "dropped enable", "enable_i && a_i != 8'd0", "1'b1"),
        ("else if", "wrong condition", "enable_i && a_i != 8'd0", "1'b0"),
        ("else if", "wrong condition", "enable_i && a_i != 8'd0", "!(enable_i && a_i != 8'd0)"),
        ("else if", "off by one", "8'd0", "8'd1"),
        ("else if", "wrong signal", "a_i", "b_i"),
        ("sum_q <= a_i", "wrong operator", "+", "-"),
        ("sum_q <= a_i", "dropped update", "sum_q <= a_i + b_i;", ""),
        ("count_q <= '0", "wrong constant", "'0", "'1"),
        ("u_other", "dropped enable", "enable_i", "'1"),
        ("u_other", "wrong constant", "enable_i", "'0"),
        ("assign wide", "wrong constant", "1'b0", "1'b1"),
        ("assign wide", "wrong operator", ">>", "<<"),
    ],
)
def test_fault_is_found(tmp_path, words: str, kind: str, old: str, new: str) -> None:
    assert (_line(words), kind, old, new) in _found(tmp_path)


def test_what_is_no_hardware_is_left_alone(tmp_path) -> None:
    """Parameters, widths, numbers of copies, generate conditions, resets, outputs, assertions, other types."""
    found = list(faults(_source(tmp_path)))
    assert {fault.kind for fault in found} <= set(KINDS)
    lines = {fault.line for fault in found}
    for words in ("parameter", "localparam", "logic [7:0] sum_q", "if (Depth", "if (!rst_ni)", "assert"):
        assert _line(words) not in lines, words
    wide = [fault for fault in found if fault.line == _line("assign wide")]
    assert not [fault for fault in wide if "Depth" in fault.old or fault.old in ("3", "1")]
    assert not [fault for fault in found if fault.old == "sum_o" or fault.new in ("c_i", "sum_o", "clk_i")]


def _evaluate(text: str, number: int) -> str:
    """The planted text with its choices made, by a plain reading of the form (number == n ? (wrong) : (right))."""
    choice = re.compile(r"weft_mutant_pkg::number (==|!=) 32'd(\d+)")
    return choice.sub(lambda m: "TRUE" if (int(m[2]) == number) == (m[1] == "==") else "FALSE", text)


def test_planted_text_has_right_and_wrong_on_the_same_lines(tmp_path) -> None:
    source = _source(tmp_path)
    found = [
        f for f in faults(source) if f.line == _line("sum_q <= a_i") and f.kind in ("wrong operator", "dropped update")
    ]
    mutants = [schemata.Mutant(number, fault) for number, fault in enumerate(found, start=1)]
    assert len(mutants) == 2
    planted = schemata.planted(source, mutants)
    assert planted.count("\n") == MODULE.count("\n")
    number = {m.fault.kind: m.number for m in mutants}
    line = planted.splitlines()[_line("sum_q <= a_i") - 1].strip()
    add, drop = number["wrong operator"], number["dropped update"]
    assert line == (
        f"begin if (weft_mutant_pkg::number != 32'd{drop}) "
        f"sum_q <= (weft_mutant_pkg::number == 32'd{add} ? (a_i - b_i) : (a_i + b_i)); end"
    )
    assert _evaluate(line, 0) == "begin if (TRUE) sum_q <= (FALSE ? (a_i - b_i) : (a_i + b_i)); end"


def test_nested_regions_are_planted_once_each(tmp_path) -> None:
    source = _source(tmp_path)
    mutants = [schemata.Mutant(n, f) for n, f in enumerate(faults(source), start=1)]
    planted = schemata.planted(source, mutants)
    for mutant in mutants:
        sign = "!=" if mutant.fault.is_statement else "=="
        assert len(re.findall(rf"number {sign} 32'd{mutant.number}\b", planted)) == 1, mutant
    partners(tokenize(blank(planted)))  # brackets match


def test_without_mutants_nothing_changes(tmp_path) -> None:
    assert schemata.planted(_source(tmp_path), []) == MODULE


def test_wrong_text_is_the_region_with_one_token_changed(tmp_path) -> None:
    source = _source(tmp_path)
    fault = next(f for f in faults(source) if f.old == "==" and f.new == "!=")
    assert schemata.wrong_text(source, fault) == "c_i != 4'd3"


def test_every_file_of_the_rtl_has_faults_of_several_kinds() -> None:
    sources = choose.sources_of(ROOT)
    assert len(sources) > 40
    for name, source in sources.items():
        found = list(faults(source))
        assert len(found) >= choose.LEAST and len({f.kind for f in found}) >= 3, name
        for fault in found:
            assert " ".join(source.code[fault.start : fault.end].split()) == fault.old
            assert fault.region_start <= fault.start < fault.end <= fault.region_end


def test_choice_depends_on_the_seed_alone_and_covers_all_files() -> None:
    source = choose.sources_of(ROOT)["vpu.sv"]
    assert choose.queue_of(source, 1) == choose.queue_of(source, 1) != choose.queue_of(source, 2)
    assert {f.kind for f in choose.queue_of(source, 1)[: len(KINDS)]} == set(KINDS)
    shares = choose.shares({"long": 90, "short": 10}, 108)
    assert shares == {"long": choose.LEAST + 90, "short": choose.LEAST + 10}


# Verdicts.

CONFIG = machine("weft-8")


def _device(change):
    def run(config, dram, program_address, instruction_count, registers, options):
        suite_proof = os.environ["WEFT_MUTANT_PROOF"] if os.environ.get("WEFT_MUTANT") != "0" else ""
        if suite_proof:
            Path(suite_proof).write_text(os.environ["WEFT_MUTANT"])
            change(dram)
        return simulator.run(config, dram, program_address, instruction_count, registers, options)

    return run


def _judged(monkeypatch, change) -> suite.Verdict:
    monkeypatch.setattr(suite, "SECONDS", 1.0)
    suite.enter(suite.cases(CONFIG, 2, 0)[-1:], lambda before: _device(change))
    return suite.run_mutant(7)


def _assertion(dram) -> None:
    os.write(1, b"%Error: x.sv:3: Assertion failed in TOP\nAborting...\n")
    os.abort()


def _harness(dram) -> None:
    raise RtlError("a control register does not hold its value")


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda dram: None, ""),
        (lambda dram: dram.__ixor__(np.uint8(1)), "difference"),
        (_assertion, "assertion"),
        (_harness, "check of the harness"),
        (lambda dram: os.kill(os.getpid(), signal.SIGSEGV), "end of the process"),
        (lambda dram: signal.pause(), "hang"),
    ],
)
def test_verdicts(monkeypatch, change, how: str) -> None:
    verdict = _judged(monkeypatch, change)
    assert verdict.how == how and bool(verdict.by) == bool(how)


def _raise(error):
    def change(dram) -> None:
        raise error

    return change


@pytest.mark.parametrize(
    "change",
    [_raise(KeyError("x")), _raise(RtlError("std::bad_alloc")), lambda dram: os.kill(os.getpid(), signal.SIGKILL)],
)
def test_a_run_that_proves_nothing_is_no_catch(monkeypatch, change) -> None:
    with pytest.raises(RuntimeError, match="mutant 7 ended with status"):
        _judged(monkeypatch, change)


def test_a_mutant_that_is_not_active_is_no_catch(monkeypatch) -> None:
    def wrong_number(dram) -> None:
        Path(os.environ["WEFT_MUTANT_PROOF"]).write_text("0")
        dram ^= np.uint8(1)

    with pytest.raises(RuntimeError, match="mutant 7 was not active"):
        _judged(monkeypatch, wrong_number)


def test_benches_reach_what_they_instantiate() -> None:
    names = tuple(path.stem.removesuffix("_bench") for path in (ROOT / "rtl" / "tb").glob("*_bench.py"))
    reaching = benches.reaching(ROOT, names)
    assert "load" in reaching["burst"] and "store" in reaching["burst"] and "mxu" not in reaching["burst"]
    assert "validate" in reaching["range_check"] and reaching["float_add"][0] == "float_units"
    assert set(reaching["binary32_pkg"]) == {"float_units", "vpu"}


# The report.


def _finding(by: str, equivalent: str = "", number: int = 1) -> report.Finding:
    fault = Fault("sample.sv", 18, "wrong operator", 1, 2, "==", "!=", 0, 3)
    return report.Finding(number, fault, suite.Verdict(by, "difference" if by else ""), equivalent)


def test_equivalent_mutants_do_not_count_but_one_that_is_caught_does() -> None:
    findings = [_finding("x"), _finding(""), _finding("", "same"), _finding("x", "wrongly declared")]
    assert report.score(findings) == pytest.approx(100 * 2 / 3)
    text = report.markdown(findings, "Seed 1.")
    assert "2 of 3 mutants caught: 66.7 %" in text and "| sample.sv | 4 | 2 | 1 | 1 |" in text
    assert "`sample.sv:18` wrong operator: `== -> !=`. not analysed" in text and "same" in text


def test_report_is_written_for_people_and_programs(tmp_path) -> None:
    report.write(tmp_path, [_finding("weft-8 seed 3")], "Seed 1.", {"sample.sv": MODULE})
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["score"] == 100 and found["mutants"][0]["by"] == "weft-8 seed 3"
    assert (tmp_path / "report.md").read_text().startswith("# Mutants of the RTL")


def test_reasons_name_a_fault_by_its_line(tmp_path) -> None:
    source = _source(tmp_path, MODULE.replace("count_q <= '0;", "count_q <= '0;\n      count_q <= '0;"))
    second = [f for f in faults(source) if f.old == "'0" and f.line == _line("count_q <= '0") + 1]
    assert report.key(second[0], source.text) == ("sample.sv", "count_q <= '0;", 2, 12, "'0 -> '1")
    path = tmp_path / "reasons.toml"
    words = 'file = "sample.sv"\nline = "count_q <= \'0;"\nwhich = 2\nplace = 12\nmutation = "\'0 -> \'1"'
    path.write_text(f'[[mutant]]\n{words}\nreason = "same"\n')
    assert report.reasons(path) == {report.key(second[0], source.text): "same"}
    assert report.reasons(tmp_path / "absent.toml") == {}
