"""Questions about places: arrays, terms and tables say the same as counting digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import Layout, LayoutError, column_major, local, row_major, spatial
from tilewright.tests.ir.layout.strategies import (
    all_places,
    coordinates,
    laws,
    layouts,
    make_place,
    oracle,
)


@laws
@given(layouts(holes=True, offset=True))
def test_places_counts_digits(layout):
    for coordinate in coordinates(layout):
        found = [make_place(place) for place in layout.places(*coordinate)]
        assert sorted(found, key=sorted) == sorted(oracle(layout, coordinate), key=sorted)


@laws
@given(layouts(holes=True, offset=True))
def test_place_arrays_hold_the_first_copy(layout):
    arrays = layout.place_arrays()
    for coordinate in coordinates(layout):
        place = make_place({axis: int(array[coordinate]) for axis, array in arrays.items()})
        assert place == oracle(layout, coordinate)[0]


@laws
@given(layouts(holes=True))
def test_locate_is_the_way_back(layout):
    for coordinate in coordinates(layout):
        for place in layout.places(*coordinate):
            assert layout.locate(**place) == coordinate
    assert layout.locate(nowhere=1) is None
    assert layout.locate(reg=layout.size("reg")) is None


@laws
@given(layouts(holes=True))
def test_table_holds_every_coordinate_at_its_places(layout):
    table = layout.table()
    used = 0
    for coordinate in coordinates(layout):
        for place in oracle(layout, coordinate):
            numbers = dict(place)
            index = tuple(numbers.get(axis, 0) for axis in ("warp", "lane", "reg"))
            assert tuple(table[index]) == coordinate
            used += 1
    if layout.rank:
        assert (table[..., 0] >= 0).sum() == used


@laws
@given(layouts(holes=True, copies=True))
def test_coordinates_from_place_arrays(layout):
    warps, lanes, regs, _ = layout.table().shape
    grid = np.ogrid[:warps, :lanes, :regs]
    found = layout.coordinates(warp=grid[0], lane=grid[1], reg=grid[2])
    held = layout.elements_at("warp", "lane", "reg") >= 0
    for dim, array in enumerate(found):
        assert (np.broadcast_to(array, held.shape)[held] == layout.table()[held][:, dim]).all()


@laws
@given(layouts(axes=("addr",), copies=False, holes=True, offset=True), st.booleans())
def test_address_of_coordinate_arrays(layout, swizzle):
    if swizzle:
        layout = layout.swizzled(2, 3, 2)
    grids = np.indices(layout.shape)
    addresses = layout.address(*grids)
    for coordinate in coordinates(layout):
        assert make_place({"addr": int(addresses[coordinate])}) == oracle(layout, coordinate)[0]


@laws
@given(layouts(axes=("addr",), copies=False, holes=True, offset=True))
def test_address_terms_sum_to_the_address(layout):
    for coordinate in coordinates(layout):
        total = layout.start("addr") + sum(
            coordinate[dim] // divisor % modulus * coefficient
            for dim, divisor, modulus, coefficient in layout.address_terms()
        )
        assert make_place({"addr": total}) == oracle(layout, coordinate)[0]


@laws
@given(st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_a_swizzle_permutes_addresses_of_any_width(bits):
    layout = row_major((32, 128), bits=bits).swizzled(3, 4, 3)
    addresses = layout.address(*np.indices(layout.shape)).ravel()
    assert sorted(addresses) == list(range(32 * 128))
    assert (layout.swizzle_address(addresses) == np.arange(32 * 128)).all()
    sample = [(i, (i * 37) % 128) for i in range(32)]
    for coordinate in sample:
        assert {("addr", int(layout.address(*coordinate)))} - {("addr", 0)} == oracle(
            layout, coordinate
        )[0]


def test_an_offset_of_whole_digits_keeps_terms():
    part = local(4, 6).slice((2, 0), (2, 6))
    assert part.start("reg") == 12
    assert part.coordinates(reg=np.arange(12, 24))[1].tolist() == [*range(6), *range(6)]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout([[(3, 1, "lane")], [(2, 2, "lane")]]), "stride 2 of axis lane is no multiple of 3"),
        (Layout([[(3, 0, "")]]), "stride 0"),
        (row_major((8, 64)).swizzled(2, 4, 3), "swizzled"),
        (local(4, 6).slice((1, 1), (2, 2)), "lies inside the digit"),
    ],
)
def test_places_that_do_not_determine_coordinates(layout, message):
    with pytest.raises(LayoutError, match=message):
        layout.dimension_terms(0)


def test_wrong_coordinates_are_refused():
    with pytest.raises(LayoutError, match="outside of the tile"):
        local(2, 3).places(0, 3)
    with pytest.raises(LayoutError, match="rank 2"):
        local(2, 3).places(0)
    with pytest.raises(LayoutError, match="rank 2"):
        row_major((2, 3)).address(np.arange(3))
    with pytest.raises(LayoutError, match="no number given for axis lane"):
        spatial(4).coordinates(reg=0)


def test_memory_orders():
    rows, columns = np.indices((2, 3))
    assert row_major((2, 3)).address(rows, columns).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert column_major((2, 3)).address(rows, columns).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_a_scalar_tile():
    one = Layout([])
    assert one.table().shape == (1, 1, 1, 0)
    assert one.address() == 0
    assert one.places() == ({},)
    assert one.locate() == ()
    assert all_places(one.replicate(4, "lane")) == [
        {make_place({"lane": lane}) for lane in range(4)}
    ]
