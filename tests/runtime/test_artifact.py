"""The artifact: the way there and back, and everything that must be refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_program import adder

from weft_runtime import artifact
from weft_runtime.errors import ArtifactError, ExecutableError
from weft_runtime.executable import Executable, HostGraph, Layout, Step, TensorSignature
from weft_runtime.npu import npu_processor
from weft_sim.machine import machine

HEADER = struct.Struct("<8sIIQQ32s")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("artifact") / "good.weft"
    artifact.save(adder(), path)
    return path.read_bytes()


def reseal(
    data: bytes, edit: Callable[[dict[str, Any]], object], body: Callable[[bytes], bytes] = lambda b: b
) -> bytes:
    """The artifact with an edited manifest and body, and correct header checksums: what an attacker would
    write."""
    size = HEADER.unpack_from(data)[3]
    manifest = json.loads(data[HEADER.size : HEADER.size + size])
    edit(manifest)
    text = json.dumps(manifest).encode()
    rest = body(data[HEADER.size + size :])
    total = HEADER.size + len(text) + len(rest)
    return (
        HEADER.pack(artifact.MAGIC, artifact.FORMAT_VERSION, 0, len(text), total, hashlib.sha256(text).digest())
        + text
        + rest
    )


def refused(data: bytes, path: Path, match: str | None = None) -> None:
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=match) as caught:
        artifact.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_there_and_back(tmp_path: Path) -> None:
    executable = adder()
    artifact.save(executable, tmp_path / "one.weft")
    assert artifact.load(tmp_path / "one.weft") == executable
    artifact.save(artifact.load(tmp_path / "one.weft"), tmp_path / "two.weft")
    assert (tmp_path / "one.weft").read_bytes() == (tmp_path / "two.weft").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.weft", "two.weft"]
    assert artifact.is_artifact(tmp_path / "one.weft")
    assert not artifact.is_artifact(tmp_path / "none.weft")


def test_host_only_and_empty_models(tmp_path: Path) -> None:
    full = adder()
    signature = TensorSignature("sum", "int8", full.inputs[0].shape)
    host_only = replace(full, regions=(), steps=(Step("host", 0),), inputs=(signature,), outputs=full.outputs[:1])
    nothing = replace(host_only, host_graphs=(), steps=(), outputs=(signature,))
    for executable in (host_only, nothing):
        artifact.save(executable, tmp_path / "model.weft")
        assert artifact.load(tmp_path / "model.weft") == executable


def test_every_flipped_byte_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flipped.weft"
    flips = np.random.default_rng(0).integers(1, 256, len(data)).tolist()
    for position, flip in enumerate(flips):
        damaged = bytearray(data)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError):
            artifact.load(path)


def test_every_truncation_and_any_appended_byte_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.weft"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError):
            artifact.load(path)
    refused(data + b"\0", path, "header says")
    refused(b"", path, "not a Weft artifact")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes, with_magic: bool) -> None:
    path = tmp_path_factory.mktemp("noise") / "noise.weft"
    refused(artifact.MAGIC + noise if with_magic else noise, path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_manifest_value_exchanged_loads_or_is_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    """Typed errors only: whatever stands in the manifest, nothing else escapes."""

    def edit(manifest: dict[str, Any]) -> None:
        where: Any = manifest
        while isinstance(where, dict | list) and where:
            keys = sorted(where) if isinstance(where, dict) else range(len(where))
            key = draw.draw(st.sampled_from(list(keys)))
            if not (isinstance(where[key], dict | list) and where[key]) or draw.draw(st.integers(0, 3)) == 0:
                where[key] = draw.draw(JSON)
                return
            where = where[key]

    path = tmp_path_factory.mktemp("edited") / "edited.weft"
    path.write_bytes(reseal(data, edit))
    try:
        assert isinstance(artifact.load(path), Executable)
    except ArtifactError as error:
        assert "\n" not in str(error)


def set_at(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(manifest: dict[str, Any]) -> None:
        where: Any = manifest
        for key in keys[:-1]:
            where = where[key]
        where[keys[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_at("processors", 0, "clock_mhz", value=7), "do not belong to its configuration"),
        (set_at("processors", 0, "backend", value="absent"), "no backend 'absent' is installed"),
        (set_at("processors", 0, "name", value="host"), "cannot be called 'host'"),
        (set_at("processors", 0, "configuration", value="[]"), "must be an object"),
        (set_at("regions", 0, "processor", value=1), "processor 1, which does not exist"),
        (set_at("sections", 1, "offset", value=0), "overlaps"),
        (set_at("sections", 0, "size", value=1 << 31), "outside the file"),
        (set_at("sections", 0, "size", value=-1), "outside 0"),
        (set_at("sections", 0, "name", value="regions/7/instructions"), "is missing"),
        (set_at("sections", 1, "name", value="regions/0/instructions"), "there twice"),
        (set_at("regions", 0, "io_bytes", value=10), "outside the input/output area"),
        (set_at("regions", 0, "io_bytes", value=1 << 62), "outside 0 to"),
        (set_at("regions", 0, "workspace_bytes", value=(1 << 32) - 4096), "bytes of device memory"),
        (set_at("regions", 0, "source_names", value=["one"]), "refers to node name"),
        (set_at("regions", 0, "inputs", 0, "register", value=1), "not to the input/output area"),
        (set_at("regions", 0, "inputs", 0, "dtype", value="float32"), "cannot cross"),
        (set_at("regions", 0, "inputs", 0, "shape", value=[1, 3, 5, 5]), "does not fit its layout"),
        (set_at("regions", 0, "inputs", 0, "layout", "view", value=[1, 3]), "four extents"),
        (set_at("regions", 0, "inputs", 1, "offset", value=1), "overlap"),
        (set_at("regions", 0, "inputs", 0, "name", value="ghost"), "'ghost', which no earlier step gives"),
        (set_at("steps", 0, "index", value=3), "does not exist"),
        (set_at("steps", 0, "kind", value="gpu"), "'gpu'"),
        (set_at("steps", value=[]), "no step runs"),
        (
            set_at("steps", value=[{"kind": "host", "index": 0}, {"kind": "device", "index": 0}]),
            "no earlier step",
        ),
        (set_at("steps", value=[{"kind": "device", "index": 0}] * 2), "a second time"),
        (set_at("outputs", 0, "name", value="ghost"), "no step gives"),
        (set_at("inputs", 0, "name", value="b"), "named twice"),
        (set_at("inputs", 0, "dtype", value="pickle"), "unknown data type"),
        (set_at("batch", value=True), "whole number"),
        (set_at("batch", value=10**30), "a huge number"),
        (set_at("surprise", value=1), "unknown member 'surprise'"),
        (set_at("calibration", value="guess"), "'guess'"),
    ],
)
def test_consistent_checksums_do_not_excuse_nonsense(
    data: bytes, tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    refused(reseal(data, edit), tmp_path / "crafted.weft", message)


def test_malformed_json_is_refused(data: bytes, tmp_path: Path) -> None:
    size = HEADER.unpack_from(data)[3]
    good = data[HEADER.size : HEADER.size + size]
    texts = [
        b"[" * 100_000,
        b"{",
        b"\xff",
        b"[]",
        good[:-1] + b',"batch":1}',
        good.replace(b'"batch":1', b'"batch":NaN'),
    ]
    texts.append(good.replace(b'"batch":1', b'"batch":' + b"9" * 5000))
    for text in texts:
        digest = hashlib.sha256(text).digest()
        total = len(data) - size + len(text)
        header = HEADER.pack(artifact.MAGIC, artifact.FORMAT_VERSION, 0, len(text), total, digest)
        refused(header + text + data[HEADER.size + size :], tmp_path / "json.weft", "manifest")


def test_versions_and_sizes_in_the_header(data: bytes, tmp_path: Path) -> None:
    magic, version, _, size, total, digest = HEADER.unpack_from(data)
    for fields, message in (
        ((magic, version + 1, 0, size, total, digest), f"format version {version + 1}"),
        ((magic, version, 0, 1 << 60, total, digest), "does not fit"),
        ((magic, version, 0, size, 1 << 60, digest), "header says"),
        ((magic, version, 9, size, total, digest), "reserved"),
    ):
        refused(HEADER.pack(*fields) + data[HEADER.size :], tmp_path / "header.weft", message)


def test_another_machine_is_refused(tmp_path: Path) -> None:
    artifact.save(adder(), tmp_path / "model.weft")
    assert artifact.load(tmp_path / "model.weft", [npu_processor(machine("weft-16"))]) == adder()
    with pytest.raises(ArtifactError, match=r"'weft-16'.*not for 'weft-8'"):
        artifact.load(tmp_path / "model.weft", [npu_processor(machine("weft-8"))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 17}, "configuration of 'weft-16' is impossible"),
        ({"lanes": 8}, "do not belong to its configuration"),
        ({"wings": 2}, "unknown machine parameter 'wings'"),
    ],
)
def test_an_impossible_machine_is_refused(data: bytes, tmp_path: Path, change: dict[str, int], message: str) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        processor = manifest["processors"][0]
        processor["configuration"] = json.dumps(json.loads(processor["configuration"]) | change)

    refused(reseal(data, edit), tmp_path / "edited.weft", message)


def test_reading_allocates_no_more_than_the_file_has(data: bytes, tmp_path: Path) -> None:
    """Reading up to the largest artifact would take 4 GiB for any file."""
    path = tmp_path / "small.weft"
    for content in (data, data[:-1], b"\x89WEFT\r\n\x1a"):
        path.write_bytes(content)
        tracemalloc.start()
        with contextlib.suppress(ArtifactError):
            artifact.load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * len(data) + (1 << 20)


def test_unreadable_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        artifact.load(tmp_path / "missing.weft")
    with pytest.raises(ArtifactError, match="cannot read"):
        artifact.load(tmp_path)
    with pytest.raises(ArtifactError, match="cannot write"):
        artifact.save(adder(), tmp_path / "no" / "folder.weft")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ArtifactError, match="cannot write"):
        artifact.save(adder(), tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def host_graph(edit: Callable[[onnx.ModelProto], object]) -> HostGraph:
    graph = adder().host_graphs[0]
    model = onnx.ModelProto.FromString(graph.model)
    edit(model)
    return replace(graph, model=model.SerializeToString())


def test_executables_that_contradict_themselves_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    good = adder()
    region = good.regions[0]

    def externalize(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        model.graph.initializer[0].external_data.add(key="location", value="secrets.bin")

    cases: list[tuple[Executable, str]] = [
        (replace(good, regions=(replace(region, instructions=region.instructions[:-1]),)), "multiple of 128"),
        (replace(good, regions=(replace(region, instructions=b"", sources=()),)), "positive multiple"),
        (replace(good, regions=(replace(region, sources=region.sources[1:]),)), "8 node names for 9"),
        (replace(good, regions=(replace(region, io_bytes=-1),)), "-1 bytes"),
        (replace(good, host_graphs=(replace(good.host_graphs[0], model=b"\xff\xff"),)), "not an ONNX model"),
        (replace(good, host_graphs=(replace(good.host_graphs[0], model=b""),)), "no graph"),
        (replace(good, host_graphs=(host_graph(externalize),)), "outside the executable"),
        (replace(good, host_graphs=(host_graph(lambda m: m.graph.ClearField("input")),)), "inputs"),
        (
            replace(good, host_graphs=(host_graph(lambda m: m.graph.ClearField("output")),)),
            "does not give 'y'",
        ),
        (replace(good, host_graphs=(replace(good.host_graphs[0], outputs=("sum",)),)), "'sum'"),
    ]
    binding = replace(region.outputs[0], layout=Layout((1, 60, 1, 1), 16), shape=(60,))
    second = replace(region, name="second", inputs=(replace(region.inputs[0], name="sum"),), outputs=())
    chain = replace(good, regions=(replace(region, outputs=(binding,)), second), steps=(*good.steps, Step("device", 1)))
    cases.append((chain, r"is made as int8 \(60,\)"))
    for executable, message in cases:
        with pytest.raises(ExecutableError, match=message):
            artifact.save(executable, tmp_path / "bad.weft")
    assert not list(tmp_path.iterdir())


def test_section_content_with_a_matching_checksum_is_still_checked(data: bytes, tmp_path: Path) -> None:
    def exchange_model(manifest: dict[str, Any]) -> None:
        section = manifest["sections"][-1]
        section["sha256"] = hashlib.sha256(b"\xff" * section["size"]).hexdigest()

    size = len(adder().host_graphs[0].model)
    crafted = reseal(data, exchange_model, lambda body: body[:-size] + b"\xff" * size)
    refused(crafted, tmp_path / "model.weft", "not an ONNX model")


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("artifact") / "variants.weft"
    artifact.save([replace(adder(), extents=(("N", count),)) for count in (1, 2)], path)
    return path.read_bytes()


def test_variants_come_back_in_order(variants: bytes, tmp_path: Path) -> None:
    path = tmp_path / "variants.weft"
    path.write_bytes(variants)
    found = artifact.load_variants(path)
    assert [each.extents for each in found] == [(("N", 1),), (("N", 2),)]
    assert artifact.load(path) == found[0] == replace(adder(), extents=(("N", 1),))


def test_equal_sections_are_stored_once(data: bytes, variants: bytes) -> None:
    def body(file: bytes) -> int:
        return len(file) - HEADER.size - int(HEADER.unpack_from(file)[3])

    assert body(variants) == body(data)


@pytest.mark.parametrize("key", ["offset", "size", "sha256"])
def test_sections_that_share_only_a_part_are_refused(variants: bytes, tmp_path: Path, key: str) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        shared = manifest["sections"][-1]
        shared[key] = "0" * 64 if key == "sha256" else shared[key] - 1

    refused(reseal(variants, edit), tmp_path / "bad.weft", "overlaps or leaves a gap")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda manifest: manifest["variants"][0].update(variants=[]), "unknown member 'variants'"),
        (lambda manifest: manifest["variants"][0].update(extents=[{"name": "N", "extent": 1}]), "the same extents"),
        (lambda manifest: manifest["variants"][0].update(extents=[{"name": "N", "extent": -1}]), "outside 0 to"),
        (lambda manifest: manifest["variants"][0]["extents"].append({"name": "N", "extent": 3}), "bound twice"),
        (lambda manifest: manifest["variants"][0]["inputs"][0].update(name="other"), "other inputs"),
        (lambda manifest: manifest.update(variants=manifest["variants"] * 64), "64 variants|missing"),
        (lambda manifest: manifest.update(variants=[]), "belongs to nothing"),
        (lambda manifest: manifest.update(variants={}), "must be a list"),
    ],
)
def test_variants_that_save_would_not_write_are_refused(
    variants: bytes, tmp_path: Path, edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    refused(reseal(variants, edit), tmp_path / "bad.weft", words)
