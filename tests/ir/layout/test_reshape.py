"""The laws of the verbs on one layout, each checked by counting digits."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tilewright.ir.layout import Layout, LayoutError, local, row_major, spatial
from tilewright.tests.ir.layout.strategies import (
    all_places,
    coordinates,
    laws,
    layouts,
    make_place,
    oracle,
    swizzle_bits,
)

any_layout = layouts(holes=True, offset=True)


@laws
@given(any_layout, st.randoms())
def test_permute_reorders_coordinates(layout, random):
    order = random.sample(range(layout.rank), layout.rank)
    moved = layout.permute(*order)
    for coordinate in coordinates(layout):
        permuted = tuple(coordinate[dim] for dim in order)
        assert oracle(moved, permuted) == oracle(layout, coordinate)
    assert moved.permute(*np.argsort(order).tolist()) == layout


@laws
@given(any_layout, st.randoms())
def test_group_moves_nothing(layout, random):
    extents = [piece.extent for piece in layout.pieces]
    shape = [1]
    for extent in extents:
        if random.random() < 0.5:
            shape.append(1)
        shape[-1] *= extent
    grouped = layout.group(shape)
    assert grouped.shape == tuple(shape)
    assert all_places(grouped) == all_places(layout)
    assert grouped.group(layout.shape) == layout


def test_group_splits_merged_digits_and_refuses_uneven_cuts():
    assert local(12).group((3, 4)) == local(3, 4)
    assert local(2, 3).group((3, 2)) == local(3, 2)
    with pytest.raises(LayoutError, match="extent 4 cuts the digit 6:1@lane unevenly"):
        local(2, 1).product(spatial(1, 6)).group((3, 4))
    with pytest.raises(LayoutError, match="12 elements do not form"):
        local(12).group((5, 2))


@laws
@given(st.data())
def test_slice_keeps_places(data):
    layout = data.draw(any_layout)
    start, shape = [], []
    for extent in layout.shape:
        start.append(data.draw(st.integers(0, extent - 1)))
        shape.append(data.draw(st.integers(1, extent - start[-1])))
    try:
        part = layout.slice(start, shape)
    except LayoutError:
        # Only a part that no digit contains and no digits fill may be refused.
        assert any(n > 1 for n in shape)
        return
    assert part.shape == tuple(shape)
    for coordinate in coordinates(part):
        outer = tuple(s + c for s, c in zip(start, coordinate, strict=True))
        assert oracle(part, coordinate) == oracle(layout, outer)


@laws
@given(st.data())
def test_slice_of_aligned_atoms_always_exists(data):
    rank = data.draw(st.integers(0, 2))
    outer, inner = data.draw(layouts(rank=rank)), data.draw(layouts(rank=rank))
    at = [data.draw(st.integers(0, extent - 1)) for extent in outer.shape]
    start = [a * extent for a, extent in zip(at, inner.shape, strict=True)]
    part = outer.product(inner).slice(start, inner.shape)
    assert part.shape == inner.shape
    assert part.dims == inner.dims


def test_slice_of_memory_with_a_swizzle():
    memory = row_major((64, 64), bits=16).swizzled(3, 4, 3)
    part = memory.slice((8, 16), (16, 32))
    grid = np.indices(part.shape)
    assert (part.address(*grid) == memory.address(grid[0] + 8, grid[1] + 16)).all()
    with pytest.raises(LayoutError, match=r"\[60, 68\) is not inside of \[0, 64\)"):
        memory.slice((60, 0), (8, 64))
    with pytest.raises(LayoutError, match="neither inside of nor a multiple of the digit 8:4@lane"):
        local(2, 1).product(spatial(8, 4)).slice((4, 0), (8, 4))


@laws
@given(any_layout, st.integers(1, 4), st.sampled_from(("warp", "lane", "device")))
def test_replicate_adds_places(layout, extent, axis):
    more = layout.replicate(extent, axis)
    step = layout.size(axis)
    for coordinate in coordinates(layout):
        expected = set()
        for place in oracle(layout, coordinate):
            for i in range(extent):
                numbers = dict(place)
                numbers[axis] = numbers.get(axis, 0) + i * step
                expected.add(make_place(numbers))
        assert set(oracle(more, coordinate)) == expected


@laws
@given(layouts(rank=2), st.integers(0, 1))
def test_reduce_leaves_the_result_where_the_row_was(layout, dim):
    result = layout.reduce(dim)
    assert result.shape[dim] == 1
    regs = [p.extent for p in (*result.pieces, *result.copies) if p.axis == "reg"]
    assert result.size("reg") == np.prod(regs, dtype=int)
    rows = {}
    for coordinate in coordinates(layout):
        row = (*coordinate[:dim], 0, *coordinate[dim + 1 :])
        threads = {without(place, "reg") for place in oracle(layout, coordinate)}
        rows.setdefault(row, set()).update(threads)
    for row, threads in rows.items():
        assert {without(place, "reg") for place in oracle(result, row)} == threads
        assert len({dict(place).get("reg", 0) for place in oracle(result, row)}) == 1


def without(place, axis):
    return frozenset(item for item in place if item[0] != axis)


def test_reduce_of_lanes_makes_copies():
    reduced = spatial(2, 3).reduce(0)
    assert str(reduced) == "[1, 3]{1, 3:1@lane | copies 2:3@lane}"
    assert [sorted(dict(p).get("lane", 0) for p in places) for places in all_places(reduced)] == [
        [0, 3],
        [1, 4],
        [2, 5],
    ]


@laws
@given(
    st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]),
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)),
    st.integers(1, 40),
)
def test_swizzled_flips_byte_address_bits(bits, swizzle, rows):
    width, base, extra = swizzle
    assume((8 << base) % bits == 0)
    plain = row_major((rows, 24), bits=bits)
    memory = plain.swizzled(width, base, width + extra)
    addresses = memory.address(*np.indices(plain.shape)).ravel()
    if width:
        assert addresses.tolist() == [
            swizzle_bits(n, memory.swizzle, bits) for n in range(rows * 24)
        ]
    assert (memory.swizzle_address(addresses) == np.arange(rows * 24)).all()
    assert addresses.max() < memory.size("addr")
    assert memory.swizzled(0, 0, 0) == plain


@laws
@given(layouts(rank=2, offset=True), st.sampled_from([(32, 8), (16, 4), (6, 3), (12, 1), (8, 8)]))
def test_recast_keeps_every_bit_where_it_is(layout, widths):
    wide, narrow = widths
    layout = layout.with_bits(wide)
    fine = layout.recast(narrow)
    ratio = wide // narrow
    assert fine.shape == (layout.shape[0], layout.shape[1] * ratio)
    for row, column in coordinates(layout):
        for j in range(ratio):
            expected = []
            for place in oracle(layout, (row, column)):
                numbers = dict(place)
                numbers["reg"] = numbers.get("reg", 0) * ratio + j
                expected.append(make_place(numbers))
            assert set(oracle(fine, (row, column * ratio + j))) == set(expected)
    assert fine.recast(wide) == layout


def test_recast_names_what_does_not_divide():
    with pytest.raises(LayoutError, match="innermost digit is 4:2@reg, not 2:1@reg"):
        Layout([[(4, 2, "reg")]], bits=16).recast(32)
    with pytest.raises(LayoutError, match="2 does not divide the digit 3:1@reg"):
        local(4, 3, bits=16).recast(32)
    with pytest.raises(LayoutError, match="neither of 6 and 16"):
        local(4, 6, bits=6).recast(16)
    with pytest.raises(LayoutError, match="stride 3@reg is no multiple of 2"):
        Layout([[(4, 3, "reg")], [(2, 1, "reg")]], bits=16).recast(32)


def test_recast_under_a_swizzle_moves_whole_bytes():
    memory = row_major((8, 64), bits=16).swizzled(3, 4, 3)
    fine = memory.recast(4)
    rows, columns = np.indices(fine.shape)
    expected = memory.address(rows, columns // 4) * 4 + columns % 4
    assert (fine.address(rows, columns) == expected).all()


@laws
@given(layouts(axes=("thread", "reg"), rank=2), st.sampled_from([2, 4, 6, 8]))
def test_split_axis_is_division_with_rest(layout, extent):
    try:
        split = layout.split_axis("thread", "lane", extent, "warp")
    except LayoutError:
        return
    for coordinate in coordinates(layout):
        expected = set()
        for place in oracle(layout, coordinate):
            numbers = dict(place)
            numbers["warp"], numbers["lane"] = divmod(numbers.pop("thread", 0), extent)
            expected.add(make_place(numbers))
        assert set(oracle(split, coordinate)) == expected


def test_split_axis_of_flat_threads():
    flat = spatial(16, 8, axis="thread")
    split = flat.split_axis("thread", "lane", 32, "warp")
    assert split == spatial(4, 1, axis="warp").product(spatial(4, 8))
    gaps = Layout([[(3, 4, "thread")]]).split_axis("thread", "lane", 10, "warp")
    assert gaps == Layout([[(3, 4, "lane")]])
    with pytest.raises(LayoutError, match="carry over 10"):
        Layout([[(3, 4, "thread")], [(4, 1, "thread")]]).split_axis("thread", "lane", 10, "warp")
    with pytest.raises(LayoutError, match="crosses 32 unevenly"):
        spatial(48, axis="thread").split_axis("thread", "lane", 32, "warp")


def test_rename_and_compact():
    layout = spatial(4, axis="warp").rename(warp="device")
    assert layout.axes == ("device",)
    with pytest.raises(LayoutError, match="merges axes"):
        spatial(2, axis="warp").product(spatial(2)).rename(warp="lane")
    assert Layout([[(2, 12, "reg"), (3, 2, "reg")]]).compact("reg") == local(6)
