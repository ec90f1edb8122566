"""Float models with control flow to QDQ models: every sub-network quantized, tensors between them with one scale."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.dynamic import ExploringRunner, Form, FormRunner, assemble, gate_nodes, store_merged
from weft.dynamic.boundaries import shared_names
from weft.dynamic.form import normalize_network
from weft.dynamic.types import is_static
from weft.errors import QuantizationError
from weft.frontend.graph import Array, Graph
from weft.frontend.model import Model
from weft.frontend.origins import origins
from weft.quantize.assign import stored_ranges
from weft.quantize.calibration import CalibrationData, Samples
from weft.quantize.confidence import decide_by_integers
from weft.quantize.options import QuantizeOptions
from weft.quantize.plan import make_plan
from weft.quantize.quantizer import Calibrated, calibrate, emit
from weft.quantize.ranges import Observation, Progress
from weft_runtime.control import Launch, ReadScalar, statements_within
from weft_runtime.errors import HostError, SessionError

__all__ = ["quantize_form"]

ROUNDS = 16
EXPLORED = 16
KEPT_LAUNCHES = 2048
KEPT_BYTES = 128 * 2**20


def quantize_form(
    form: Form,
    calibration: Samples | Iterable[Samples],
    options: QuantizeOptions,
    exclude: Collection[str],
    progress: Progress | None,
) -> Model:
    """The quantized model: the program in control-flow form, every sub-network quantized with the inputs that it is
    launched with while the float program runs on the calibration data.

    What a branch returns, or a loop hands on, gets one scale on all ways. A sub-network that no sample reaches is
    calibrated with what it would have got from the first samples. Raises QuantizationError as `quantize` does.
    """
    options.check()
    if options.minimum_snr is not None:
        raise QuantizationError(
            "a minimum signal-to-noise ratio cannot be kept where the path depends on the input: leave the option out, "
            "and keep single nodes, or all that only decisions depend on, in float"
        )
    launches = _launches(form, calibration, progress)
    _check_names(form, frozenset(exclude) | options.nodes.keys())
    gates = _kept_gates(form, options)
    networks: dict[int, Calibrated] = {}
    for index, network in enumerate(form.networks):
        kept = launches[index].samples
        if kept and network.inputs and all(is_static(value.type) for value in network.proto.graph.input):
            own = _names(network)
            chosen = replace(options, nodes={name: each for name, each in options.nodes.items() if name in own})
            skipped = gates[index].union(name for name in exclude if name in own)
            networks[index] = calibrate(network, kept, chosen, skipped)
    networks = _with_common_ranges(form, networks)
    conditions = _conditions(form)
    quantized = {
        index: decide_by_integers(emit(each).model, conditions.get(index, ()), each.exclude)
        for index, each in networks.items()
    }
    stored = form.with_networks(tuple(quantized.get(index, each) for index, each in enumerate(form.networks)))
    return assemble(store_merged(stored))


def _conditions(form: Form) -> dict[int, list[str]]:
    """By sub-network, the names of its outputs that decide."""
    statements = list(statements_within(form.body))
    values = {each.value for each in statements if isinstance(each, ReadScalar)}
    found: dict[int, list[str]] = {}
    for each in statements:
        if isinstance(each, Launch):
            outputs = form.networks[each.network].proto.graph.output
            own = [value.name for value, name in zip(outputs, each.outputs, strict=True) if name in values]
            found.setdefault(each.network, []).extend(own)
    return found


@dataclass
class _Launches:
    """Inputs of one sub-network: all of them, or every second, fourth, … where there are many."""

    samples: list[Mapping[str, Array]]
    seen: int = 0
    every: int = 1
    size: int = 0

    def add(self, inputs: Mapping[str, Array]) -> None:
        if self.seen % self.every == 0:
            self.samples.append(dict(inputs))
            self.size += sum(values.nbytes for values in inputs.values())
        self.seen += 1
        if len(self.samples) > 1 and (len(self.samples) > KEPT_LAUNCHES or self.size > KEPT_BYTES):
            self.samples = self.samples[::2]
            self.size = sum(values.nbytes for each in self.samples for values in each.values())
            self.every *= 2


def _launches(
    form: Form, calibration: Samples | Iterable[Samples], progress: Progress | None
) -> list[_Launches]:  # fmt: skip
    data = CalibrationData(form.model, calibration)
    launches = [_Launches([]) for _ in form.networks]
    runner = FormRunner(form, lambda network, inputs: launches[network].add(inputs))
    for done, sample in enumerate(data.stream()):
        try:
            runner.run(sample)
        except (SessionError, HostError) as error:
            raise QuantizationError(f"the float model fails on calibration sample {done}: {error}") from error
        if progress is not None:
            progress(done + 1, data.total)
    if not all(each.samples for each in launches):
        _explore(form, data, launches)
    return launches


def _explore(form: Form, data: CalibrationData, launches: list[_Launches]) -> None:
    """Fills in what no sample reached, by running the first ones also where they do not lead."""
    found = [_Launches([]) for _ in launches]
    runner = ExploringRunner(form, lambda network, inputs: found[network].add(inputs))
    for sample in data.head()[:EXPLORED]:
        # Where nothing leads, values may be such that a kernel refuses them; what ran before still counts.
        with contextlib.suppress(SessionError, HostError):
            runner.run(sample)
    for index, each in enumerate(found):
        if not launches[index].samples:
            launches[index] = each


def _kept_gates(form: Form, options: QuantizeOptions) -> Sequence[frozenset[str]]:
    """By sub-network the nodes that stay float because only decisions depend on them."""
    if options.gates == "int8":
        return [frozenset()] * len(form.networks)
    return gate_nodes(form.with_networks(tuple(map(normalize_network, form.networks))))


def _with_common_ranges(form: Form, networks: dict[int, Calibrated]) -> dict[int, Calibrated]:
    """The sub-networks with one range for all names that stand for the same storage. A range that grows in one may
    widen others there, so this is repeated until nothing changes; where it does not settle, scales differ and values
    are quantized again on their way."""
    roots = shared_names(form.body)
    for _ in range(ROUNDS):
        found: dict[str, tuple[float, float]] = {}
        own = {index: _border_ranges(each) for index, each in networks.items()}
        for ranges in own.values():
            for name, (low, high) in ranges.items():
                before = found.setdefault(roots.get(name, name), (low, high))
                found[roots.get(name, name)] = (min(before[0], low), max(before[1], high))
        changed = False
        for index, ranges in own.items():
            wider = {name: found[roots.get(name, name)] for name in ranges}
            if wider != ranges:
                changed = True
                observed = {name: Observation(span, None) for name, span in wider.items()}
                networks[index] = replace(networks[index], observed={**networks[index].observed, **observed})
        if not changed:
            break
    return networks


def _border_ranges(calibrated: Calibrated) -> dict[str, tuple[float, float]]:
    """The ranges of the stored inputs and outputs of a sub-network, as it would be quantized."""
    graph = Graph(calibrated.model)
    plan = make_plan(graph, calibrated.exclude)
    ranges = stored_ranges(graph, plan, calibrated.observed, calibrated.options)
    border = graph.input_names | graph.output_names
    return {name: ranges.range_of(name) for name in plan.activations if name in border}


def _names(network: Model) -> set[str]:
    graph = normalize_network(network).proto.graph
    return {name for node in graph.node for name in (node.name, *origins(node))}


def _check_names(form: Form, names: Collection[str]) -> None:
    known = set[str]().union(*(_names(network) for network in form.networks)) if names else set()
    for name in sorted(set(names) - known):
        raise QuantizationError(f"quantization options name the node '{name}', but the model has no such node")
