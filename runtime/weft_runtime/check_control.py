"""Checks that a program in control-flow form is consistent: bounded, values assigned once, and before they are read."""

from __future__ import annotations

from collections.abc import Iterable

from weft_runtime.check_steps import follow_steps
from weft_runtime.control import (
    MAX_BATCH,
    MAX_DEPTH,
    MAX_STATEMENTS,
    Batching,
    Block,
    Branch,
    ControlFlow,
    Launch,
    Loop,
    ReadScalar,
    blocks_within,
    read_by,
    written_by,
)
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Executable

__all__ = ["check_control"]


def check_control(executable: Executable, control: ControlFlow) -> None:
    """Raises ExecutableError naming the first statement or sub-network that is impossible, and why."""
    for network in control.networks:
        if len(set(network.inputs)) < len(network.inputs) or len(set(network.outputs)) < len(network.outputs):
            raise ExecutableError(f"sub-network {network.name!r} names an input or output twice")
        if network.macs < 0:
            raise ExecutableError(f"sub-network {network.name!r} has {network.macs} multiply-accumulates")
        available = follow_steps(executable, network.steps, network.inputs)
        for name in network.outputs:
            if name not in available:
                raise ExecutableError(f"no step of sub-network {network.name!r} gives its output {name!r}")
    if control.batching is not None:
        _check_batching(executable, control, control.batching)
    _check_size(control.body)
    inputs = frozenset(each.name for each in executable.inputs)
    _Checker(control, inputs).check_block(control.body, inputs, frozenset())
    if len(control.body.results) != len(executable.outputs):
        raise ExecutableError(
            f"the program returns {len(control.body.results)} values for {len(executable.outputs)} model outputs"
        )


def _check_batching(executable: Executable, control: ControlFlow, batching: Batching) -> None:
    count = len(control.networks)
    if not 2 <= batching.most <= MAX_BATCH:
        raise ExecutableError(f"a batch of {batching.most} samples is outside 2 to {MAX_BATCH}")
    if not len(batching.singles) <= count or any(not 0 <= network < count for network, _ in batching.alone):
        raise ExecutableError("the batches name sub-networks that do not exist")
    known: set[tuple[int, int]] = set()
    for each in batching.sizes:
        where = f"a batch of {each.size} samples"
        if not (0 <= each.network < len(batching.singles) and 0 <= each.variant < count):
            raise ExecutableError(f"{where} names a sub-network that does not exist")
        if not 2 <= each.size <= batching.most or (each.network, each.size) in known:
            raise ExecutableError(f"{where} is there twice, or outside 2 to {batching.most}")
        known.add((each.network, each.size))
        single, several = control.networks[each.network], control.networks[each.variant]
        numbers = (len(several.inputs), len(several.outputs), len(each.stacked))
        if numbers != (len(single.inputs), len(single.outputs), len(single.outputs)):
            raise ExecutableError(f"{where} of {single.name!r} has other numbers of inputs or outputs than it")
        if any(executable.regions[step.index].decisions for step in several.steps if step.kind == "device"):
            raise ExecutableError(f"{where} of {single.name!r} is decided by its program")


def _check_size(body: Block) -> None:
    """Bounds nesting and statements before anything recurs over them."""
    layer, count = [body], 0
    for _ in range(MAX_DEPTH):
        statements = [statement for block in layer for statement in block.statements]
        count += len(statements)
        if count > MAX_STATEMENTS:
            raise ExecutableError(f"the program has more than {MAX_STATEMENTS} statements")
        layer = [inner for statement in statements for inner in blocks_within(statement)]
        if not layer:
            return
    raise ExecutableError(f"the program's blocks are nested more than {MAX_DEPTH} deep")


class _Checker:
    def __init__(self, control: ControlFlow, inputs: frozenset[str]) -> None:
        self._networks = control.networks
        self._made: set[str] = set(inputs)

    def check_block(self, block: Block, values: frozenset[str], scalars: frozenset[str]) -> frozenset[str]:
        """The scalars that are known at the end of a block that sees these values and scalars."""
        for statement in block.statements:
            known = values | scalars if isinstance(statement, Branch | Loop) else values
            self._check_known(type(statement).__name__, read_by(statement), known)
            match statement:
                case Launch():
                    self._check_launch(statement)
                case ReadScalar():
                    self._check_new((statement.scalar,))
                    scalars |= {statement.scalar}
                    continue
                case Branch():
                    self._check_branch(statement, values, scalars)
                case Loop():
                    self._check_loop(statement, values, scalars)
            self._check_new(written_by(statement))
            values |= set(written_by(statement))
        self._check_known("a block's result", block.results, values)
        return scalars

    def _check_launch(self, launch: Launch) -> None:
        if not 0 <= launch.network < len(self._networks):
            raise ExecutableError(f"a launch names sub-network {launch.network}, which does not exist")
        network = self._networks[launch.network]
        if (len(launch.inputs), len(launch.outputs)) != (len(network.inputs), len(network.outputs)):
            raise ExecutableError(f"a launch of {network.name!r} has other numbers of inputs or outputs than it")

    def _check_branch(self, branch: Branch, values: frozenset[str], scalars: frozenset[str]) -> None:
        self._check_known(f"If {branch.name!r}", (branch.condition,), scalars)
        for block in (branch.then, branch.otherwise):
            if len(block.results) != len(branch.results):
                raise ExecutableError(f"If {branch.name!r}: a branch returns another number of values")
            self.check_block(block, values, scalars)

    def _check_loop(self, loop: Loop, values: frozenset[str], scalars: frozenset[str]) -> None:
        where = f"Loop {loop.name!r}"
        self._check_known(where, filter(None, (loop.count, loop.condition)), scalars)
        self._check_known(where, loop.initial, values)
        if not len(loop.initial) == len(loop.parameters) == len(loop.results):
            raise ExecutableError(f"{where}: its state has different numbers of values at different places")
        if len(loop.body.results) != len(loop.results) + len(loop.stacked):
            raise ExecutableError(f"{where}: its body returns {len(loop.body.results)} values")
        if not {loop.index_rank, loop.going_rank} <= {0, 1}:
            raise ExecutableError(f"{where}: a counter of another rank than 0 or 1")
        own = (*loop.parameters, loop.index, loop.going)
        self._check_new(own)
        inside = self.check_block(loop.body, values | set(own), scalars)
        self._check_known(where, filter(None, (loop.proceed,)), inside)

    def _check_known(self, where: str, names: Iterable[str], known: frozenset[str]) -> None:
        for name in names:
            if name not in known:
                raise ExecutableError(f"{where} reads {name!r}, which is not there yet")

    def _check_new(self, names: Iterable[str]) -> None:
        for name in names:
            if not name or name in self._made:
                raise ExecutableError(f"the value {name!r} is assigned twice, or has no name")
            self._made.add(name)
