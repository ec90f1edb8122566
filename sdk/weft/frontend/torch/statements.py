"""Rewrites statements: if, while and for become calls of the runtime with functions for their bodies.

A body without jumps takes the names that it assigns and gives their new values. Where a body holds a return, break or
continue, what follows the statement moves into the branches, so that every path ends in a return: of the function's
value, or within a loop's body of how the iteration ended, the value of a return, and the state.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from weft.frontend.torch.expressions import RUNTIME, Expressions
from weft.frontend.torch.names import assigned, changed, free_reads, jumps, within_scope

Node = TypeVar("Node", bound=ast.AST)
CONTINUE, BREAK, RETURN = 0, 1, 2
MAX_STATEMENTS = 20_000
REFUSED = {
    ast.Try: "try", ast.TryStar: "try", ast.AsyncFor: "async for", ast.AsyncWith: "async with", ast.Global: "global",
    ast.Nonlocal: "nonlocal", ast.Match: "match", ast.AsyncFunctionDef: "async def",
    ast.ClassDef: "a class inside a function",
}  # fmt: skip


@dataclass
class Target:
    """Where jumps lead: out of a function, or within a loop's body to the function `leave`; `loop` holds its names."""

    loop: tuple[str, ...] | None = None
    leave_name: str = ""
    continues: int = 0

    def leave(self, status: int, value: ast.expr | None) -> ast.Return:
        """The statement that a return, break, continue, or falling off the end becomes."""
        if self.loop is None:
            return ast.Return(value or ast.Constant(None))
        self.continues += status == CONTINUE
        nothing = ast.Attribute(ast.Name(RUNTIME, ast.Load()), "absent", ast.Load())
        arguments = [ast.Constant(status), value or nothing, _tuple(self.loop, ast.Load())]
        return ast.Return(ast.Call(ast.Name(self.leave_name, ast.Load()), arguments, []))

    def subjects(self) -> ast.expr:
        """What messages call the parts of the values that `leave` gives."""
        if self.loop is None:
            return ast.Constant("the returned value")
        parts = [ast.Constant("the loop's end"), ast.Constant("the returned value"), _constants(self.loop)]
        return ast.Tuple(parts, ast.Load())


class Statements:
    """Rewrites the statements of one function whose local names are `names`."""

    def __init__(self, expressions: Expressions, names: set[str], definition: ast.AST) -> None:
        self._expressions = expressions
        self._names = names
        self._nested_functions = [
            node
            for node in ast.walk(definition)
            if isinstance(node, ast.FunctionDef | ast.Lambda) and node is not definition
        ]
        self._assigned_lambdas = {
            id(node.value)
            for node in ast.walk(definition)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
        }
        self._count = 0
        self._size = 0

    def function_body(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """A function's whole body."""
        return self._ending(list(statements), Target())

    def _ending(self, statements: list[ast.stmt], target: Target) -> list[ast.stmt]:
        """Statements of which every path ends in a return."""
        done: list[ast.stmt] = []
        for index, statement in enumerate(statements):
            rest = statements[index + 1 :]
            self._size += 1
            if self._size > MAX_STATEMENTS:
                raise self._expressions.refuse(
                    statement, "too many combinations of early returns; write helper functions"
                )
            match statement:
                case ast.Return(value=value):
                    visited = self._expressions.visit(value) if value is not None else ast.Constant(None)
                    return [*done, _at(target.leave(RETURN, visited), statement)]
                case ast.Break():
                    return [*done, _at(target.leave(BREAK, None), statement)]
                case ast.Continue():
                    return [*done, _at(target.leave(CONTINUE, None), statement)]
                case ast.If() if jumps([statement]):
                    return [*done, *self._ending_if(statement, rest, target)]
                case ast.While() | ast.For() if jumps(statement.body, loops_too=True) or statement.orelse:
                    return [*done, *self._ending_loop(statement, rest, target)]
                case ast.With() if jumps([statement]):
                    raise self._expressions.refuse(
                        statement, "a return, break or continue inside with; move it behind the block"
                    )
            done += self.plain(statement)
        last = statements[-1] if statements else ast.Pass(lineno=1, col_offset=0)
        return [*done, _at(target.leave(CONTINUE, None), last)]

    def plain(self, statement: ast.stmt) -> list[ast.stmt]:
        """A statement without jumps out of it."""
        for kind, name in REFUSED.items():
            if isinstance(statement, kind):
                raise self._expressions.refuse(statement, f"{name} cannot be compiled")
        match statement:
            case ast.If():
                return self._plain_if(statement)
            case ast.While() | ast.For():
                ends = [self._fresh("status"), self._fresh("returned")]
                after = self._loop_with_ends(statement, ends)
                return [*self._loop(statement, ends), *(each for later in after for each in self.plain(later))]
            case ast.With():
                statement.items = [self._expressions.visit(item) for item in statement.items]
                statement.body = [each for inner in statement.body for each in self.plain(inner)]
                return [statement]
            case ast.FunctionDef():
                return [self._nested(statement)]
            case ast.Delete():
                return self._delete(statement)
            case ast.Raise():
                error = [self._expressions.visit(statement.exc)] if statement.exc is not None else []
                return [_expression(self._expressions.runtime("fail", error, statement))]
            case ast.Assert():
                parts = [statement.test, statement.msg or ast.Constant("")]
                lazy = [self._expressions.lazily(self._expressions.visit(part), statement) for part in parts]
                return [_expression(self._expressions.runtime("assert_", lazy, statement))]
            case ast.Assign():
                return self._assign(statement)
            case ast.AugAssign():
                return self._augmented(statement)
            case ast.AnnAssign():
                if statement.value is None:
                    return [_at(ast.Pass(), statement)]
                return self._assign(_at(ast.Assign([statement.target], statement.value), statement))
        visited: ast.stmt = self._expressions.visit(statement)
        return [visited]

    def _assign(self, statement: ast.Assign) -> list[ast.stmt]:
        value = self._expressions.visit(statement.value)
        if len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            return [_at(ast.Assign(statement.targets, value), statement)]
        name = self._fresh("value")
        done: list[ast.stmt] = [_at(ast.Assign([ast.Name(name, ast.Store())], value), statement)]
        for target in statement.targets:
            done += self._store(target, ast.Name(name, ast.Load()), statement)
        return done

    def _store(self, target: ast.expr, value: ast.expr, at: ast.stmt) -> list[ast.stmt]:
        """The statements that put a value where an assignment's target says."""
        match target:
            case ast.Attribute():
                arguments = [
                    self._expressions.visit(target.value),
                    ast.Constant(self._expressions.mangled(target.attr)),
                    value,
                ]
                return [_expression(self._expressions.runtime("set_attribute", arguments, at))]
            case ast.Subscript():
                container = self._expressions.visit(target.value)
                arguments = [container, self._expressions.key(target.slice), value]
                call = self._expressions.runtime("set_item", arguments, at)
                if isinstance(target.value, ast.Name) and target.value.id in self._names:
                    return [_at(ast.Assign([ast.Name(target.value.id, ast.Store())], call), at)]
                return [_expression(call)]
            case ast.Tuple() | ast.List():
                parts: list[ast.expr] = []
                later: list[ast.stmt] = []
                for element in target.elts:
                    inner = element.value if isinstance(element, ast.Starred) else element
                    name = self._fresh("part")
                    part: ast.expr = ast.Name(name, ast.Store())
                    parts.append(ast.Starred(part, ast.Store()) if isinstance(element, ast.Starred) else part)
                    later += self._store(inner, ast.Name(name, ast.Load()), at)
                return [_at(ast.Assign([ast.Tuple(parts, ast.Store())], value), at), *later]
        return [_at(ast.Assign([target], value), at)]

    def _augmented(self, statement: ast.AugAssign) -> list[ast.stmt]:
        """x += e stays for names (in place where the object can); for items it is read, computed, stored."""
        target = statement.target
        if isinstance(target, ast.Name):
            check = _expression(self._expressions.visit(ast.copy_location(ast.Name(target.id, ast.Load()), target)))
            return [
                _at(check, statement),
                _at(ast.AugAssign(target, statement.op, self._expressions.visit(statement.value)), statement),
            ]
        reading = copy.deepcopy(target)
        reading.ctx = ast.Load()
        return self._assign(_at(ast.Assign([target], ast.BinOp(reading, statement.op, statement.value)), statement))

    def _delete(self, statement: ast.Delete) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for target in statement.targets:
            if not isinstance(target, ast.Name):
                raise self._expressions.refuse(statement, "del of an item or attribute cannot be compiled")
            gone = self._expressions.runtime("unassigned", [ast.Constant(target.id)], statement)
            done.append(_at(ast.Assign([ast.Name(target.id, ast.Store())], gone), statement))
        return done

    def _nested(self, statement: ast.FunctionDef) -> ast.stmt:
        for each in ast.walk(statement):
            if isinstance(each, ast.Nonlocal | ast.Global):
                raise self._expressions.refuse(each, "nonlocal and global cannot be compiled; pass and return values")
        return statement

    def _plain_if(self, statement: ast.If) -> list[ast.stmt]:
        state = self._state([*statement.body, *statement.orelse])
        test = self._expressions.test(statement.test)
        names = [self._fresh("then"), self._fresh("else")]
        done: list[ast.stmt] = []
        for name, body in zip(names, (statement.body, statement.orelse), strict=True):
            inner = [each for line in body for each in self.plain(line)]
            done.append(_function(name, state, [*inner, ast.Return(_tuple(state, ast.Load()))], statement))
        call = self._branch(test, names, state, _constants(state), statement)
        if not state:
            return [*done, _expression(call)]
        return [*done, _at(ast.Assign([_tuple(state, ast.Store())], call), statement)]

    def _ending_if(self, statement: ast.If, rest: list[ast.stmt], target: Target) -> list[ast.stmt]:
        bodies = ([*statement.body, *rest], [*statement.orelse, *copy.deepcopy(rest)])
        state = self._state([*statement.body, *statement.orelse, *rest], [*(target.loop or ())])
        test = self._expressions.test(statement.test)
        names = [self._fresh("then"), self._fresh("else")]
        done = [
            _function(name, state, self._ending(body, target), statement)
            for name, body in zip(names, bodies, strict=True)
        ]
        return [*done, _at(ast.Return(self._branch(test, names, state, target.subjects(), statement)), statement)]

    def _branch(
        self, test: ast.expr, names: Sequence[str], state: Sequence[str], subjects: ast.expr, at: ast.AST
    ) -> ast.Call:
        paths = [ast.Name(name, ast.Load()) for name in names]
        return self._expressions.runtime("branch", [test, *paths, _tuple(state, ast.Load()), subjects], at)

    def _loop_with_ends(self, statement: ast.While | ast.For, names: Sequence[str]) -> list[ast.stmt]:
        """What follows a loop that may return or has an else, still to be rewritten; `names` are its status and
        value.
        """
        after: list[ast.stmt] = []
        if jumps(statement.body, loops_too=True):
            returned = ast.Return(ast.Name(names[1], ast.Load()))
            after.append(self._if_status(names[0], RETURN, [returned], [], statement))
        if statement.orelse:
            after.append(self._if_status(names[0], BREAK, [ast.Pass()], statement.orelse, statement))
        return after

    def _ending_loop(self, statement: ast.While | ast.For, rest: list[ast.stmt], target: Target) -> list[ast.stmt]:
        """A loop and what follows it as a function, which each end of the loop calls for itself where it can."""
        ends = [self._fresh("status"), self._fresh("returned")]
        following = [*self._loop_with_ends(statement, ends), *rest]
        names = [self._fresh("after"), self._fresh("rest")]
        state = self._state(self._loop_nodes(statement))
        wider = self._state([*self._loop_nodes(statement), *following], [*(target.loop or ())])
        definition = _function(names[1], [*ends, *wider], self._ending(following, target), statement)
        passed: list[ast.expr] = [ast.Name(name, ast.Load()) for name in (*ends, *wider)]
        hand_on = ast.Return(ast.Call(ast.Name(names[1], ast.Load()), passed, []))
        after = _function(names[0], [*ends, *state], [_at(hand_on, statement)], statement)
        prepared, call = self._loop_call(statement)
        call.args.append(ast.Name(names[0], ast.Load()))
        return [*prepared, definition, after, _at(ast.Return(call), statement)]

    def _if_status(
        self, name: str, status: int, body: list[ast.stmt], orelse: list[ast.stmt], at: ast.stmt
    ) -> ast.stmt:
        test = ast.Compare(ast.Name(name, ast.Load()), [ast.Eq()], [ast.Constant(status)])
        return _at(ast.If(test, body, orelse), at)

    def _loop(self, statement: ast.While | ast.For, ends: Sequence[str]) -> list[ast.stmt]:
        """A loop whose status, value and state are assigned."""
        state = self._state(self._loop_nodes(statement))
        prepared, call = self._loop_call(statement)
        last = _tuple(state, ast.Store()) if state else ast.Name(self._fresh("nothing"), ast.Store())
        results = ast.Tuple([*(ast.Name(name, ast.Store()) for name in ends), last], ast.Store())
        return [*prepared, _at(ast.Assign([results], call), statement)]

    def _loop_nodes(self, statement: ast.While | ast.For) -> list[ast.AST]:
        more: ast.expr = statement.target if isinstance(statement, ast.For) else statement.test
        return [*statement.body, more]

    def _loop_call(self, statement: ast.While | ast.For) -> tuple[list[ast.stmt], ast.Call]:
        """The functions for a loop's test and body, and the call that runs them."""
        state = self._state(self._loop_nodes(statement))
        names = [self._fresh("body"), self._fresh("leave")]
        target = Target(tuple(state), names[1])
        if isinstance(statement, ast.While):
            test_name = self._fresh("test")
            cheap = self._expressions.is_cheap(statement.test)
            test = ast.Return(self._expressions.test(statement.test))
            first: ast.expr = ast.Name(test_name, ast.Load())
            done = [_function(test_name, state, [test], statement)]
            entry: list[ast.stmt] = []
            parameters: list[str] = []
        else:
            first = self._expressions.visit(statement.iter)
            item = self._fresh("item")
            entry = self._store(statement.target, ast.Name(item, ast.Load()), statement)
            done, parameters, cheap = [], [item], True
        body = [*entry, *self._ending(list(statement.body), target)]
        done.append(_function(names[0], [names[1], *parameters, *state], body, statement))
        method = "while_" if isinstance(statement, ast.While) else "for_"
        hint = ast.Constant(cheap if isinstance(statement, ast.While) else target.continues <= 1)
        arguments = [first, ast.Name(names[0], ast.Load()), _tuple(state, ast.Load()), _constants(state), hint]
        return done, self._expressions.runtime(method, arguments, statement)

    def _state(self, nodes: Sequence[ast.AST], more: Sequence[str] = ()) -> list[str]:
        """The local names that nodes assign or whose objects they change."""
        names = (assigned(nodes) | changed(nodes) | set(more)) & self._names
        self._refuse_captured(nodes, names)
        return sorted(names)

    def _refuse_captured(self, nodes: Sequence[ast.AST], names: set[str]) -> None:
        """A branch's names are its own: a function that was defined elsewhere would see others."""
        inside = {id(node) for node in within_scope(nodes)}
        mentioned = {node.id for node in within_scope(nodes) if isinstance(node, ast.Name)}
        for nested in self._nested_functions:
            shared = sorted(free_reads(nested) & names)
            if not shared:
                continue
            name = nested.name if isinstance(nested, ast.FunctionDef) else None
            if id(nested) in inside and (name is not None or id(nested) in self._assigned_lambdas):
                outcome = "which the branch or loop around it assigns"
            elif id(nested) not in inside and (name is None or name in mentioned):
                outcome = "which a branch or loop that may call it assigns"
            else:
                continue
            raise self._expressions.refuse(
                nested, f"this nested function reads '{shared[0]}', {outcome}; pass it as an argument"
            )

    def _fresh(self, what: str) -> str:
        self._count += 1
        return f"weft_{what}_{self._count}__"


def _function(name: str, parameters: Sequence[str], body: list[ast.stmt], at: ast.AST) -> ast.stmt:
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(each) for each in parameters], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    definition = ast.FunctionDef(name=name, args=arguments, body=body or [ast.Pass()], decorator_list=[])
    return ast.fix_missing_locations(ast.copy_location(definition, at))


def _tuple(names: Sequence[str], context: ast.expr_context) -> ast.Tuple:
    return ast.Tuple([ast.Name(name, type(context)()) for name in names], context)


def _constants(names: Sequence[str]) -> ast.Tuple:
    return ast.Tuple([ast.Constant(f"'{name}'") for name in names], ast.Load())


def _expression(value: ast.expr) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(value), value))


def _at(node: Node, at: ast.AST) -> Node:
    return ast.fix_missing_locations(ast.copy_location(node, at))
