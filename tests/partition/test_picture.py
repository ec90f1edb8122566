"""The picture of a partition: well-formed, nothing on top of anything else, every crossing with its bytes."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

from weft.bench.builder import QdqBuilder
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft.report import ReportError, render_picture, write_picture
from weft_runtime.executable import Executable

SVG = "{http://www.w3.org/2000/svg}"


def split_model() -> Executable:
    """Two regions with a host part between them, branches, and node names full of markup."""
    build = QdqBuilder("split", 1)
    x = build.convolution(build.input((1, 8, 16, 16)), 8, 3)
    y = build.add(build.convolution(x, 8, 3), build.convolution(x, 8, 1))
    proto = build.build(build.convolution(y, 8, 3))
    for node in proto.graph.node:
        node.name = f"<{node.name}>&\"'"
    pinned = next(node.name for node in proto.graph.node if node.op_type == "Add")
    return compile_model(Model(proto), pins={pinned: "cpu"})


def test_boxes_and_panels_do_not_overlap() -> None:
    executable = split_model()
    root = ElementTree.fromstring(render_picture(executable, "<title>"))
    rectangles = [
        tuple(float(each.attrib[key]) for key in ("x", "y", "width", "height"))
        for each in root.iter(f"{SVG}rect")
        if "x" in each.attrib
    ]
    panels = [each for each in rectangles if each[2] != 190]
    boxes = [each for each in rectangles if each[2] == 190]
    drawn = [node for node in executable.nodes if node.writes]
    assert len(panels) == len(executable.steps) and len(boxes) == len(drawn) > 5
    for group in (boxes, panels):
        for (x1, y1, w1, h1), (x2, y2, w2, h2) in itertools.combinations(group, 2):
            assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
    for x, y, width, height in boxes:
        assert any(px < x and x + width < px + pw and py < y and y + height < py + ph for px, py, pw, ph in panels)


def test_crossings_carry_their_bytes() -> None:
    executable = split_model()
    root = ElementTree.fromstring(render_picture(executable, "split"))
    labels = [each.text or "" for each in root.iter(f"{SVG}text") if each.attrib.get("class") == "bytes"]
    crossing = {binding.name for region in executable.regions for binding in (*region.inputs, *region.outputs)}
    assert len(executable.regions) == 2 and len(crossing) == 5
    assert sum(label.endswith(" B") for label in labels) >= len(crossing)
    assert any(label == "4,096 B" for label in labels)  # 16 × 16 positions of 16 lanes


def test_an_unwritable_picture_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportError):
        write_picture(split_model(), tmp_path / "no" / "folder.svg", "split")
