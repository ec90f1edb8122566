"""Records what a module computes on tensors that have shapes and no values, region by region."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from weft.frontend.torch.location import refuse, running_line
from weft.frontend.torch.program import Block, changes_in_place

aten = torch.ops.aten
READS_A_VALUE = {aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default}
# Memory of any content; operators that fill it are recorded.
WITHOUT_A_VALUE = {aten.empty.memory_format, aten.empty_strided.default, aten.empty_like.default}
READING = (
    "Python reads the value of a tensor here, which would fix one path "
    "for all inputs; decide in an if or while, or compute "
    "with tensors"
)


@dataclass
class Region:
    """A graph while it is recorded: the main program, a branch, a loop's test or a loop's body."""

    parent: Region | None
    graph: fx.Graph = field(default_factory=fx.Graph)
    nodes: dict[int, fx.Node] = field(default_factory=dict)
    storages: set[int] = field(default_factory=set)
    captured: dict[int, torch.Tensor] = field(default_factory=dict)
    entering: list[torch.Tensor] = field(default_factory=list)
    blocks: dict[str, Block] = field(default_factory=dict)
    copies: list[tuple[fx.Node, int]] = field(default_factory=list)
    stale: set[int] = field(default_factory=set)

    @property
    def depth(self) -> int:
        """How many regions this one is within; 0 for the main program."""
        return 0 if self.parent is None else 1 + self.parent.depth


def storage_of(tensor: torch.Tensor) -> int:
    """What tensors that share memory have in common."""
    return int(tensor.untyped_storage()._cdata)


class Recorder(TorchDispatchMode):
    """Records every ATen operator into the graph of the current region.

    Tensors of outer regions are captured on first use. Raises SourceError, with the user's line, where Python reads a
    tensor's value, where a result's shape depends on data, for random operators, and for changes in place that another
    region could see.
    """

    supports_higher_order_operators = True  # to refuse them with a reason

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.fake_mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.region = Region(None)
        self.weights: dict[str, tuple[str, torch.Tensor]] = {}
        self._names = names
        self._fakes: dict[int, torch.Tensor] = {}
        # Tensors are told apart by addresses, also those of attempts that were thrown away: none may be used again.
        self._alive: list[torch.Tensor] = []
        self._weight_storages: set[int] = set()
        self._mutated: set[int] = set()
        self._aliases: dict[int, set[int]] = {}
        self.modules: tuple[torch.nn.Module, ...] = ()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            raise refuse(
                f"the operator {func} cannot be recorded here: write cond, while_loop and scan in a def of your own, "
                "or an if or a loop, or export the module by torch.export"
            )
        if func.namespace == "prim" or (func in WITHOUT_A_VALUE and not pytree.tree_leaves((args, kwargs))):
            return self._run(func, args, kwargs)
        self._refuse_unrecordable(func)
        args, kwargs = pytree.tree_map_only(torch.Tensor, self.fake, (tuple(args), dict(kwargs)))
        self._refuse_stale(args, kwargs)
        for tensor in _written(func, args, kwargs):
            self._note_change(tensor)
        result = self._run(func, args, kwargs)
        if any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(result)):
            node = self.region.graph.call_function(func, *pytree.tree_map_only(torch.Tensor, self.node, (args, kwargs)))
            node.meta["stack_trace"] = running_line()
            self._bind(node, result)
        return result

    def _run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            with self.fake_mode:
                return func(*args, **kwargs)
        except torch._subclasses.fake_tensor.DataDependentOutputException as error:
            raise refuse(READING) from error
        except torch._subclasses.fake_tensor.DynamicOutputShapeException as error:
            raise refuse(
                f"the shape of {func}'s result depends on data; an accelerator's tensors have fixed shapes"
            ) from error

    def _refuse_unrecordable(self, func: Any) -> None:
        if func in READS_A_VALUE:
            raise refuse(READING)
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise refuse(f"{func} is random, and a compiled program is not; call eval() on the module")

    def fake(self, tensor: torch.Tensor) -> torch.Tensor:
        """The recorded stand-in of a tensor; a weight or constant becomes an input of the program on first use."""
        if isinstance(tensor, FakeTensor):
            return tensor
        if id(tensor) not in self._fakes:
            self._add_weight(tensor)
        return self._fakes[id(tensor)]

    def _new(self, like: torch.Tensor) -> torch.Tensor:
        """A tensor of the same shape and dtype in memory of its own, unrecorded."""
        with torch.utils._python_dispatch._disable_current_modes(), self.fake_mode:
            return torch.empty(tuple(like.shape), dtype=like.dtype)

    def _add_weight(self, tensor: torch.Tensor) -> None:
        main = self.region
        while main.parent is not None:
            main = main.parent
        fake = self._new(tensor)
        self._alive.append(tensor)
        self._fakes[id(tensor)] = fake
        self._weight_storages.add(storage_of(fake))
        name = f"weight_{len(self.weights)}"
        self.weights[name] = (self._names.get(id(tensor), f"constant/{name}"), _plain(tensor))
        self._placeholder(main, name, fake)

    def add_input(self, name: str, example: torch.Tensor) -> torch.Tensor:
        """A new input of the program."""
        fake = self._new(example)
        self._weight_storages.add(storage_of(fake))
        self._placeholder(self.region, name, fake)
        return fake

    def _placeholder(self, region: Region, name: str, fake: torch.Tensor) -> fx.Node:
        first = next(iter(region.graph.nodes), None)
        last = None
        for node in region.graph.nodes:
            if node.op != "placeholder":
                break
            last = node
        if last is not None:
            with region.graph.inserting_after(last):
                node = region.graph.placeholder(name)
        elif first is not None:
            with region.graph.inserting_before(first):
                node = region.graph.placeholder(name)
        else:
            node = region.graph.placeholder(name)
        node.meta["val"] = fake
        region.nodes[id(fake)] = node
        self._alive.append(fake)
        return node

    def node(self, tensor: torch.Tensor) -> fx.Node:
        """The node that makes a tensor in the current region, captured from outside where it is made there."""
        return self._node_in(self.region, self.fake(tensor))

    def _node_in(self, region: Region, tensor: torch.Tensor) -> fx.Node:
        if id(tensor) in region.nodes:
            return region.nodes[id(tensor)]
        if region.parent is None:
            raise refuse("a tensor made inside a branch or a loop is used outside of it")
        self._node_in(region.parent, tensor)
        region.captured[id(tensor)] = tensor
        return self._placeholder(region, f"captured_{len(region.captured)}", tensor)

    def _bind(self, node: fx.Node, result: Any) -> None:
        node.meta["val"] = result
        if isinstance(result, torch.Tensor):
            self.region.nodes[id(result)] = node
            self._alive.append(result)
            if not self._is_foreign(result):
                self.region.storages.add(storage_of(result))
            return
        for index, leaf in enumerate(result):
            if isinstance(leaf, torch.Tensor):
                self._bind(self._getitem(node, index), leaf)

    def _getitem(self, node: fx.Node, index: int) -> fx.Node:
        return self.region.graph.call_function(operator.getitem, (node, index))

    def _is_foreign(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor lies in memory that the region did not make: a view of a weight, an input or a captured
        tensor.
        """
        storage = storage_of(tensor)
        if storage in self._weight_storages:
            return True
        region = self.region.parent
        while region is not None:
            if storage in region.storages:
                return True
            region = region.parent
        return False

    def _note_change(self, tensor: torch.Tensor) -> None:
        storage = storage_of(tensor)
        if storage in self._weight_storages:
            raise refuse(
                "a weight, a buffer or an input is changed in place, which "
                "would outlive the call; compute a new tensor, "
                "and call eval() on modules that track statistics"
            )
        if storage not in self.region.storages:
            raise refuse(
                "a tensor from outside is changed in place inside a "
                "data-dependent branch or loop; assign a new tensor to a "
                "name instead"
            )
        self._mutated.add(storage)
        self.region.stale |= self._linked(storage) - {storage}

    def _linked(self, storage: int) -> set[int]:
        found, pending = {storage}, [storage]
        while pending:
            for other in self._aliases.get(pending.pop(), ()):
                if other not in found:
                    found.add(other)
                    pending.append(other)
        return found

    def link(self, one: torch.Tensor, other: torch.Tensor) -> None:
        """Notes that in eager execution the two may be the same memory: a change in place of one makes the other
        stale.
        """
        first, second = storage_of(self.fake(one)), storage_of(self.fake(other))
        if first != second:
            self._aliases.setdefault(first, set()).add(second)
            self._aliases.setdefault(second, set()).add(first)

    def _refuse_stale(self, args: Any, kwargs: Any) -> None:
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor) and self._is_stale(storage_of(leaf)):
                raise refuse(
                    "this tensor may share its memory with one that was changed in "
                    "place under another name inside or behind a "
                    "data-dependent branch; clone it before the change"
                )

    def _is_stale(self, storage: int) -> bool:
        region: Region | None = self.region
        while region is not None:
            if storage in region.stale:
                return True
            region = region.parent
        return False

    def check_result(self, tensor: torch.Tensor) -> None:
        """Raises SourceError for a result whose memory was changed under another name."""
        self._refuse_stale((self.fake(tensor),), {})

    def own_copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor that this region may change in place; no copy remains where nothing does."""
        original = self.fake(tensor)
        copy = torch.clone(original)
        self.region.copies.append((self.region.nodes[id(copy)], storage_of(copy)))
        self.link(copy, original)
        return copy

    def new_result(
        self, node: fx.Node, index: int, like: torch.Tensor, sources: Iterable[torch.Tensor]
    ) -> torch.Tensor:
        """Output `index` of a control-flow node of the current region; it may be the memory of any of `sources`."""
        result = self._new(like)
        output = self._getitem(node, index)
        output.meta["val"] = result
        self._bind(output, result)
        copy = self.own_copy(result)
        for source in sources:
            self.link(copy, source)
        return copy

    def main_inputs(self) -> list[torch.Tensor]:
        """The tensors behind the main program's placeholders, in order."""
        return [node.meta["val"] for node in self.region.graph.nodes if node.op == "placeholder"]

    def weights_by_placeholder(self, block: Block) -> dict[str, tuple[str, torch.Tensor]]:
        """The weights under the names that the finished main block's placeholders have."""
        by_tensor = {id(node.meta["val"]): node.name for node in block.placeholders}
        originals = {node.name: node.meta["val"] for node in self.region.graph.nodes if node.op == "placeholder"}
        return {by_tensor[id(originals[name])]: weight for name, weight in self.weights.items()}

    @contextmanager
    def inside(self, region: Region) -> Iterator[None]:
        """Records into `region`."""
        outer, self.region = self.region, region
        try:
            yield
        finally:
            self.region = outer

    def carried(self, initial: torch.Tensor) -> torch.Tensor:
        """A value that the current region, a loop's body or test, is given anew for every iteration."""
        fake = self._new(initial)
        self._placeholder(self.region, f"carried_{len(self.region.entering)}", fake)
        self.region.entering.append(fake)
        self.region.storages.add(storage_of(fake))
        copy = self.own_copy(fake)
        self.link(copy, initial)
        return copy

    def operand(self, tensor: torch.Tensor) -> fx.Node:
        """What a control-flow node of the current region is given: the tensor as it is now."""
        node = self.node(tensor)
        storage = storage_of(tensor)
        if storage in self._weight_storages:
            return node
        copy = self.region.graph.call_function(aten.clone.default, (node,))
        copy.meta["val"] = tensor
        self.region.copies.append((copy, storage))
        return copy

    def body(self, block: Block) -> fx.Node:
        """A node that names a block in the current region."""
        name = f"body_{len(self.region.blocks)}"
        self.region.blocks[name] = block
        return self.region.graph.get_attr(name)

    def leave(self, region: Region) -> None:
        """What a finished region changed is stale from now on in the current one."""
        self.region.stale |= region.stale

    def close(self, region: Region, results: Sequence[torch.Tensor], operands: Sequence[torch.Tensor]) -> Block:
        """The finished block of a region: its entering values, then `operands` in order, whether it reads them or
        not.
        """
        with self.inside(region):
            nodes = [self.node(each) for each in results]
        graph = fx.Graph()
        copied: dict[fx.Node, fx.Node] = {}
        for index, operand in enumerate((*region.entering, *operands)):
            node = graph.placeholder(f"operand_{index}")
            node.meta["val"] = operand
            if id(operand) in region.nodes and region.nodes[id(operand)].op == "placeholder":
                copied[region.nodes[id(operand)]] = node
        unneeded = {node for node, storage in region.copies if storage not in self._mutated}
        reached = _reaching([*nodes, *(node for node in region.graph.nodes if changes_in_place(node))])
        for node in region.graph.nodes:
            if node in copied or node not in reached:
                continue
            if node in unneeded:
                copied[node] = copied[node.args[0]]
            elif node.op == "placeholder":
                raise AssertionError(f"{node.name} was captured and is not given")
            else:
                copied[node] = graph.node_copy(node, lambda source: copied[source])
        graph.output(tuple(copied[node] for node in nodes))
        return Block(graph, region.blocks)


def _reaching(ends: Sequence[fx.Node]) -> set[fx.Node]:
    """The nodes that lead to `ends`."""
    found: set[fx.Node] = set()
    pending = list(ends)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += node.all_input_nodes
    return found


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operator changes in place."""
    if not func._schema.is_mutable:
        return
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[index] if index < len(args) else kwargs.get(argument.name)
            yield from (leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, torch.Tensor))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    with torch.utils._python_dispatch._disable_current_modes():
        return tensor.detach()
