"""Random layouts, and what they mean by counting digits: the oracle of the law tests.

The oracle reads nothing but `dims`, `copies`, `offset` and `swizzle` of a layout; it shares no code
with the questions and verbs under test.
"""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st

from tilewright.ir.layout import Layout, Swizzle

laws = settings(deadline=None, max_examples=60)
"""How often a law is tried; no deadline, because machines are shared."""

Place = frozenset[tuple[str, int]]


def digits_of(number: int, extents: list[int]) -> list[int]:
    """Row-major digits."""
    digits = []
    for extent in reversed(extents):
        digits.insert(0, number % extent)
        number //= extent
    return digits


def make_place(numbers: dict[str, int]) -> Place:
    """A place as a comparable value, without the axes at 0."""
    return frozenset((axis, number) for axis, number in numbers.items() if number)


def oracle(layout: Layout, coordinate: tuple[int, ...]) -> list[Place]:
    """All places of an element, digit by digit."""
    numbers = dict(layout.offset)
    for pieces, value in zip(layout.dims, coordinate, strict=True):
        for digit, piece in zip(digits_of(value, [p.extent for p in pieces]), pieces, strict=True):
            numbers[piece.axis] = numbers.get(piece.axis, 0) + digit * piece.stride
    found = []
    for digits in itertools.product(*(range(p.extent) for p in layout.copies)):
        copy = dict(numbers)
        for digit, piece in zip(digits, layout.copies, strict=True):
            copy[piece.axis] = copy.get(piece.axis, 0) + digit * piece.stride
        if layout.swizzle is not None:
            copy["addr"] = swizzle_bits(copy.get("addr", 0), layout.swizzle, layout.bits)
        found.append(make_place(copy))
    return found


def swizzle_bits(address: int, swizzle: Swizzle, bits: int) -> int:
    """The swizzle, one address bit at a time."""
    bit_address = address * bits
    for i in range(swizzle.bits):
        source = 3 + swizzle.base + swizzle.shift + i
        if address * bits >> source & 1:
            bit_address ^= 1 << (3 + swizzle.base + i)
    return bit_address // bits


def coordinates(layout: Layout) -> list[tuple[int, ...]]:
    """Every coordinate of the tile, row-major."""
    return list(itertools.product(*(range(extent) for extent in layout.shape)))


def all_places(layout: Layout) -> list[set[Place]]:
    """The oracle's places of every element, row-major."""
    return [set(oracle(layout, coordinate)) for coordinate in coordinates(layout)]


@st.composite
def layouts(
    draw: st.DrawFn,
    axes: tuple[str, ...] = ("warp", "lane", "reg"),
    rank: int | None = None,
    *,
    copies: bool = True,
    holes: bool = False,
    offset: bool = False,
    limit: int = 100,
) -> Layout:
    """Injective layouts: random digits per axis, dealt out to dimensions (and copies) at random."""
    rank = draw(st.integers(0, 3)) if rank is None else rank
    dims: list[list[tuple[int, int, str]]] = [[] for _ in range(rank)]
    spare: list[tuple[int, int, str]] = []
    starts = []
    whole = 1
    for axis in axes:
        stride = 1
        for _ in range(draw(st.integers(0, 3))):
            if holes:
                stride *= draw(st.sampled_from((1, 1, 1, 2, 3)))
            extent = draw(st.sampled_from((2, 2, 2, 3, 4, 5)))
            homes = [*dims, spare] if copies and axis != "reg" else dims
            if homes and whole * extent <= limit:
                home = draw(st.sampled_from(homes))
                home.insert(draw(st.integers(0, len(home))), (extent, stride, axis))
                stride *= extent
                whole *= extent
        if offset and draw(st.booleans()):
            starts.append((axis, stride * draw(st.integers(0, 2))))
    return Layout(dims, copies=spare, offset=starts)
