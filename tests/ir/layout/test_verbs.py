"""The laws of the verbs that combine layouts, each checked by counting digits."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import (
    Layout,
    LayoutError,
    column_major,
    local,
    row_major,
    spatial,
    strided,
)
from tilewright.tests.ir.layout.strategies import (
    all_places,
    coordinates,
    laws,
    layouts,
    make_place,
    oracle,
)

AXES = ("warp", "lane", "reg", "addr")
pairs = st.integers(0, 2).flatmap(
    lambda rank: st.tuples(
        layouts(rank=rank, holes=True, offset=True, limit=24), layouts(rank=rank, limit=24)
    )
)


def add(x, y, factor=None):
    """The place x * factor + y, axis by axis."""
    x, y = dict(x), dict(y)
    factor = factor or {}
    return make_place({a: x.get(a, 0) * factor.get(a, 1) + y.get(a, 0) for a in {*x, *y}})


@laws
@given(pairs)
def test_product_replaces_elements_by_tiles(pair):
    a, b = pair
    whole = a.product(b)
    assert whole.shape == tuple(x * y for x, y in zip(a.shape, b.shape, strict=True))
    sizes = {axis: b.size(axis) for axis in AXES}
    for x, y in itertools.islice(itertools.product(coordinates(a), coordinates(b)), 0, None, 3):
        both = tuple(i * n + j for i, n, j in zip(x, b.shape, y, strict=True))
        expected = {add(p, q, sizes) for p in oracle(a, x) for q in oracle(b, y)}
        assert set(oracle(whole, both)) == expected


@laws
@given(st.integers(0, 2).flatmap(lambda rank: st.tuples(*[layouts(rank=rank, limit=12)] * 3)))
def test_product_is_associative_with_one_element_as_unit(triple):
    a, b, c = triple
    assert a.product(b.product(c)) == a.product(b).product(c) == a.product(b, c)
    one = local(*[1] * a.rank)
    assert a.product(one) == one.product(a) == a


@laws
@given(pairs)
def test_divide_undoes_product(pair):
    a, b = pair
    assert a.product(b).divide(b) == a


@laws
@given(pairs)
def test_divide_answers_only_what_multiplies_back(pair):
    a, b = pair
    try:
        quotient = a.divide(b)
    except LayoutError:
        return
    assert quotient.product(b) == a


def test_divide_names_what_does_not_divide():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    assert accumulator.divide(local(1, 2)) == local(2, 1).product(spatial(8, 4))
    with pytest.raises(LayoutError, match="4 does not divide the digit 6:1@reg"):
        local(6).divide(local(4))
    with pytest.raises(LayoutError, match="innermost digit is 8:4@lane, not 2:1@reg"):
        accumulator.divide(local(2, 1))
    with pytest.raises(LayoutError, match="no copies"):
        spatial(4).divide(spatial(2).replicate(2, "lane"))


@laws
@given(st.data())
def test_compose_is_composition_of_maps(data):
    outer = data.draw(layouts(rank=data.draw(st.integers(1, 3)), offset=True))
    inner = row_major(outer.shape)
    inner = inner.permute(*data.draw(st.permutations(range(inner.rank))))
    inner = inner.group((inner.elements,))
    check_compose(outer, inner)


@laws
@given(
    layouts(rank=1, holes=True),
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), max_size=3),
    st.integers(0, 3),
)
def test_compose_with_any_strides(outer, digits, start):
    inner = Layout([[(e, s, "addr")] for e, s in digits], offset=[("addr", start)])
    try:
        outer.compose(inner)
    except LayoutError:
        return
    check_compose(outer, inner)


def check_compose(outer, inner):
    composed = outer.compose(inner)
    assert composed.shape == inner.shape
    tile = coordinates(outer)
    for coordinate in coordinates(inner):
        number = dict(oracle(inner, coordinate)[0]).get("addr", 0)
        assert set(oracle(composed, coordinate)) == set(oracle(outer, tile[number]))


def test_compose_works_within_one_digit():
    assert local(10).compose(strided((3,), (3,))) == make_line(3, 3)
    with pytest.raises(LayoutError, match="carry over"):
        column_major((5, 10)).compose(strided((3, 2), (3, 9)))
    with pytest.raises(LayoutError, match="does not divide the digit"):
        column_major((5, 10)).compose(strided((5,), (3,)))
    with pytest.raises(LayoutError, match="not among 10"):
        local(10).compose(strided((4,), (4,)))
    with pytest.raises(LayoutError, match="plain map to numbers"):
        local(10).compose(spatial(10))


def make_line(extent, stride):
    return strided((extent,), (stride,), axis="reg")


@laws
@given(layouts())
def test_inverse_goes_from_places_to_elements(layout):
    names = layout.axes
    inverse = layout.inverse()
    assert inverse.shape == tuple(layout.size(axis) for axis in names)
    for number, places in enumerate(all_places(layout)):
        for place in places:
            index = tuple(dict(place).get(axis, 0) for axis in names)
            assert oracle(inverse, index) == [make_place({"addr": number})]


@laws
@given(layouts(copies=False))
def test_inverse_twice_is_the_map_to_place_numbers(layout):
    names = layout.axes
    twice = layout.inverse().inverse()
    sizes = [layout.size(axis) for axis in names]
    for number, places in enumerate(all_places(layout)):
        index = [dict(next(iter(places))).get(axis, 0) for axis in names]
        flat = int(np.ravel_multi_index(index, sizes)) if names else 0
        assert twice.address(*[number] * twice.rank) == flat


def test_inverse_over_named_axes_and_without_holes():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    assert str(accumulator.inverse("reg", "lane")) == ("[4, 32]{2:64@addr 2:1@addr, 32:2@addr}")
    with pytest.raises(LayoutError, match="places 1 to 2 of reg are unused"):
        Layout([[(4, 2, "reg")]]).inverse()
    with pytest.raises(LayoutError, match="over \\('reg',\\) of a layout over"):
        accumulator.inverse("reg")


@laws
@given(layouts(axes=("lane", "reg"), holes=True), st.integers(1, 3))
def test_complement_fills_an_axis(layout, factor):
    size = factor
    for piece in (*layout.pieces, *layout.copies):
        if piece.axis == "lane":
            size = max(size, piece.extent * piece.stride * factor)
    rest = layout.complement("lane", size)
    only = [piece for piece in (*layout.pieces, *layout.copies) if piece.axis == "lane"]
    both = Layout([only]).concat(rest)
    numbers = [dict(place).get("lane", 0) for places in all_places(both) for place in places]
    assert sorted(numbers) == list(range(size))


def test_complement_names_what_does_not_divide():
    with pytest.raises(LayoutError, match="32 places are no multiple of 12"):
        spatial(12).complement("lane", 32)
    with pytest.raises(LayoutError, match="stride 4 is no multiple of 3"):
        Layout([[(2, 4, "lane"), (3, 1, "lane")]]).complement("lane", 24)


@laws
@given(pairs)
def test_concat_adds_places(pair):
    a, b = pair
    whole = a.concat(b)
    assert whole.shape == (*a.shape, *b.shape)
    for x, y in itertools.islice(itertools.product(coordinates(a), coordinates(b)), 0, None, 3):
        expected = {add(p, q) for p in oracle(a, x) for q in oracle(b, y)}
        assert set(oracle(whole, (*x, *y))) == expected


def test_products_with_swizzles():
    atom = row_major((8, 64), bits=16).swizzled(3, 4, 3)
    whole = row_major((2, 1), bits=16).product(atom)
    assert whole.shape == (16, 64)
    for coordinate in [(0, 0), (9, 17), (15, 63)]:
        x, y = divmod(coordinate[0], 8)
        inner = dict(oracle(atom, (y, coordinate[1]))[0]).get("addr", 0)
        assert whole.address(*coordinate) == x * 512 + inner
    with pytest.raises(LayoutError, match="no multiple of 1024"):
        row_major((2, 1), bits=16).product(row_major((4, 64), bits=16).swizzled(3, 4, 3))
    with pytest.raises(LayoutError, match="outer factor of a product is swizzled"):
        atom.product(row_major((2, 2)))


def test_factors_agree_on_the_bits_of_elements():
    assert spatial(8, 4).product(local(1, 2, bits=16)).bits == 16
    assert local(1, 2, bits=16).product(spatial(8, 4)).bits == 16
    assert row_major((4,), bits=8).concat(spatial(4)).bits == 8
    with pytest.raises(LayoutError, match="elements of 32 and of 16 bits"):
        local(2, 1).product(local(1, 2, bits=16))
