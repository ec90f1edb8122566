"""Scale, zero point and type of every stored tensor, from what was observed and what the user wants."""

from __future__ import annotations

from collections.abc import Mapping

from weft.errors import QuantizationError
from weft.frontend.graph import Graph
from weft.quantize.options import Method, NodeOptions, QuantizeOptions, StorageType
from weft.quantize.parameters import ActivationParameters, activation_parameters
from weft.quantize.plan import Plan, SharedRanges, makers, share_ranges
from weft.quantize.ranges import Observation

__all__ = ["assign_parameters", "counted_tensors", "stored_ranges"]


def counted_tensors(graph: Graph, plan: Plan, options: QuantizeOptions) -> frozenset[str]:
    """The tensors whose range needs a histogram. With a general method other than minmax all do, since a skipped
    layer can bring hidden ones to light."""
    if options.method != "minmax":
        return frozenset(plan.activations) | plan.hidden
    return frozenset(name for name in plan.activations if _method(graph, plan, options, name) != "minmax")


def assign_parameters(
    graph: Graph, plan: Plan, observed: Mapping[str, Observation], options: QuantizeOptions
) -> dict[str, ActivationParameters]:
    """The parameters of each stored tensor; those that only differ by data movement have the same.

    Raises QuantizationError where nodes that must share a type are given different ones.
    """
    shared = stored_ranges(graph, plan, observed, options)
    types = _group_types(graph, plan, options, shared)
    return {
        name: activation_parameters(
            *shared.range_of(name),
            types.get(shared.root(name), options.activation_type),
            options.activation_symmetry,
        )
        for name in plan.activations
    }


def stored_ranges(
    graph: Graph, plan: Plan, observed: Mapping[str, Observation], options: QuantizeOptions
) -> SharedRanges:
    """The range of each stored tensor, one for those that only differ by data movement."""
    ranges = {}
    for name in plan.activations:
        storage = _own_type(graph, plan, options, name) or options.activation_type
        ranges[name] = observed[name].range(
            _method(graph, plan, options, name),
            options.percentile,
            lambda low, high, storage=storage: activation_parameters(  # type: ignore[misc]
                low, high, storage, options.activation_symmetry
            ),
        )
    return share_ranges(graph, plan, ranges)


def _group_types(graph: Graph, plan: Plan, options: QuantizeOptions, shared: SharedRanges) -> dict[str, StorageType]:
    """The type that the user wants for a group, by the tensor that stands for it."""
    types: dict[str, StorageType] = {}
    for name in plan.activations:
        wanted = _own_type(graph, plan, options, name)
        if wanted is None:
            continue
        if types.setdefault(shared.root(name), wanted) != wanted:
            raise QuantizationError(
                f"'{name}' is to be stored as {wanted}, but another node whose result shares its scale (data movement "
                "or Concat lies between) as another type; give both the same"
            )
    return types


def _method(graph: Graph, plan: Plan, options: QuantizeOptions, tensor: str) -> Method:
    chosen = (node.method for node in _node_options(graph, plan, options, tensor))
    return next((method for method in chosen if method is not None), options.method)


def _own_type(graph: Graph, plan: Plan, options: QuantizeOptions, tensor: str) -> StorageType | None:
    chosen = (node.activation_type for node in _node_options(graph, plan, options, tensor))
    return next((storage for storage in chosen if storage is not None), None)


def _node_options(graph: Graph, plan: Plan, options: QuantizeOptions, tensor: str) -> list[NodeOptions]:
    if not options.nodes:
        return []
    return [options.nodes[node.name] for node in makers(graph, plan, tensor) if node.name in options.nodes]
