"""Random programs as ONNX models: If, Loop and Scan, with what they take from outside read by name."""

from __future__ import annotations

import random

import numpy as np
import onnx
from conditions import test_nodes
from onnx import helper
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from operations import (
    ELEMENTS,
    OPERATIONS,
    SHAPES,
    SIDE,
    WIDTH,
    float_constant,
    layer_node,
    shaped,
    whole,
)  # fmt: skip
from tree import KIND_OF, Assign, Block, For, If, Part, Program, Rows, Statement, While, assigned

Names = dict[str, str]
"""The tensor that each variable now is."""


class OnnxText:
    """Writes one program. Weights and constants stand around everything (`outside`) or in the body that reads them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.random = random.Random(program.seed)

    def model(self) -> onnx.ModelProto:
        g = GraphWriter()
        names = self.start(g)
        self.block(g, self.program.body, names)
        results = [(names[each], ELEMENTS[KIND_OF[each]], SHAPES[KIND_OF[each]]) for each in self.program.results]
        return g.model(results)

    def start(self, g: GraphWriter) -> Names:
        features = self.program.features
        vector = g.value("vector", FLOAT, [1, WIDTH])
        first = layer_node(g, vector, "square", 0)
        if features.layers_alone:
            names = {"v0": first, "v1": layer_node(g, first, "square", 1), "v2": layer_node(g, first, "square", 2)}
        else:
            half = g.node("Mul", [vector, float_constant(g, 0.5)])
            names = {"v0": first, "v1": g.node("Tanh", [vector]), "v2": half}
        if features.images:
            names["m0"] = layer_node(g, shaped(g, first, [1, 1, SIDE, SIDE]), "entry", 0)
            names["m1"] = g.node("Add", [names["m0"], names["m0"]])
        if features.numbers:
            count = shaped(g, g.value("count", INT64, [1]), []) if features.count_is_input else whole(g, 0)
            names.update(n0=count, n1=whole(g, 1))
        return names

    def block(self, g: GraphWriter, block: Block, names: Names) -> None:
        """Appends a block's statements; `names` follows what they assign."""
        for each in block:
            self.statement(g, each, names)

    def statement(self, g: GraphWriter, statement: Statement, names: Names) -> None:
        match statement:
            case Assign():
                operation = OPERATIONS[statement.operation]
                sources = [names[each] for each in statement.sources]
                names[statement.target] = operation.onnx(g, statement.use, sources)
            case If():
                self.branch(g, statement, names)
            case While() | For():
                self.loop(g, statement, names)
            case Rows():
                self.rows(g, statement, names)
            case Part(body=body):
                self.block(g, body, names)
            case _:
                raise ValueError(f"{statement} has no ONNX form")

    def branch(self, g: GraphWriter, statement: If, names: Names) -> None:
        condition = test_nodes(g, statement.test, names)
        if self.random.random() < 0.3:
            condition = shaped(g, condition, [1])
        changed = assigned(statement.then, statement.other)
        bodies, results = [], []
        for block in (statement.then, statement.other):
            body, inner = g.body(), dict(names)
            self.block(body, block, inner)
            bodies.append(body)
            results.append([inner[each] for each in changed])
        given = g.if_(condition, bodies[0], results[0], bodies[1], results[1])
        names.update(zip(changed, [given] if len(changed) == 1 else given, strict=True))

    def loop(self, g: GraphWriter, statement: While | For, names: Names) -> None:
        changed = assigned(statement.body)
        start = ""
        if isinstance(statement, While):
            limit = whole(g, statement.limit)
            start = test_nodes(g, statement.test, names) if statement.tested_first else ""
        else:
            limit = self.count(g, statement.count, names)
        body = g.body()
        step, going = body.value("step", INT64, []), body.value("going", BOOL, [])
        counter = body.node("Add", [step, whole(body, 1)]) if isinstance(statement, While) else step
        inner = {**names, **{each: self.state(body, each) for each in changed}, statement.counter: counter}
        self.block(body, statement.body, inner)
        more = test_nodes(body, statement.test, inner) if isinstance(statement, While) else going
        graph = body.graph([more, *(inner[each] for each in changed)])
        given = g.node("Loop", [limit, start, *(names[each] for each in changed)], len(changed), body=graph)
        names.update(zip(changed, [given] if len(changed) == 1 else given, strict=True))

    def count(self, g: GraphWriter, count: int | str, names: Names) -> str:
        if isinstance(count, int):
            return whole(g, count)
        return str(g.node("Min", [g.node("Max", [names[count], whole(g, 0)]), whole(g, 3)]))

    def state(self, body: GraphWriter, name: str) -> str:
        return body.value(f"{name}_state", ELEMENTS[KIND_OF[name]], SHAPES[KIND_OF[name]])

    def rows(self, g: GraphWriter, statement: Rows, names: Names) -> None:
        changed = assigned(statement.body)
        rows = shaped(g, names[statement.source], [4, 1, WIDTH // 4])
        body = g.body()
        inner = {**names, **{each: self.state(body, each) for each in changed}}
        inner[statement.row] = body.value("row", FLOAT, [1, WIDTH // 4])
        self.block(body, statement.body, inner)
        collected = layer_node(body, inner[statement.collected], "classes", statement.use.layer)
        backwards = [int(statement.backwards)]
        graph = body.graph([*(inner[each] for each in changed), collected])
        kinds = [*((ELEMENTS[KIND_OF[each]], SHAPES[KIND_OF[each]]) for each in changed), (FLOAT, [1, WIDTH // 4])]
        for value, (element, shape) in zip(graph.output, kinds, strict=True):  # ONNX Runtime's Scan asks for shapes
            value.type.CopyFrom(helper.make_tensor_type_proto(element, shape))
        *given, slices = g.node(
            "Scan", [*(names[each] for each in changed), rows], len(changed) + 1,
            body=graph, num_scan_inputs=1, scan_input_directions=backwards, scan_output_directions=backwards,
        )  # fmt: skip
        names.update(zip(changed, given, strict=True))
        names[statement.target] = shaped(g, slices, [1, WIDTH])


def onnx_model(program: Program) -> onnx.ModelProto:
    """The program's model; its inputs are `vector` and, where a number is one, `count`, its outputs output_0, …"""
    return OnnxText(program).model()


def draw_inputs(program: Program, count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Samples: standard normal vectors, and numbers from -1 to 4."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        sample = {"vector": generator.standard_normal((1, WIDTH)).astype(np.float32)}
        if program.features.count_is_input:
            sample["count"] = generator.integers(-1, 5, (1,)).astype(np.int64)
        made.append(sample)
    return made
