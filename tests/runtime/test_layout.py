"""Packing against a byte-by-byte reading of the layout's definition, and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft_runtime.errors import LayoutError
from weft_runtime.executable import Layout
from weft_runtime.layout import blank, pack, pack_into, unpack

LAYOUTS = st.builds(
    Layout,
    view=st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 5), st.integers(0, 5)),
    block=st.integers(1, 32),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    fill=st.integers(0, 255),
)


def packed_by_definition(array: np.ndarray, layout: Layout) -> np.ndarray:
    """[n][ceil(c / block)][top + h + bottom][left + w + right][block], one byte at a time."""
    samples, channels, height, width = layout.view
    top, left, bottom, right = layout.pads
    logical = array.reshape(layout.view).view(np.uint8)
    found = []
    blocks = range(-(-channels // layout.block))
    rows, columns = range(-top, height + bottom), range(-left, width + right)
    for n, block, y, x, lane in itertools.product(range(samples), blocks, rows, columns, range(layout.block)):
        channel = block * layout.block + lane
        inside = channel < channels and 0 <= y < height and 0 <= x < width
        found.append(logical[n, channel, y, x] if inside else layout.fill)
    return np.array(found, np.uint8)


@settings(max_examples=150, deadline=None)
@given(LAYOUTS, st.sampled_from(["int8", "uint8"]), st.randoms(use_true_random=False))
def test_pack_is_its_definition_and_unpack_its_inverse(layout: Layout, dtype: str, random: object) -> None:
    generator = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    array = generator.integers(0, 256, layout.view).astype(np.uint8).view(dtype)
    packed = pack(array, layout)
    assert packed.size == layout.nbytes
    np.testing.assert_array_equal(packed, packed_by_definition(array, layout))
    restored = unpack(packed, layout, layout.view, dtype)
    assert restored.dtype == dtype and not np.shares_memory(restored, packed)
    np.testing.assert_array_equal(restored, array)


def test_a_reused_buffer_keeps_its_fill_and_takes_the_new_tensor() -> None:
    layout = Layout((2, 17, 3, 2), 16, (1, 2, 0, 1), 200)
    buffer = blank(layout)
    for value in (1, 2):
        array = np.full(layout.view, value, np.uint8)
        pack_into(buffer, array, layout)
        np.testing.assert_array_equal(buffer, packed_by_definition(array, layout))


def test_unpack_ignores_pads_and_takes_any_shape_of_as_many_elements() -> None:
    layout = Layout((1, 6, 1, 4), 4, (1, 1, 1, 1), 0)
    array = np.arange(24, dtype=np.int8)
    packed = pack(array.reshape(4, 6), layout)
    outside = pack(np.zeros(24, np.int8), Layout((1, 6, 1, 4), 4, (1, 1, 1, 1), 1)) == 1
    packed[outside] = 99
    np.testing.assert_array_equal(unpack(packed, layout, (2, 12), "int8"), array.reshape(2, 12))


def test_strided_arrays_and_scalars() -> None:
    array = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    layout = Layout((1, 4, 2, 3), 3)
    np.testing.assert_array_equal(pack(array.transpose(2, 0, 1), layout), pack(array.transpose(2, 0, 1).copy(), layout))
    scalar = Layout((1, 1, 1, 1), 16)
    assert unpack(pack(np.array(-5, np.int8), scalar), scalar, (), "int8") == -5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": (1, -1, 1, 1), "block": 1}, "none negative"),
        ({"view": (1, 1, 1, 1), "block": 0}, "block 0"),
        ({"view": (1, 1, 1, 1), "block": 1, "pads": (0, 0, -1, 0)}, "pads"),
        ({"view": (1, 1, 1, 1), "block": 1, "fill": 256}, "fill 256"),
        ({"view": (1, 1, 1), "block": 1}, "four extents"),
    ],
)
def test_impossible_layouts(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        Layout(**arguments)  # type: ignore[arg-type]


def test_arrays_that_do_not_fit() -> None:
    layout = Layout((1, 2, 2, 2), 4)
    with pytest.raises(LayoutError, match="int16"):
        pack(np.zeros(8, np.int16), layout)
    with pytest.raises(LayoutError, match="elements"):
        pack(np.zeros(7, np.int8), layout)
    with pytest.raises(LayoutError, match="packed buffer"):
        unpack(np.zeros(15, np.uint8), layout, (8,), "int8")
    with pytest.raises(LayoutError, match="elements"):
        unpack(np.zeros(16, np.uint8), layout, (9,), "int8")
    with pytest.raises(LayoutError, match="float32"):
        unpack(np.zeros(16, np.uint8), layout, (8,), "float32")
