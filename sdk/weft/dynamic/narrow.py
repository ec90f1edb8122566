"""Tensors between sub-networks handed on as they are stored: 8 bits, where every way agrees on scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from weft.dynamic.borders import Border, same, stored_type
from weft.dynamic.boundaries import shared_names
from weft.dynamic.carriers import add_carriers, drop_carriers
from weft.dynamic.form import Form
from weft.dynamic.handed_through import handed_through
from weft.frontend.integer.quantization import Quantization
from weft_runtime.control import Launch, Loop, ReadScalar, statements_within

__all__ = ["narrow", "store_merged"]


@dataclass
class _Group:
    """Names that stand for one storage, and the sub-networks that make and read them (number, its own name for it). One
    that is `fixed` is also made or read by something else, and stays as it is."""

    names: set[str]
    makers: list[tuple[int, str]]
    readers: list[tuple[int, str]]
    fixed: bool = False


def narrow(form: Form) -> Form:
    """The form with stored tensors at the borders of sub-networks, computing the same bits.

    A group of names (see `shared_names`) is narrowed where a quantization (one scale and zero point) exists with which
    it loses nothing: whoever makes the value dequantizes with it, or whoever reads it quantizes with it at once. Model
    inputs are quantized, model outputs dequantized by sub-networks of their own. Sub-networks must be normalized, and
    launched by one statement each.
    """
    form = add_carriers(form)
    editors = [Border(each) for each in form.networks]
    chosen: dict[str, Quantization] = {}
    for group in _groups(form):
        quantization = None if group.fixed else _quantization(group, editors)
        if quantization is None:
            continue
        for network, name in group.makers:
            editors[network].make_stored(name, quantization)
        for network, name in group.readers:
            editors[network].read_stored(name, quantization)
        chosen.update(dict.fromkeys(group.names, quantization))
    types = {name: stored_type(kind, chosen.get(name)) for name, kind in form.types.items()}
    return handed_through(drop_carriers(replace(form, networks=tuple(each.finish() for each in editors), types=types)))


def store_merged(form: Form) -> Form:
    """The form, quantized, with every value that branches or loops hand on stored on all ways where it is on one, so
    that a merge costs nothing: also a loop's first state, where that is an input or a constant. Raises nothing; where
    two ways store differently, they stay so."""
    form = add_carriers(form)
    editors = [Border(each) for each in form.networks]
    roots = set(shared_names(form.body).values())
    for group in _groups(form):
        if group.fixed or not roots & group.names or len(group.makers) < 2:
            continue
        found = [editors[network].made_with(name) for network, name in group.makers]
        first = next((each for each in found if each is not None), None)
        for (network, name), each in zip(group.makers, found, strict=True):
            if first is not None and each is None and _is_float(form, network, name):
                editors[network].restore(name, first)
    return drop_carriers(form.with_networks(tuple(each.finish() for each in editors)))


def _groups(form: Form) -> list[_Group]:
    roots = shared_names(form.body)
    groups: dict[str, _Group] = {}

    def group(name: str) -> _Group:
        found = groups.setdefault(roots.get(name, name), _Group(set(), [], []))
        found.names.add(name)
        return found

    for name in roots:
        group(name)
    for each in form.model.inputs:
        group(each.name).fixed = True
    for name in form.body.results:
        group(name).fixed = True
    for statement in statements_within(form.body):
        match statement:
            case Launch():
                graph = form.networks[statement.network].proto.graph
                for name, value in zip(statement.inputs, graph.input, strict=True):
                    group(name).readers.append((statement.network, value.name))
                for name, value in zip(statement.outputs, graph.output, strict=True):
                    group(name).makers.append((statement.network, value.name))
            case ReadScalar():
                group(statement.value).fixed = True
            case Loop():
                collected = statement.body.results[len(statement.results) :]
                for name in (*collected, *(each.name for each in statement.stacked), statement.index, statement.going):
                    group(name).fixed = True
    return list(groups.values())


def _quantization(group: _Group, editors: list[Border]) -> Quantization | None:
    """The one that loses nothing, if there is one."""
    made = [editors[network].made_with(name) for network, name in group.makers]
    read = [editors[network].read_with(name) for network, name in group.readers]
    first = next((each for each in (*made, *read) if each is not None), None)
    if first is None:
        return None
    if all(each is not None and same(each, first) for each in read):
        return first  # whatever is made is only ever read as stored
    for (network, name), each in zip(group.makers, made, strict=True):
        exact = each is not None and same(each, first)
        if not exact and not editors[network].makes_exactly(name, first):
            return None
    return first


def _is_float(form: Form, network: int, name: str) -> bool:
    outputs = form.networks[network].proto.graph.output
    return any(value.name == name and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in outputs)
