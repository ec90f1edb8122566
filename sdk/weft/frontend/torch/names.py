"""Which local names statements assign or change, and where they jump."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

# Methods of lists, dicts and sets that change them. Methods of tensors that do end in an underscore.
CHANGING_METHODS = frozenset({
    "append", "extend", "insert", "pop", "remove", "clear", "update",
    "setdefault", "add", "discard", "sort", "reverse", "popitem",
})  # fmt: skip
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def within_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and all within them, except what nested functions, classes and comprehensions hold."""
    for node in nodes:
        yield node
        if isinstance(node, SCOPES):
            continue
        if isinstance(node, COMPREHENSIONS):
            # Only an assignment expression leaves a comprehension's scope.
            yield from (each for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
            continue
        yield from within_scope(ast.iter_child_nodes(node))


def assigned(statements: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind in their function's scope."""
    found: set[str] = set()
    for node in within_scope(statements):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(node.id)
        elif isinstance(node, ast.NamedExpr):
            found.add(node.target.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


def changed(statements: Iterable[ast.AST]) -> set[str]:
    """Names whose objects statements change: by items, or by a method that is known to."""
    found: set[str] = set()
    for node in within_scope(statements):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store | ast.Del)
            and isinstance(node.value, ast.Name)
        ):
            found.add(node.value.id)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            method = node.func.attr
            if method in CHANGING_METHODS or (method.endswith("_") and not method.startswith("_")):
                found.add(node.func.value.id)
    return found


def jumps(statements: Iterable[ast.AST], loops_too: bool = False) -> bool:
    """Whether statements hold a return, or a break or continue of a loop around them."""
    for node in statements:
        if isinstance(node, ast.Return):
            return True
        if isinstance(node, ast.Break | ast.Continue) and not loops_too:
            return True
        if isinstance(node, SCOPES):
            continue
        inside_loop = loops_too or isinstance(node, ast.For | ast.While)
        if jumps(ast.iter_child_nodes(node), inside_loop):
            return True
    return False


def free_reads(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Names of outer scopes that a nested function reads."""
    read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    return read - own - (assigned(function.body) if isinstance(function, ast.FunctionDef) else set())
