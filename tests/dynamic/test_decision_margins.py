"""weft verify on float models with control flow: where int8 decides otherwise, and how close it was."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.api.decisions import DecisionTally
from weft.dynamic import FormRunner, split
from weft.frontend import load, normalize
from weft_runtime.interpreter import Decision

pytest.importorskip("sklearn")
from networks import NETWORKS


def test_flips_and_margins_of_gates() -> None:
    network = NETWORKS["skip_gates"]()
    model = load(network.model)
    rows = {key: array[:40] for key, array in network.inputs.items()}
    report = weft.verify(model, rows)
    assert len(report.decisions) == 4 and report.exact
    assert all(each.taken == 40 and each.median_margin is not None for each in report.decisions)
    form = split(normalize(model)).form
    assert form is not None
    runner = FormRunner(form)
    ours = [runner.run({"image": rows["image"][index : index + 1]})[1] for index in range(40)]
    with weft.Session(weft.compile(weft.quantize(model, rows))) as session:
        session.run(rows)
        parting = sum(float_path != path for float_path, path in zip(ours, session.profile.paths, strict=True))
    assert sum(each.flips for each in report.decisions) == parting
    for each in report.decisions:
        assert (each.flips > 0) == (each.largest_flipped is not None)
        assert each.median_margin is not None and 0 < each.median_margin <= 0.5


def test_a_changed_path_is_counted_where_it_parts() -> None:
    """Of a loop the margin is that of the iteration behind which only one goes on."""
    network = NETWORKS["halting"]()
    form = split(normalize(load(network.model))).form
    assert form is not None
    sample = {"vector": network.inputs["vector"][:1]}
    _, (step,) = FormRunner(form).run(sample)
    rounds = int(step.outcome)
    tally = DecisionTally(form)
    tally.compare(sample, [step])
    (same,) = tally.reports()
    assert (same.taken, same.flips, same.largest_flipped) == (rounds, 0, None)
    tally = DecisionTally(form)
    tally.compare(sample, [Decision(step.name, str(rounds + 1))])
    (parted,) = tally.reports()
    assert parted.flips == 1 and parted.largest_flipped is not None
    # The float loop ends where the sum of its probabilities has passed 1 by this much.
    assert 0 <= parted.largest_flipped < 1 and np.isfinite(parted.largest_flipped)
    tally = DecisionTally(form)
    tally.compare(sample, [Decision(step.name, "1")])
    (early,) = tally.reports()
    assert rounds > 1 and early.largest_flipped is not None and early.largest_flipped != parted.largest_flipped
