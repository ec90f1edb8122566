"""Random structured programs as Python source, seeded: ifs, loops, early returns, breaks, numbers and tensors mixed."""

from __future__ import annotations

import random

HEADER = """import torch
from torch import nn


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        a, b = x, torch.tanh(x)
        n, m = 0, 1
"""
TENSORS = ("a", "b")
NUMBERS = ("n", "m")


class Writer:
    """Writes one program; every loop ends after a few iterations."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lines: list[str] = []
        self._loops = 0

    def program(self) -> str:
        """A whole module's source."""
        self._block(2, depth=0, in_loop=False)
        self._line(2, "return a, b, n, m")
        return HEADER + "\n".join(self._lines) + "\n"

    def _line(self, indent: int, text: str) -> None:
        self._lines.append("    " * indent + text)

    def _block(self, indent: int, depth: int, in_loop: bool) -> None:
        for _ in range(self._random.randint(1, 3)):
            kinds = ["tensor", "tensor", "number", "inplace"]
            if depth < 3:
                kinds += ["if", "if", "while", "for"]
            if depth and self._random.random() < 0.3:
                kinds = ["leave"]
            getattr(self, f"_{self._random.choice(kinds)}")(indent, depth, in_loop)

    def _tensor(self, indent: int, depth: int, in_loop: bool) -> None:
        one, other = self._random.choices(TENSORS, k=2)
        value = self._random.choice([
            f"torch.tanh({one} + {other} * 0.5)", f"{one} - 0.3", f"{one} * {self._number_of()}.0 * 0.1",
            f"self.linear({one})",
            f"torch.minimum({one}, {other})", f"{other} if {self._test()} else {one}", f"{one} + {self._number_of()}",
        ])  # fmt: skip
        self._line(indent, f"{self._random.choice(TENSORS)} = {value}")

    def _number_of(self) -> str:
        return str(self._random.randint(1, 5))

    def _number(self, indent: int, depth: int, in_loop: bool) -> None:
        target, source = self._random.choices(NUMBERS, k=2)
        value = self._random.choice([
            f"{source} + {self._number_of()}", f"{source} * 2 - {target}", f"{source} % 3",
            f"max({source}, {target}, 2)",
            f"1 if {self._test()} else {source}", f"int({self._random.choice(TENSORS)}.sum())",
        ])  # fmt: skip
        self._line(indent, f"{target} = {value}")

    def _inplace(self, indent: int, depth: int, in_loop: bool) -> None:
        target = self._random.choice(TENSORS)
        self._line(indent, f"{target} = {target}.clone()")
        changes = [f"{target}[0, 1] += 0.5", f"{target} *= 0.7", f"{target}.clamp_(min=-1.0)"]
        self._line(indent, self._random.choice(changes))

    def _test(self) -> str:
        tensor, number = self._random.choice(TENSORS), self._random.choice(NUMBERS)
        bound = self._random.choice(["0.0", "0.5", "-0.5"])
        return self._random.choice([
            f"{tensor}.sum() > {bound}", f"{tensor}[0, {self._random.randint(0, 3)}].item() < {bound}",
            f"{number} > {self._random.randint(0, 4)}", f"{tensor}.max() > {bound} and {number} < 4",
            f"not {tensor}.min() < {bound}", f"{number} % 2 == 0 or {tensor}.mean() > {bound}",
        ])  # fmt: skip

    def _if(self, indent: int, depth: int, in_loop: bool) -> None:
        self._line(indent, f"if {self._test()}:")
        self._block(indent + 1, depth + 1, in_loop)
        if self._random.random() < 0.3:
            self._line(indent, f"elif {self._test()}:")
            self._block(indent + 1, depth + 1, in_loop)
        if self._random.random() < 0.6:
            self._line(indent, "else:")
            self._block(indent + 1, depth + 1, in_loop)

    def _while(self, indent: int, depth: int, in_loop: bool) -> None:
        self._loops += 1
        name = f"i{self._loops}"
        self._line(indent, f"{name} = 0")
        self._line(indent, f"while {name} < {self._random.randint(1, 4)} and {self._test()}:")
        self._line(indent + 1, f"{name} += 1")
        self._block(indent + 1, depth + 1, in_loop=True)

    def _for(self, indent: int, depth: int, in_loop: bool) -> None:
        self._loops += 1
        self._line(indent, f"for i{self._loops} in range({self._random.choice(['2', '3', 'max(0, min(n, 3))'])}):")
        self._block(indent + 1, depth + 1, in_loop=True)

    def _leave(self, indent: int, depth: int, in_loop: bool) -> None:
        choices = ["return a, b, n, m", "return b, a * 2, m, n + 1"]
        self._line(indent, f"if {self._test()}:")
        self._line(indent + 1, self._random.choice([*choices, "break", "continue"] if in_loop else choices))
