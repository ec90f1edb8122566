"""Random programs as modules with PyTorch's own control flow, for torch.export: cond, while_loop and scan."""

from __future__ import annotations

from conditions import comparison_text
from module_text import ITSELF, ModuleText, variables
from operations import OPERATIONS
from tree import Assign, Block, Combine, For, If, Part, Program, Rows, Statement, Test, While, assigned

HEADER = """import torch
from torch import nn
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.scan import scan
from torch.nn import functional

max = torch.maximum


def int(value):
    return value.to(torch.int64)


class Program(nn.Module):
    def __init__(self):
        super().__init__()
"""


class ExportText(ModuleText):
    """Writes one program: blocks are functions, which are given what they change and, at random, what they read."""

    header = HEADER
    first_numbers = ("count.reshape(()), torch.tensor(1)", "torch.tensor(0), torch.tensor(1)")

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.count = 0

    def block(self, indent: int, block: Block) -> None:
        for each in block:
            self.statement(indent, each)

    def statement(self, indent: int, statement: Statement) -> None:
        match statement:
            case Assign(target=target, operation=operation, sources=sources, use=use):
                self.line(indent, f"{target} = {OPERATIONS[operation].torch(use, sources)}")
            case If():
                self.branch(indent, statement)
            case While() | For():
                self.loop(indent, statement)
            case Rows():
                self.rows(indent, statement)
            case Part(name=name, body=body):
                self.part(indent, name, body)
            case _:
                raise ValueError(f"{statement} has no form in torch.export")

    def function(self, indent: int, name: str, parameters: tuple[str, ...], block: Block, gives: str) -> None:
        self.line(indent, f"def {name}({', '.join(parameters)}):")
        self.block(indent + 1, block)
        self.line(indent + 1, f"return {gives}")

    def branch(self, indent: int, statement: If) -> None:
        self.count += 1
        then, other = f"then_{self.count}", f"other_{self.count}"
        changed = assigned(statement.then, statement.other)
        more = tuple(each for each in variables(self.program) if each not in changed and self.random.random() < 0.3)
        gives = f"({', '.join(f'{each}.clone()' for each in changed)},)"
        self.function(indent, then, (*changed, *more), statement.then, gives)
        self.function(indent, other, (*changed, *more), statement.other, gives)
        given = f"({', '.join((*changed, *more))},)"
        self.line(
            indent, f"({', '.join(changed)},) = torch.cond({self.test(statement.test)}, {then}, {other}, {given})"
        )

    def loop(self, indent: int, statement: While | For) -> None:
        self.count += 1
        test, body, step = f"test_{self.count}", f"body_{self.count}", f"step_{self.count}"
        changed = assigned(statement.body)
        names = ", ".join(changed)
        given = ", ".join(f"{each}.clone()" for each in changed)
        going, going_on, goes = "", "", ""
        if isinstance(statement, While):
            held = f"({step} < {statement.limit}) & ({self.test(statement.test)})"
            if not statement.tested_first:
                held = f"({step} < {statement.limit}) & going"
                going, going_on, goes = "going, ", f"{self.test(statement.test)}, ", "torch.tensor(True), "
        else:
            limit = statement.count if isinstance(statement.count, int) else f"torch.clamp({statement.count}, 0, 3)"
            held = f"{step} < {limit}"
        self.line(indent, f"def {test}({step}, {going}{names}):")
        self.line(indent + 1, f"return {held}")
        self.line(indent, f"def {body}({step}, {going}{names}):")
        self.line(indent + 1, f"{statement.counter} = {step} + {int(isinstance(statement, While))}")
        self.block(indent + 1, statement.body)
        self.line(indent + 1, f"return {step} + 1, {going_on}{given}")
        zero = self.random.choice(["torch.tensor(0)", "torch.zeros((), dtype=torch.int64)"])
        ignored = "_, _" if going else "_"
        self.line(indent, f"{ignored}, {names} = while_loop({test}, {body}, ({zero}, {goes}{names}))")

    def rows(self, indent: int, statement: Rows) -> None:
        self.count += 1
        changed, step = assigned(statement.body), f"row_{self.count}"
        names = f"({', '.join(changed)},)"
        self.line(indent, f"def {step}(state, {statement.row}):")
        self.line(indent + 1, f"{names} = state")
        self.block(indent + 1, statement.body)
        kept = f"({', '.join(f'{each}.clone()' for each in changed)},)"
        self.line(indent + 1, f"return {kept}, self.classes_{statement.use.layer}({statement.collected})")
        rows = f"{statement.source}.reshape(4, 1, 4)"
        self.line(indent, f"{names}, rows = scan({step}, {names}, {rows}, dim=0, reverse={statement.backwards})")
        self.line(indent, f"{statement.target} = rows.reshape(1, 16)")

    def test(self, test: Test) -> str:
        if isinstance(test, Combine):
            if test.right is None:
                return f"~({self.test(test.left)})"
            return f"({self.test(test.left)}) {'&' if test.word == 'and' else '|'} ({self.test(test.right)})"
        return comparison_text(test, ITSELF)


def export_source(program: Program) -> str:
    """A module's source, with a class Program, for torch.export.export."""
    return ExportText(program).source()
