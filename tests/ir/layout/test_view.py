"""Views: legal exactly where every lane keeps the bits it has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import (
    Layout,
    LayoutError,
    can_view,
    check_view,
    find_view_fault,
    local,
    spatial,
    view_bits,
)
from tilewright.tests.ir.layout.strategies import laws, layouts

FRAGMENT = local(1, 2).product(local(2, 1), spatial(8, 4), local(1, 2))


def test_bytes_become_sub_byte_fragments():
    codes = spatial(32).product(local(4))
    assert can_view(codes, 8, FRAGMENT, 4)
    assert not can_view(codes, 8, FRAGMENT, 8)
    assert "32 4-bit units per lane, the target 8" in find_view_fault(
        spatial(32).product(local(16)), 8, FRAGMENT, 4
    )
    six = spatial(32).product(local(6))
    assert can_view(six, 8, FRAGMENT, 6)
    assert can_view(spatial(32).product(local(3)), 16, FRAGMENT, 6)
    with pytest.raises(LayoutError, match=r"8-bit .* cannot be viewed as 6-bit"):
        check_view(codes, 8, FRAGMENT, 6)


@laws
@given(layouts(copies=False), layouts(copies=False), st.sampled_from([(8, 4), (16, 6), (32, 32)]))
def test_a_view_keeps_bits_per_lane(one, two, widths):
    sizes = [[layout.size(axis) for axis in ("warp", "lane", "reg")] for layout in (one, two)]
    sizes[0][2] *= widths[0]
    sizes[1][2] *= widths[1]
    assert can_view(one, widths[0], two, widths[1]) == (sizes[0] == sizes[1])


@laws
@given(layouts(rank=2), st.sampled_from([1, 3, 4, 6, 8, 16]))
def test_every_layout_can_be_viewed_as_itself_and_as_its_bits(layout, bits):
    assert can_view(layout, bits, layout, bits)
    fine = layout.with_bits(bits).recast(1)
    assert can_view(layout, bits, fine, 1)
    assert can_view(fine, 1, layout, bits)


def test_copies_must_be_copies_in_the_source():
    both = spatial(2).replicate(2, "lane")
    distinct = spatial(4)
    assert can_view(both, 8, distinct, 8)
    assert not can_view(distinct, 8, both, 8)
    assert "copies of one" in find_view_fault(distinct, 8, both, 8)
    holes = Layout([[(2, 2, "lane"), (2, 1, "reg")]], copies=[(1, 1, "lane")])
    gaps = Layout([[(3, 1, "lane"), (2, 1, "reg")]])
    assert "unused" in find_view_fault(holes, 8, gaps, 8)
    assert "2 lanes, the target 4" in find_view_fault(spatial(2), 8, spatial(4), 8)


def test_view_bits_permutes_units():
    codes = spatial(32).product(local(4))
    source = view_bits(codes, 8, FRAGMENT, 4)
    assert sorted(source.tolist()) == list(range(256))
    data = np.random.default_rng(5).integers(0, 256, 128)
    nibbles = np.stack([data & 15, data >> 4], axis=-1).reshape(-1)
    viewed = nibbles[source].reshape(16, 16)
    for lane in range(32):
        for register in range(8):
            place = FRAGMENT.locate(lane=lane, reg=register)
            word = data[codes.locate(lane=lane, reg=register // 2)[0]]
            assert viewed[place] == (word >> (register % 2 * 4)) & 15
