"""A user's function, rewritten: the same source with its decisions handed to the runtime."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from weft.errors import SourceError
from weft.frontend.torch.expressions import RUNTIME, Expressions
from weft.frontend.torch.names import assigned
from weft.frontend.torch.statements import Statements

if TYPE_CHECKING:
    from weft.frontend.torch.runtime import Runtime

_CODES: dict[CodeType, CodeType] = {}


def rewritten(function: FunctionType, runtime: Runtime) -> FunctionType:
    """The function with `runtime` in control; same name, globals, defaults and closure.

    Raises SourceError for a function without source, and for statements that cannot be compiled.
    """
    if function.__name__ == "<lambda>":
        return function
    original = function.__code__
    if original not in _CODES:
        _CODES[original] = _compiled(function)
    code = _CODES[original]
    cells = dict(zip(original.co_freevars, function.__closure__ or (), strict=True))
    cells[RUNTIME] = _cell(runtime)
    closure = tuple(cells[name] for name in code.co_freevars)
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    return made


def _cell(value: Any) -> Any:
    return (lambda: value).__closure__[0]  # type: ignore[index]


def _compiled(function: FunctionType) -> CodeType:
    filename, definition = _definition(function)
    if isinstance(definition, ast.AsyncFunctionDef):
        raise SourceError(f"{filename}:{definition.lineno}: async functions cannot be compiled")
    local = assigned(definition.body)
    parameters = {argument.arg for argument in ast.walk(definition.args) if isinstance(argument, ast.arg)}
    owner = _class_name(function)
    expressions = Expressions(filename, (local - parameters) | (local & parameters), owner)
    statements = Statements(expressions, local | parameters, definition)
    body = [_unassigned(name, expressions, definition) for name in sorted(local - parameters)]
    body += statements.function_body(definition.body)
    inner = ast.FunctionDef(name=definition.name, args=_without_defaults(definition.args), body=body, decorator_list=[])
    outer = _factory(inner, function.__code__.co_freevars)
    ast.copy_location(inner, definition)
    module = ast.fix_missing_locations(ast.Module([outer], []))
    try:
        compiled = compile(module, filename, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SourceError(
            f"{filename}:{definition.lineno}: {function.__qualname__} cannot be rewritten: {error}"
        ) from error
    return _find(_find(compiled, "weft_factory__"), definition.name)


def _definition(function: FunctionType) -> tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    filename = function.__code__.co_filename
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise SourceError(
            f"{filename}:{function.__code__.co_firstlineno}: the source of "
            f"{function.__qualname__} cannot be read ({error}); "
            "define it in a file"
        ) from error
    # Dedented source parses alone; its lines then get the numbers that they have in the file.
    try:
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except SyntaxError as error:
        raise SourceError(
            f"{filename}:{first}: the source of {function.__qualname__} cannot be read: {error}"
        ) from error
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        raise SourceError(f"{filename}:{first}: {function.__qualname__} is no function definition")
    return filename, definition


def _class_name(function: FunctionType) -> str | None:
    parts = function.__qualname__.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else None


def _unassigned(name: str, expressions: Expressions, at: ast.AST) -> ast.stmt:
    value = expressions.runtime("unassigned", [ast.Constant(name)], at)
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), at)


def _without_defaults(arguments: ast.arguments) -> ast.arguments:
    """Parameters alone: the values of defaults come from the function itself."""
    none = ast.Constant(None)
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    arguments.defaults = [none for _ in arguments.defaults]
    arguments.kw_defaults = [none if each is not None else None for each in arguments.kw_defaults]
    return arguments


def _factory(inner: ast.FunctionDef, free: tuple[str, ...]) -> ast.FunctionDef:
    """A function around the rewritten one in which its free names are local, so that they become its free names."""
    arguments = [ast.arg(name) for name in (RUNTIME, *free)]
    signature = ast.arguments(posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.FunctionDef(name="weft_factory__", args=signature, body=[inner], decorator_list=[])


def _find(code: CodeType, name: str) -> CodeType:
    return next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name)
