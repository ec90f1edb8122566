"""Emits docs/isa.md."""

from __future__ import annotations

import ast
import enum
import inspect
import itertools

import weft_sim.isa as isa
from weft_sim.isa import architecture, field
from weft_sim.isa.generate.table import ENUMERATIONS, NOTICE, instruction_classes, summary
from weft_sim.isa.instruction import Instruction

__all__ = ["reference_page"]

_INTRODUCTION = f"""<!-- {NOTICE} -->
# The instruction set

An instruction is {isa.INSTRUCTION_BYTES} bytes, read as one little-endian number of
{8 * isa.INSTRUCTION_BYTES} bits.
A program is a sequence of instructions at a multiple of {isa.INSTRUCTION_BYTES} in DRAM; index *i* is the
*i*-th instruction. FETCH decodes instructions in program order and hands each to its unit's queue; each unit
executes its own in order, and units run independently of each other but for tokens. The NumPy semantics
beside each entry's fields in `hw_sim/weft_sim/isa/` settle every question; `docs/machine.md` says in which
cycle things happen.

A program is position-independent: LOAD and STORE address DRAM relative to one of {isa.REGISTERS} base
registers that the host binds at launch. All addresses are checked before an instruction is dispatched.

Types: `uN` unsigned, `sN` two's complement, `f32` IEEE 754 binary32. Bits from an instruction's last field on
are reserved and must be 0.
"""

_TOKENS = f"""## Tokens

For each ordered pair of different units (u → v) there is a channel, a counter of tokens. An instruction of
unit v whose `wait` has bit u set is issued only when the channel (u → v) holds a token, and takes it; an
instruction of unit u whose `signal` has bit v set puts one in when it retires. Bits number units as below. An
instruction that names its own unit, or a unit that does not exist, is an ILLEGAL_FIELD.

FETCH counts tokens in program order (the order of execution, behind jumps): an instruction that waits for a
token that no earlier instruction signals is refused (DEADLOCK), and so is one that would leave more than
{isa.TOKEN_LIMIT} tokens of a channel not yet waited for (TOKEN_OVERFLOW). So a program that is dispatched
cannot hang.

Nothing else orders two units, but that FETCH dispatches nothing while an instruction of its own waits. Two
accesses by different units of which one writes must be ordered by tokens, or the program's answer depends on
time; `weft_sim.races` proves that they are, and `weft_sim.synchronize` puts the tokens in. Within a unit,
instructions take effect in order.
"""

_DISPATCH = """## Dispatch checks

In this order; the first that fails stops the program with its cause and the instruction's index. Everything
before it completes; it and everything after it has no effect.

1. the index lies inside the program (PROGRAM_RANGE);
2. the opcode exists (ILLEGAL_OPCODE);
3. reserved bits are 0, every enumeration's field holds a member, `wait` and `signal` name other units, and
   the fields fit together on this machine (ILLEGAL_FIELD): no loop count is 0, and the product of an
   instruction's loop counts (for LOAD, STORE and FILL times `run_bytes`) is at most MAX_WORK;
4. every address lies inside its memory; where several do not, the lowest cause is reported (DRAM_RANGE,
   SCRATCHPAD_RANGE, ACCUMULATOR_RANGE);
5. the tokens (DEADLOCK, then TOKEN_OVERFLOW).
"""


def reference_page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, _constants(), _TOKENS, _DISPATCH, "## Enumerations\n"]
    parts += [_enumeration(members) for members in ENUMERATIONS]
    parts += ["## Instructions\n", _summary()]
    parts += [_instruction(kind) for kind in instruction_classes()]
    return "\n".join(parts).rstrip() + "\n"


def _constants() -> str:
    """Architecture constants with the docstrings that follow them in architecture.py."""
    lines = [
        "## Constants of the architecture\n",
        "The same on every machine.\n",
        "| name | value | |",
        "|---|---:|---|",
    ]
    documents = _attribute_documents(inspect.getsource(architecture))
    names = [name for name in architecture.__all__ if isinstance(getattr(architecture, name), int)]
    lines += [f"| {name} | {getattr(architecture, name)} | {documents.get(name, '')} |" for name in names]
    lines.append(f"| NO_REGISTER | {isa.NO_REGISTER} | REGISTER's `source`: none |")
    lines.append(f"| NO_MAILBOX | {isa.NO_MAILBOX} | REGISTER's `mailbox`: none |")
    lines += [
        "\nPipeline constants (cycles or entries; their use is in `docs/machine.md`):\n",
        "| name | value |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {value} |" for name, value in isa.TIMING.items()]
    return "\n".join(lines) + "\n"


def _attribute_documents(source: str) -> dict[str, str]:
    """Assigned name → the string that follows the assignment, on one line."""
    found: dict[str, str] = {}
    for statement, following in itertools.pairwise(ast.parse(source).body):
        match statement, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _enumeration(members: type[enum.IntEnum]) -> str:
    lines = [f"### {members.__name__}\n", f"{inspect.getdoc(members)}\n", "| value | name |", "|---:|---|"]
    return "\n".join(lines + [f"| {member.value} | {member.name} |" for member in members]) + "\n"


def _summary() -> str:
    lines = ["| opcode | name | unit | bits | |", "|---:|---|---|---:|---|"]
    for kind in instruction_classes():
        link = f"[{kind.MNEMONIC}](#{kind.MNEMONIC.lower()})"
        lines.append(f"| {kind.OPCODE} | {link} | {kind.UNIT.name} | {kind.BITS} | {summary(kind)} |")
    return "\n".join(lines) + "\n"


def _instruction(kind: type[Instruction]) -> str:
    lines = [
        f"### {kind.MNEMONIC}\n",
        f"Opcode {kind.OPCODE}, unit {kind.UNIT.name}.\n",
        f"{inspect.getdoc(kind)}\n",
    ]
    lines += ["| bits | field | type | default | |", "|---|---|---|---:|---|"]
    for item in kind.FIELDS:
        bits = f"{item.low + item.width - 1}:{item.low}"
        default = kind.OPCODE if item.name == "opcode" else item.show(item.default)
        lines.append(f"| {bits} | {item.name} | {_kind(item)} | {default} | {item.doc} |")
    return "\n".join(lines) + "\n"


def _kind(item: field.Field) -> str:
    return f"{item.kind} {item.members.__name__}" if isinstance(item, field.EnumField) else item.kind
