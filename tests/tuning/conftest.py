"""A cache folder for each test, and small models to tune."""

from __future__ import annotations

import pytest

from weft.bench.builder import QdqBuilder
from weft.frontend import Model


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def small_model() -> Model:
    """Three convolutions of two shapes and a product."""
    build = QdqBuilder("small", 5)
    x = build.convolution(build.input((1, 16, 14, 14)), 32, 3)
    x = build.convolution(build.convolution(x, 32, 3), 32, 3)
    return Model(build.build(build.dense(build.global_average_pool(x), 40)), name="small")
