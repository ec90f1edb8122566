"""Random programs as plain `nn.Module` source, in varied style: elif, ternaries, in-place changes, methods, item()."""

from __future__ import annotations

import random

from conditions import comparison_text
from operations import NUMBER, OPERATIONS, SIDE, VECTOR
from tree import (
    KIND_OF,
    VARIABLES,
    Assign,
    Block,
    Combine,
    For,
    If,
    Leave,
    Part,
    Program,
    Rows,
    Statement,
    Test,
    While,
    assigned,
    layers_of,
)  # fmt: skip

HEADER = """import torch
from torch import nn
from torch.nn import functional


class Program(nn.Module):
    def __init__(self):
        super().__init__()
"""
LAYERS = {
    "square": "nn.Linear(16, 16)", "score": "nn.Linear(16, 1)", "classes": "nn.Linear(16, 4)",
    "conv": "nn.Conv2d(4, 4, 3, padding=1)", "point": "nn.Conv2d(4, 4, 1)", "flat": "nn.Linear(64, 16)",
    "depth": "nn.Conv2d(4, 4, 3, padding=1, groups=4)", "entry": "nn.Conv2d(1, 4, 3, padding=1)",
}  # fmt: skip
ITSELF = {name: name for name in KIND_OF}


def constructor(program: Program) -> list[str]:
    """The lines of __init__ behind super's."""
    lines = [f"        self.{kind}_{layer} = {LAYERS[kind]}" for kind, layer in layers_of(program)]
    units = [f'        self.register_buffer("unit_{each}", torch.eye(16)[{each} : {each} + 1])' for each in range(4)]
    return [*lines, *units]


def first_lines(program: Program, number: str) -> list[str]:
    """How the variables begin; `number` is the text for the input number."""
    others = "torch.tanh(vector), vector * 0.5"
    if program.features.layers_alone:
        others = "self.square_1(self.square_0(vector)), self.square_2(self.square_0(vector))"
    lines = [f"v0, v1, v2 = self.square_0(vector), {others}"]
    if program.features.images:
        lines += [f"m0 = self.entry_0(v0.reshape(1, 1, {SIDE}, {SIDE}))", "m1 = m0 + m0"]
    if program.features.numbers:
        lines += [f"n0, n1 = {number}"]
    return lines


def variables(program: Program) -> tuple[str, ...]:
    """All variables that a program has."""
    features = program.features
    return (
        *VARIABLES[VECTOR],
        *(VARIABLES["image"] if features.images else ()),
        *(VARIABLES[NUMBER] if features.numbers else ()),
    )


class PythonText:
    """Writes one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.random = random.Random(program.seed)
        self.lines: list[str] = []
        self.methods: list[str] = []

    def source(self) -> str:
        features = self.program.features
        head = "    def forward(self, vector" + (", count):" if features.count_is_input else "):")
        self.lines = ["", head]
        number = "int(count), 1" if features.count_is_input else "0, 1"
        for each in first_lines(self.program, number):
            self.line(2, each)
        self.block(2, self.program.body)
        self.line(2, f"return {', '.join(self.program.results)}")
        return HEADER + "\n".join([*constructor(self.program), *self.lines, *self.methods]) + "\n"

    def line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def block(self, indent: int, block: Block) -> None:
        for each in block:
            self.statement(indent, each)
        if not block:
            self.line(indent, "pass")

    def statement(self, indent: int, statement: Statement) -> None:
        match statement:
            case Assign():
                self.assign(indent, statement)
            case If():
                self.branch(indent, statement, "if")
            case While(limit=limit, body=body, counter=counter):
                tested = f" and ({self.test(statement.test)})" if statement.tested_first else ""
                self.line(indent, f"{counter} = 0")
                self.line(indent, f"while {counter} < {limit}{tested}:")
                self.line(indent + 1, f"{counter} += 1")
                self.block(indent + 1, body)
                if not statement.tested_first:
                    self.line(indent + 1, f"if not ({self.test(statement.test)}):")
                    self.line(indent + 2, "break")
            case For(count=count, body=body, counter=counter):
                times = count if isinstance(count, int) else f"min(max({count}, 0), 3)"
                self.line(indent, f"for {counter} in range({times}):")
                self.block(indent + 1, body)
            case Rows():
                self.rows(indent, statement)
            case Part(name=name, body=body):
                self.part(indent, name, body)
            case Leave(word=word, results=results):
                self.line(indent, f"if {self.test(statement.test)}:")
                self.line(indent + 1, f"return {', '.join(results)}" if word == "return" else word)

    def assign(self, indent: int, statement: Assign) -> None:
        target, sources = statement.target, statement.sources
        text = OPERATIONS[statement.operation].torch(statement.use, sources)
        own = f"{target} "
        style = self.random.random()
        if style < 0.3 and statement.operation.startswith(("scaled", "shifted")) and sources[0] == target:
            self.line(indent, f"{own}{text.removeprefix(own)[0]}= {statement.use.number}")
        elif style < 0.5 and statement.operation == "poked":
            self.line(indent, f"{target} = {sources[0]}.clone()")
            self.line(indent, f"{target}[0, {statement.use.index}] += {statement.use.number}")
        else:
            self.line(indent, f"{target} = {text}")

    def branch(self, indent: int, statement: If, word: str) -> None:
        then, other = statement.then, statement.other
        match then, other:
            case ((Assign() as one,), (Assign() as two,)) if one.target == two.target and word == "if":
                ours = OPERATIONS[one.operation].torch(one.use, one.sources)
                theirs = OPERATIONS[two.operation].torch(two.use, two.sources)
                self.line(indent, f"{one.target} = {ours} if {self.test(statement.test)} else {theirs}")
                return
        self.line(indent, f"{word} {self.test(statement.test)}:")
        self.block(indent + 1, then)
        if len(other) == 1 and isinstance(other[0], If):
            self.branch(indent, other[0], "elif")
        elif other:
            self.line(indent, "else:")
            self.block(indent + 1, other)

    def rows(self, indent: int, statement: Rows) -> None:
        parts = f"parts_{statement.row}"
        flip = ".flip(0)" if statement.backwards else ""
        self.line(indent, f"{parts} = []")
        self.line(indent, f"for {statement.row} in {statement.source}.reshape(4, 1, 4){flip}:")
        self.block(indent + 1, statement.body)
        self.line(indent + 1, f"{parts}.append(self.classes_{statement.use.layer}({statement.collected}))")
        joined = f"{parts}[::-1]" if statement.backwards else parts
        self.line(indent, f"{statement.target} = torch.cat({joined}, dim=1)")

    def part(self, indent: int, name: str, body: Block) -> None:
        taken, given = ", ".join(variables(self.program)), ", ".join(assigned(body))
        self.line(indent, f"{given} = self.{name}({taken})")
        outer, self.lines = self.lines, ["", f"    def {name}(self, {taken}):"]
        self.block(2, body)
        self.line(2, f"return {given}")
        self.methods += self.lines
        self.lines = outer

    def test(self, test: Test) -> str:
        if isinstance(test, Combine):
            if test.right is None:
                return f"not {self.test(test.left)}"
            return f"{self.test(test.left)} {test.word} {self.test(test.right)}"
        item = self.random.choice(["", "", ".item()"])
        return comparison_text(test, ITSELF, item)


def python_source(program: Program) -> str:
    """A module's source, with a class Program."""
    return PythonText(program).source()
