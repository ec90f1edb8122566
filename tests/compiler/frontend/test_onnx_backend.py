"""ONNX's own backend tests: every operator through load, normalize and integerize, computing the same as
before."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime

from weft.errors import ModelError
from weft.frontend import integerize, load, normalize
from weft.frontend.session_options import RUNTIME_ERRORS, plain_options


def _run(proto, feed):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"]
    )
    names = {value.name for value in session.get_inputs()}
    return session.run(None, {name: value for name, value in feed.items() if name in names})


def _cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = [case for case in collect_testcases(None) if case.model is not None and case.data_sets]
        # Each operator has several cases; every second one keeps the test short.
        return cases[::2]


def _extents(model, feed):
    """Values for the model's symbolic extents, from the test's own inputs."""
    pairs = [pair for value in model.inputs for pair in zip(value.shape, feed[value.name].shape, strict=False)]
    return {symbol: extent for symbol, extent in pairs if isinstance(symbol, str) and symbol != "..." and extent}


def _close(wanted, got):
    if wanted.dtype != got.dtype or wanted.shape != got.shape:
        return False
    if wanted.dtype.kind not in "fiubc":
        return True
    tolerance = 1e-2 if wanted.dtype.itemsize <= 2 and wanted.dtype.kind == "f" else 1e-4
    return np.allclose(wanted.astype(complex), got.astype(complex), rtol=tolerance, atol=tolerance / 10, equal_nan=True)


def test_every_operator_computes_the_same_after_normalizing():
    passed, wrong, refused = 0, [], []
    for case in _cases():
        values = (x if isinstance(x, list) else np.asarray(x) for x in case.data_sets[0][0])
        feed = dict(zip((value.name for value in case.model.graph.input), values, strict=False))
        try:
            expected = _run(case.model, feed)
        except RUNTIME_ERRORS:
            continue  # ONNX Runtime has no kernel for it, so Weft promises nothing
        try:
            model = load(case.model)
            model = integerize(normalize(model, _extents(model, feed)))
        except ModelError as error:
            refused.append(f"{case.name}: {error}")
            continue
        got = _run(model.proto, feed)
        if all(_close(np.asarray(a), np.asarray(b)) for a, b in zip(expected, got, strict=True)):
            passed += 1
        else:
            wrong.append(case.name)
    assert wrong == []
    assert passed > 500
    # Sequences, optionals, and operator sets below 7 are refused by design; nothing else is.
    assert all("dense tensor" in reason or "operator set 1 " in reason for reason in refused), refused
