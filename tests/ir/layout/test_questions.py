"""Questions: what is answered is what counting finds."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import (
    Layout,
    LayoutError,
    blocked,
    column_major,
    count_wavefronts,
    local,
    parse_layout,
    row_major,
    spatial,
    strided,
)
from tilewright.tests.ir.layout.strategies import all_places, coordinates, laws, layouts, oracle

ACCUMULATOR = local(2, 1).product(spatial(8, 4), local(1, 2))


@laws
@given(layouts(holes=True, offset=True))
def test_is_bijective(layout):
    found = all_places(layout)
    used = {place for places in found for place in places}
    boxes = np.prod([layout.size(axis) for axis in layout.axes], dtype=int)
    one_each = all(len(places) == 1 for places in found)
    assert layout.is_bijective() == (one_each and len(used) == len(found) == boxes)
    assert layout.is_injective() == (len(used) == sum(map(len, found)))


def test_bijective_or_not():
    assert ACCUMULATOR.is_bijective()
    assert row_major((8, 64), bits=16).swizzled(3, 4, 3).is_bijective()
    assert not spatial(4).replicate(2, "lane").is_bijective()
    assert spatial(4).replicate(2, "lane").is_injective()
    assert not Layout([[(4, 0, "")]]).is_injective()
    # Digits that overlap but never meet: strides of no mixed radix.
    assert Layout([[(2, 3, "addr")], [(2, 2, "addr")]]).is_injective()
    assert not Layout([[(3, 2, "addr")], [(3, 1, "addr")]]).is_injective()


@laws
@given(layouts(rank=1, limit=12), layouts(rank=1, limit=12))
def test_same_compares_places_and_not_bits(one, two):
    equal = one.shape == two.shape and all_places(one) == all_places(two)
    assert one.same(two) == equal
    assert one.same(one.with_bits(8))


def test_same_sees_through_swizzles_and_copies():
    memory = row_major((8, 8), bits=16)
    # Rows of 16 bytes: nothing in a tile of 128 bytes reaches the bits that are xored.
    assert memory.swizzled(3, 4, 3).same(memory)
    assert not row_major((16, 64), bits=16).swizzled(3, 4, 3).same(row_major((16, 64), bits=16))
    four = spatial(2).replicate(4, "lane")
    two_by_two = Layout([[(2, 1, "lane")]], copies=[(2, 4, "lane"), (2, 2, "lane")])
    assert four is two_by_two
    overlapping = Layout([[(2, 1, "lane")]], copies=[(3, 2, "lane"), (2, 2, "lane")])
    assert overlapping.same(four)
    assert overlapping is not four


@laws
@given(layouts(rank=2, axes=("lane", "reg", "addr")), st.sampled_from(["reg", "lane", "addr"]))
def test_contiguity_counts_neighbours(layout, axis):
    for dim in range(2):
        run = layout.contiguity(axis, dim)
        assert layout.shape[dim] % run == 0
        for coordinate in coordinates(layout):
            if coordinate[dim] % run:
                before = tuple(c - (d == dim) for d, c in enumerate(coordinate))
                here, there = (dict(oracle(layout, c)[0]) for c in (coordinate, before))
                assert here.pop(axis, 0) == there.pop(axis, 0) + 1
                assert here == there


def test_contiguity_under_a_swizzle_is_its_granule():
    assert row_major((8, 64), bits=16).contiguity("addr") == 512 // 8
    assert row_major((8, 64), bits=16).swizzled(3, 4, 3).contiguity("addr") == 8
    assert row_major((8, 24), bits=16).swizzled(3, 4, 3).contiguity("addr") == 8
    assert row_major((8, 20), bits=16).swizzled(3, 4, 3).contiguity("addr") == 4
    assert column_major((8, 64)).contiguity("addr") == 1


@pytest.mark.parametrize(
    ("registers", "memory", "elements"),
    [
        (local(1, 8), row_major((1, 8), bits=16), 8),
        (local(1, 8), row_major((1, 8), bits=32), 4),
        (local(1, 32), row_major((1, 32), bits=4), 32),
        (local(1, 6), row_major((1, 6), bits=16), 2),
        (local(1, 3), row_major((1, 3), bits=32), 1),
        (local(8, 2), column_major((8, 2), bits=16), 1),
        (local(8, 2, order=(1, 0)), column_major((8, 2), bits=16), 8),
        (local(2, 4), row_major((2, 4), bits=16), 8),
        (local(2, 4), strided((2, 4), (12, 1), bits=16), 4),
        (local(2, 4), strided((2, 4), (9, 1), bits=16), 1),
        (ACCUMULATOR, row_major((16, 8), bits=16), 2),
        (spatial(8, 4).product(local(1, 16)), row_major((8, 64), bits=16).swizzled(3, 4, 3), 8),
        (spatial(8, 4).product(local(1, 16)), row_major((8, 64), bits=16).swizzled(3, 3, 4), 4),
    ],
)
def test_vector_width(registers, memory, elements):
    assert registers.vector_width(memory) == elements


def test_vector_width_respects_the_limit_and_the_shape():
    assert local(1, 32).vector_width(row_major((1, 32), bits=8), limit=4) == 4
    with pytest.raises(LayoutError, match=r"tile \(2, 4\) in a buffer of \(4, 2\)"):
        local(2, 4).vector_width(row_major((4, 2)))


@laws
@given(
    st.lists(st.integers(0, 63), min_size=1, max_size=32),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_wavefronts_by_counting_words_per_bank(numbers, width):
    addresses = [number * width for number in numbers]
    lanes = 128 // max(4, width)
    expected = phases = 0
    for start in range(0, len(addresses), lanes):
        banks = {}
        for address in addresses[start : start + lanes]:
            for byte in range(0, max(4, width), 4):
                word = address // 4 + byte // 4
                banks.setdefault(word % 32, set()).add(word)
        expected += max(map(len, banks.values()))
        phases += 1
    assert count_wavefronts(addresses, width) == (expected, phases)


def test_wavefronts_known_from_the_manual():
    lanes = np.arange(32)
    assert count_wavefronts(lanes * 4, 4) == (1, 1)
    assert count_wavefronts(lanes * 0, 4) == (1, 1)
    assert count_wavefronts(lanes * 8, 4) == (2, 1)
    assert count_wavefronts(lanes * 128, 4) == (32, 1)
    assert count_wavefronts(lanes * 16, 16) == (4, 4)
    assert count_wavefronts(lanes * 128, 16) == (32, 4)
    assert count_wavefronts(lanes * 132, 4) == (1, 1)
    assert count_wavefronts(lanes * 128, 4, lanes < 2) == (2, 1)
    with pytest.raises(LayoutError, match="not 12"):
        count_wavefronts(lanes, 12)


def test_bank_conflicts_of_a_transposed_read():
    registers = blocked((32, 32), vector=1)
    assert row_major((32, 32)).bank_conflicts(registers) == 0
    assert row_major((32, 32)).bank_conflicts(registers.permute(1, 0), 4) == 32 * 31
    assert strided((32, 32), (33, 1)).bank_conflicts(registers.permute(1, 0), 4) == 0


@laws
@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16]), min_size=1, max_size=3),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
)
def test_blocked_covers_every_tile_with_all_lanes_and_warps(shape, vector, warps):
    if shape[-1] % vector:
        with pytest.raises(LayoutError, match="do not divide"):
            blocked(shape, vector=vector)
        return
    layout = blocked(shape, vector=vector, warps=warps)
    assert layout.shape == tuple(shape)
    assert (layout.size("lane"), layout.size("warp")) == (32, warps)
    assert (layout.elements_at("warp", "lane", "reg") >= 0).all()
    assert layout.contiguity("reg") % vector == 0


@laws
@given(layouts(holes=True))
def test_one_copy_of_each_element_is_primary(layout):
    held = layout.primary()
    assert sorted(held[held >= 0].tolist()) == list(range(layout.elements))
    for place in itertools.product(*map(range, held.shape)):
        named = dict(zip(("warp", "lane", "reg"), place, strict=True))
        digits = [named[t.axis] // t.divisor % t.modulus for t in layout.copy_terms()]
        if layout.elements_at("warp", "lane", "reg")[place] >= 0:
            assert (held[place] >= 0) == (sum(digits) == 0)


def test_blocked_prints_as_expected():
    assert blocked((64, 64), vector=8, warps=4) == parse_layout(
        "[64, 64]{4:8@reg 4:1@warp 4:8@lane, 8:1@lane 8:1@reg}"
    )
    assert blocked((3, 1)) == parse_layout("[3, 1]{3:1@reg, 1 | copies 32:1@lane}")
