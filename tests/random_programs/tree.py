"""Random structured programs as trees over a few variables, from which every way into Weft gets its own text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from operations import IMAGE, NUMBER, OPERATIONS, VECTOR, Operation, Use

DEPTH = 3
MAX_STATEMENTS = 20
VARIABLES = {VECTOR: ("v0", "v1", "v2"), IMAGE: ("m0", "m1"), NUMBER: ("n0", "n1")}
ON_DEVICE = ("sum", "sum_images", "difference")
KIND_OF = {name: kind for kind, names in VARIABLES.items() for name in names}


@dataclass(frozen=True)
class Assign:
    """target = operation(sources)."""

    target: str
    operation: str
    sources: tuple[str, ...]
    use: Use


@dataclass(frozen=True)
class Compare:
    """A single comparison on a variable; `form` is a key of conditions.FORMS."""

    form: str
    source: str
    above: bool
    use: Use


@dataclass(frozen=True)
class Combine:
    """Two tests under "and" or "or", or `not left` where there is no right one."""

    word: str
    left: Test
    right: Test | None


Test = Compare | Combine


@dataclass(frozen=True)
class If:
    test: Test
    then: Block
    other: Block


@dataclass(frozen=True)
class While:
    """At most `limit` times, as long as the test holds behind an iteration, and in front of the first one, too, if
    `tested_first`; `counter` counts from 1 inside.
    """

    limit: int
    test: Test
    body: Block
    counter: str
    tested_first: bool


@dataclass(frozen=True)
class For:
    """`count` iterations, a number or the variable whose value, within 0 to 3, is the number; `counter` from 0."""

    count: int | str
    body: Block
    counter: str


@dataclass(frozen=True)
class Rows:
    """The body for each of four rows of a vector, first to last or backwards; `collected`, of four elements each, is
    joined to the vector `target`.
    """

    source: str
    row: str
    backwards: bool
    body: Block
    collected: str
    use: Use
    target: str


@dataclass(frozen=True)
class Part:
    """Statements that plain source has as a method of its own."""

    name: str
    body: Block


@dataclass(frozen=True)
class Leave:
    """return, break or continue where the test holds."""

    word: str
    test: Test
    results: tuple[str, ...]


Statement = Assign | If | While | For | Rows | Part | Leave
Block = tuple[Statement, ...]


@dataclass(frozen=True)
class Features:
    """What a program may have; drawn for each program, so that many have few kinds of statements, and some all.
    `layers_alone`: operators that the accelerator has, so that it takes the decisions, too.
    """

    layers_alone: bool
    images: bool
    numbers: bool
    rows: bool
    leaves: bool
    combined: bool
    count_is_input: bool


@dataclass(frozen=True)
class Program:
    """`results` are the variables that the program returns; its inputs are a vector and, perhaps, a number."""

    seed: int
    features: Features
    body: Block
    results: tuple[str, ...]


def statements_of(block: Block) -> Iterator[Statement]:
    """Every statement in a block and in blocks within it."""
    for each in block:
        yield each
        for inner in blocks_of(each):
            yield from statements_of(inner)


def blocks_of(statement: Statement) -> tuple[Block, ...]:
    """The blocks directly within a statement."""
    match statement:
        case If(then=then, other=other):
            return then, other
        case While(body=body) | For(body=body) | Rows(body=body) | Part(body=body):
            return (body,)
    return ()


def assigned(*blocks: Block) -> tuple[str, ...]:
    """The variables that blocks assign, in a fixed order."""
    found: set[str] = set()
    for block in blocks:
        for each in statements_of(block):
            if isinstance(each, Assign | Rows):
                found.add(each.target)
    return tuple(name for name in KIND_OF if name in found)


def tests_in(statement: Statement) -> tuple[Compare, ...]:
    """The comparisons that a statement itself makes."""
    test = getattr(statement, "test", None)
    return () if test is None else comparisons(test)


def comparisons(test: Test) -> tuple[Compare, ...]:
    """The comparisons within a test."""
    if isinstance(test, Compare):
        return (test,)
    right = () if test.right is None else comparisons(test.right)
    return (*comparisons(test.left), *right)


class Grower:
    """Grows one program from a seed."""

    def __init__(self, seed: int, features: Features) -> None:
        self.random = random.Random(seed)
        self.features = features
        self.left = self.random.randint(4, MAX_STATEMENTS)
        self.layers: list[tuple[str, int]] = []
        self.names = 0
        self.counters: list[str] = []

    def block(self, depth: int, loop: bool, leaving: bool, least: int = 1) -> Block:
        """A few statements, the last of which assigns."""
        made: list[Statement] = []
        for _ in range(self.random.randint(least, max(least, 3))):
            made.append(self.statement(depth, loop, leaving))
        if not assigned(tuple(made)):
            made.append(self.assign())
        return tuple(made)

    def statement(self, depth: int, loop: bool, leaving: bool) -> Statement:
        kinds = ["assign"] * 3
        if depth < DEPTH and self.left > 0:
            kinds += ["if"] * 3 + ["while", "for"]
            kinds += ["rows"] * (self.features.rows and depth < 2) + ["part"] * (self.random.random() < 0.4)
        if leaving and self.features.leaves and depth:
            kinds += ["leave"]
        self.left -= 1
        kind = self.random.choice(kinds)
        if kind == "assign":
            return self.assign()
        if kind == "leave":
            return self.leave(loop)
        return self.structured(kind, depth + 1, loop, leaving)

    def structured(self, kind: str, depth: int, loop: bool, leaving: bool) -> Statement:
        self.names += 1
        if kind == "if":
            then = self.block(depth, loop, leaving)
            return If(self.test(), then, self.block(depth, loop, leaving) if self.random.random() < 0.7 else ())
        if kind == "while":
            test = self.test()
            counter = f"i{self.names}"
            first = self.random.random() < (0.2 if self.features.layers_alone else 0.6)
            return While(self.random.randint(1, 5), test, self.counted(counter, depth, leaving), counter, first)
        if kind == "for":
            count: int | str = self.random.randint(0, 4)
            if self.features.numbers and self.random.random() < 0.5:
                count = self.random.choice(VARIABLES[NUMBER])
            counter = f"i{self.names}"
            return For(count, self.counted(counter, depth, leaving), counter)
        if kind == "part":
            return self.part(depth)
        return self.over_rows(depth)

    def counted(self, counter: str, depth: int, leaving: bool) -> Block:
        """A loop's body, which may read the loop's counter."""
        self.counters.append(counter)
        made = self.block(depth, True, leaving)
        self.counters.pop()
        return made

    def part(self, depth: int) -> Part:
        name = f"part_{self.names}"
        outer, self.counters = self.counters, []
        made = Part(name, self.block(depth, False, False))
        self.counters = outer
        return made

    def over_rows(self, depth: int) -> Rows:
        row = f"row{self.names}"
        body = self.block(depth, True, False)
        taken = Assign("v0", "row_added", (self.random.choice(VARIABLES[VECTOR]), row), Use(-1, 0.0, 0))
        return Rows(
            self.random.choice(VARIABLES[VECTOR]), row, self.random.random() < 0.4, (taken, *body),
            self.random.choice(VARIABLES[VECTOR]), self.use("classes"), self.random.choice(VARIABLES[VECTOR]),
        )  # fmt: skip

    def assign(self) -> Assign:
        """A straight operator; linear layers and convolutions more often than others."""
        found = [each for each in OPERATIONS.values() if each.name != "row_added" and self.allowed(each)]
        operation = self.random.choice(found)
        if not operation.layer and self.random.random() < 0.4:
            operation = OPERATIONS["square_relu"]
        sources = tuple(self.source(each) for each in operation.sources)
        return Assign(
            self.random.choice(VARIABLES[operation.result]), operation.name, sources, self.use(operation.layer)
        )

    def source(self, kind: str) -> str:
        names = VARIABLES[kind]
        return self.random.choice((*names, *self.counters) if kind == NUMBER else names)

    def allowed(self, operation: Operation) -> bool:
        if self.features.layers_alone and not operation.layer and operation.name not in ON_DEVICE:
            return False
        kinds = (*operation.sources, operation.result)
        return (self.features.images or IMAGE not in kinds) and (self.features.numbers or NUMBER not in kinds)

    def use(self, layer: str) -> Use:
        """Weights of a layer (one in five times those of an earlier one), a number, and an index."""
        number = self.random.choice([0.25, 0.5, 0.75, -0.5, 1.25])
        index = self.random.randrange(4)
        if not layer:
            return Use(-1, number, index)
        again = [each for each in self.layers if each[0] == layer]
        if again and self.random.random() < 0.2:
            return Use(self.random.choice(again)[1], number, index)
        self.layers.append((layer, self.random.randrange(1_000_000)))
        return Use(self.layers[-1][1], number, index)

    def test(self) -> Test:
        if self.features.combined and self.random.random() < 0.35:
            word = self.random.choice(["and", "or", "not"])
            return Combine(word, self.compare(), None if word == "not" else self.compare())
        return self.compare()

    def compare(self) -> Compare:
        forms = ["score"] * 4 + ["sigmoid"] * 3
        forms += ["element", "largest", "argmax", "confidence"] * (not self.features.layers_alone)
        forms += ["number", "odd"] * self.features.numbers + ["image"] * self.features.images
        form = self.random.choice(forms)
        kind = {"number": NUMBER, "odd": NUMBER, "image": IMAGE}.get(form, VECTOR)
        layer = {"score": "score", "sigmoid": "score", "argmax": "classes", "confidence": "classes"}.get(form, "")
        return Compare(form, self.random.choice(VARIABLES[kind]), self.random.random() < 0.6, self.use(layer))

    def leave(self, loop: bool) -> Leave:
        word = self.random.choice(["break", "continue", "return"] if loop else ["return"])
        return Leave(word, self.test(), ())


def grow(seed: int, *, leaves: bool) -> Program:
    """The program of a seed; `leaves` allows early returns, breaks and continues."""
    draw = random.Random(seed * 7919 + 13)
    alone = draw.random() < 0.4
    numbers = not alone and draw.random() < 0.5
    features = Features(
        layers_alone=alone, images=draw.random() < 0.4, numbers=numbers, rows=draw.random() < 0.4, leaves=leaves,
        combined=draw.random() < (0.1 if alone else 0.4), count_is_input=numbers and draw.random() < 0.5,
    )  # fmt: skip
    grower = Grower(seed, features)
    body = grower.block(0, False, True, least=3)
    kinds = [VECTOR, VECTOR, *([IMAGE] * features.images), *([NUMBER] * features.numbers)]
    results = {
        grower.random.choice(VARIABLES[kind]): None for kind in grower.random.sample(kinds, k=min(3, len(kinds)))
    }
    program = Program(seed, features, body, tuple(results))
    return replace(program, body=_with_results(body, program.results))


def _with_results(block: Block, results: tuple[str, ...]) -> Block:
    """Every early return gives what the program gives."""
    made: list[Statement] = []
    for each in block:
        match each:
            case Leave():
                each = replace(each, results=results)
            case If():
                each = replace(each, then=_with_results(each.then, results), other=_with_results(each.other, results))
            case While() | For():
                each = replace(each, body=_with_results(each.body, results))
        made.append(each)
    return tuple(made)


def layers_of(program: Program) -> list[tuple[str, int]]:
    """Every layer that a program uses, once."""
    found: dict[tuple[str, int], None] = dict.fromkeys([("square", 0), ("square", 1), ("square", 2), ("entry", 0)])
    for each in statements_of(program.body):
        match each:
            case Assign(operation=operation, use=use) if OPERATIONS[operation].layer:
                found[(OPERATIONS[operation].layer, use.layer)] = None
            case Rows(use=use):
                found[("classes", use.layer)] = None
        for test in tests_in(each):
            if test.use.layer >= 0:
                found[({"score": "score", "sigmoid": "score"}.get(test.form, "classes"), test.use.layer)] = None
    return list(found)
