"""Rewrites expressions: calls, items, and what Python decides by truth values."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from weft.errors import SourceError

RUNTIME = "weft_runtime__"
# What cannot fail and costs nothing, so that it may be computed although Python would have skipped it.
CHEAP = (
    ast.Name, ast.Constant, ast.Attribute, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.expr_context,
    ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip
REFUSED = {
    ast.Yield: "a generator", ast.YieldFrom: "a generator", ast.Await: "await",
}  # fmt: skip


class Expressions(ast.NodeTransformer):
    """Rewrites expressions of one function.

    Reads of `guarded` names check that they have a value. `class_name` is what private names are mangled with.
    """

    def __init__(self, filename: str, guarded: set[str], class_name: str | None) -> None:
        self.filename = filename
        self.guarded = guarded
        self._class_name = class_name

    def refuse(self, node: ast.AST, message: str) -> SourceError:
        """An error at a node's line."""
        return SourceError(f"{self.filename}:{getattr(node, 'lineno', 0)}: {message}")

    def runtime(self, name: str, arguments: Sequence[ast.expr], at: ast.AST) -> ast.Call:
        """A call of the runtime."""
        target = ast.Attribute(ast.Name(RUNTIME, ast.Load()), name, ast.Load())
        call = ast.Call(target, list(arguments), [])
        for node in (target, call):
            # On one line: of a call that spans lines, Python's traceback names the last.
            ast.copy_location(node, at)
            node.end_lineno, node.end_col_offset = node.lineno, node.col_offset
        return call

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for kind, name in REFUSED.items():
            if isinstance(node, kind):
                raise self.refuse(node, f"{name} cannot be compiled; write a plain function")
        return super().generic_visit(node)

    def test(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth value counts."""
        if isinstance(node, ast.BoolOp):
            return self._boolean(node, exact=False)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.runtime("not_", [self.test(node.operand)], node)
        result: ast.expr = self.visit(node)
        return result

    def is_cheap(self, node: ast.expr) -> bool:
        """Whether an expression may be computed although Python would skip it."""
        return all(isinstance(each, CHEAP) for each in ast.walk(node))

    def lazily(self, node: ast.expr, at: ast.AST) -> ast.expr:
        """An expression that is evaluated on demand; an assignment within it would be lost."""
        for each in ast.walk(node):
            if isinstance(each, ast.NamedExpr):
                raise self.refuse(
                    each, "an assignment expression is evaluated on some paths only; assign in a statement before"
                )
        empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        return ast.copy_location(ast.Lambda(empty, node), at)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.mangled(node.id)
        if isinstance(node.ctx, ast.Load) and node.id in self.guarded:
            return self.runtime("read", [node], node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.mangled(node.attr)
        return self.generic_visit(node)

    def mangled(self, name: str) -> str:
        """A private name as Python calls it within the class."""
        if self._class_name is None or not name.startswith("__") or name.endswith("__"):
            return name
        return f"_{self._class_name.lstrip('_')}{name}"

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node
        self.generic_visit(node)
        call = self.runtime("call", [node.func, *node.args], node)
        call.keywords = node.keywords
        return call

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return self.runtime("get_item", [self.visit(node.value), self.key(node.slice)], node)

    def key(self, node: ast.expr) -> ast.expr:
        """A subscript as an expression of its own."""
        if isinstance(node, ast.Slice):
            bounds = [
                self.visit(each) if each is not None else ast.Constant(None)
                for each in (node.lower, node.upper, node.step)
            ]
            return ast.copy_location(ast.Call(ast.Name("slice", ast.Load()), bounds, []), node)
        if isinstance(node, ast.Tuple):
            return ast.copy_location(ast.Tuple([self.key(each) for each in node.elts], ast.Load()), node)
        result: ast.expr = self.visit(node)
        return result

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        node.value = self.runtime("text", [node.value], node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        return self._boolean(node, exact=True)

    def _boolean(self, node: ast.BoolOp, exact: bool) -> ast.expr:
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        cheap = [self.is_cheap(value) for value in node.values]
        values = [self.visit(value) if exact else self.test(value) for value in node.values]
        result: ast.expr = values[-1]
        for index in range(len(values) - 2, -1, -1):
            rest = all(cheap[index + 1 :])
            arguments = [values[index], self.lazily(result, node), ast.Constant(rest), ast.Constant(exact)]
            result = self.runtime(name, arguments, node)
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            return self.test(node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = self.test(node.test)
        paths = [self.lazily(self.visit(each), node) for each in (node.body, node.orelse)]
        return self.runtime("choose", [test, *paths], node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            return self.visit(self._chain(node))
        self.generic_visit(node)
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            found = self.runtime("contains", [node.comparators[0], node.left], node)
            return found if isinstance(node.ops[0], ast.In) else self.runtime("not_", [found], node)
        if isinstance(node.ops[0], ast.Is | ast.IsNot):
            same = self.runtime("same", [node.left, node.comparators[0]], node)
            return same if isinstance(node.ops[0], ast.Is) else ast.copy_location(ast.UnaryOp(ast.Not(), same), node)
        return node

    def _chain(self, node: ast.Compare) -> ast.BoolOp:
        """a < b < c as a < b and b < c."""
        operands = [node.left, *node.comparators]
        for middle in operands[1:-1]:
            if any(isinstance(each, ast.Call | ast.NamedExpr) for each in ast.walk(middle)):
                raise self.refuse(
                    node, "a chained comparison with a call in the middle; assign the call's result to a name before"
                )
        pairs = [
            ast.copy_location(ast.Compare(operands[index], [operation], [operands[index + 1]]), node)
            for index, operation in enumerate(node.ops)
        ]
        return ast.copy_location(ast.BoolOp(ast.And(), list(pairs)), node)
