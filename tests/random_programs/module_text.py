"""What the writers of random programs as modules have in common: layers, first values, parts as methods."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod

from operations import NUMBER, SIDE, VECTOR
from tree import KIND_OF, VARIABLES, Block, Program, assigned, layers_of

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


class ModuleText(ABC):
    """Writes one program. `header` comes in front of the constructor's layers, `first_numbers` are the texts of the
    numbers where the program is given one, and where it is not."""

    header: str
    first_numbers: tuple[str, str]

    def __init__(self, program: Program) -> None:
        self.program = program
        self.random = random.Random(program.seed)
        self.lines: list[str] = []
        self.methods: list[str] = []

    @abstractmethod
    def block(self, indent: int, block: Block) -> None:
        """Writes statements."""

    def source(self) -> str:
        features = self.program.features
        head = "    def forward(self, vector" + (", count):" if features.count_is_input else "):")
        self.lines = ["", head]
        given, fixed = self.first_numbers
        for each in first_lines(self.program, given if features.count_is_input else fixed):
            self.line(2, each)
        self.block(2, self.program.body)
        self.line(2, f"return {', '.join(self.program.results)}")
        return self.header + "\n".join([*constructor(self.program), *self.lines, *self.methods]) + "\n"

    def line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def part(self, indent: int, name: str, body: Block) -> None:
        taken, given = ", ".join(variables(self.program)), ", ".join(assigned(body))
        self.line(indent, f"{given} = self.{name}({taken})")
        outer, self.lines = self.lines, ["", f"    def {name}(self, {taken}):"]
        self.block(2, body)
        self.line(2, f"return {given}")
        self.methods += self.lines
        self.lines = outer
