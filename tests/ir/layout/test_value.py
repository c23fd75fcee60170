"""The value itself: canonical form, interning, sizes, refusals."""

import copy
import pickle

import pytest
from hypothesis import given

from tilewright.ir.layout import Layout, LayoutError, Swizzle, local, make, row_major
from tilewright.tests.ir.layout.strategies import all_places, laws, layouts


@laws
@given(layouts(holes=True, offset=True))
def test_equal_values_are_one_object(layout):
    again = Layout(
        [[tuple(piece) for piece in dim] for dim in layout.dims],
        copies=layout.copies[::-1],
        offset=layout.offset[::-1],
        bits=layout.bits,
    )
    assert again is layout
    assert pickle.loads(pickle.dumps(layout)) is layout
    assert copy.deepcopy(layout) is layout


def test_digits_that_continue_each_other_merge():
    split = Layout([[(3, 8, "addr"), (1, 5, "addr"), (2, 4, "addr"), (4, 1, "addr")]])
    assert split is make((24,), [[(6, 4, "addr"), (4, 1, "addr")]])
    assert split is row_major((24,))
    assert Layout([[(2, 0, "reg"), (3, 0, "lane")]]).dims == (((6, 0, ""),),)


@laws
@given(layouts(holes=True, offset=True))
def test_size_is_one_more_than_the_last_place(layout):
    for axis in ("warp", "lane", "reg", "addr"):
        numbers = [dict(place).get(axis, 0) for places in all_places(layout) for place in places]
        assert layout.size(axis) == 1 + max(numbers)


def test_a_swizzled_layout_needs_whole_windows():
    assert row_major((3, 64), bits=16).size("addr") == 192
    assert row_major((3, 60), bits=16).swizzled(3, 4, 3).size("addr") == 192


def test_values_are_frozen():
    with pytest.raises(AttributeError, match="frozen"):
        local(2, 2).bits = 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: make((4,), [[(5, 1, "reg")]]), r"form a tile \(5,\), not \(4,\)"),
        (lambda: Layout([[(0, 1, "reg")]]), "extent >= 1"),
        (lambda: Layout([[(2, -1, "addr")]]), "stride >= 0"),
        (lambda: Layout([[(2, 1, "")]]), "needs the name of an axis"),
        (lambda: Layout([], bits=0), "at least 1 bit"),
        (lambda: row_major((8,)).swizzled(3, 4, 2), "shift must be at least bits"),
        (lambda: row_major((8,), bits=6).swizzled(3, 4, 3), "no multiple of an element of 6 bits"),
        (lambda: row_major((8,)).replicate(2, "addr").swizzled(3, 4, 3), "copies along addr"),
    ],
)
def test_what_is_no_layout_is_refused(change, message):
    with pytest.raises(LayoutError, match=message):
        change()


def test_swizzle_in_bytes():
    swizzle = Swizzle(3, 4, 3)
    assert (swizzle.granule, swizzle.window, swizzle.period) == (16, 128, 1024)
    assert swizzle.apply(0) == 0
    assert swizzle.apply(128) == 128 + 16
    assert swizzle.apply(128 * 7 + 5) == 128 * 7 + (7 * 16) + 5
