"""Random programs as plain `nn.Module` source, in varied style: elif, ternaries, in-place changes, methods, item()."""

from __future__ import annotations

from conditions import comparison_text
from module_text import ITSELF, ModuleText
from operations import OPERATIONS
from tree import (
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
)  # fmt: skip

HEADER = """import torch
from torch import nn
from torch.nn import functional


class Program(nn.Module):
    def __init__(self):
        super().__init__()
"""


class PythonText(ModuleText):
    """Writes one program."""

    header = HEADER
    first_numbers = ("int(count), 1", "0, 1")

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
