"""Layouts to begin with: memory orders, tiles over lanes and registers, coalesced blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import gcd

from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.text import read_layout
from tilewright.ir.layout.value import LayoutError, Piece, PieceLike, Swizzle

Nested = int | tuple["Nested", ...]


def make(
    shape: Sequence[int],
    dims: Iterable[Iterable[PieceLike]],
    *,
    copies: Iterable[PieceLike] = (),
    offset: Iterable[tuple[str, int]] = (),
    swizzle: Swizzle | None = None,
    bits: int = 32,
) -> Layout:
    """The layout with these pieces `(extent, stride, axis)` per dimension, outermost first.

    Law: element c is at `offset + sum(digit * stride)` along every axis, at every copy of it.
    """
    layout = Layout(dims, copies=copies, offset=offset, swizzle=swizzle, bits=bits)
    if layout.shape != tuple(shape):
        raise LayoutError(f"the pieces form a tile {layout.shape}, not {tuple(shape)}")
    return layout


def parse_layout(text: str) -> Layout:
    """The layout that `str(layout)` printed: `parse_layout(str(l)) is l`."""
    dims, copies, offset, swizzle, bits = read_layout(text)
    return Layout(dims, copies=copies, offset=offset, swizzle=swizzle, bits=bits)


def ordered(shape: Sequence[int], order: Sequence[int], axis: str, *, bits: int = 32) -> Layout:
    """Dense along one axis; `order` lists the dimensions from slowest to fastest."""
    if sorted(order) != list(range(len(shape))):
        raise LayoutError(f"{tuple(order)} is no order of the {len(shape)} dimensions")
    strides = [0] * len(shape)
    stride = 1
    for dim in reversed(order):
        strides[dim] = stride
        stride *= shape[dim]
    dims = [[Piece(e, s, axis)] for e, s in zip(shape, strides, strict=True)]
    return make(shape, dims, bits=bits)


def row_major(shape: Sequence[int], *, bits: int = 32, axis: str = "addr") -> Layout:
    """Dense, the last dimension fastest: `row_major((2, 3))` is `0 1 2 / 3 4 5`."""
    return ordered(shape, range(len(shape)), axis, bits=bits)


def column_major(shape: Sequence[int], *, bits: int = 32, axis: str = "addr") -> Layout:
    """Dense, the first dimension fastest: `column_major((2, 3))` is `0 2 4 / 1 3 5`."""
    return ordered(shape, range(len(shape))[::-1], axis, bits=bits)


def local(*shape: int, order: Sequence[int] | None = None, bits: int = 32) -> Layout:
    """One lane holds the whole tile in registers, row-major or in `order` (slowest first)."""
    return ordered(shape, range(len(shape)) if order is None else order, "reg", bits=bits)


def spatial(
    *shape: int, axis: str = "lane", order: Sequence[int] | None = None, bits: int = 32
) -> Layout:
    """One element per lane (or per warp: `axis="warp"`), row-major or in `order`."""
    return ordered(shape, range(len(shape)) if order is None else order, axis, bits=bits)


def strided(
    shape: Sequence[Nested], strides: Sequence[Nested], *, axis: str = "addr", bits: int = 32
) -> Layout:
    """Extents and strides per dimension; nested tuples are row-major digits of one dimension.

    CuTe's `(2,(2,3)):(1,(2,6))`, whose digits run fastest first, is
    `strided((2, (3, 2)), (1, (6, 2)))`.
    """
    dims = []
    for extent, stride in zip(shape, strides, strict=True):
        extents, steps = list(_flatten(extent)), list(_flatten(stride))
        if len(extents) != len(steps):
            raise LayoutError(f"extents {extent} and strides {stride} are nested differently")
        dims.append([Piece(e, s, axis) for e, s in zip(extents, steps, strict=True)])
    return Layout(dims, bits=bits)


def blocked(
    shape: Sequence[int],
    *,
    vector: int = 1,
    lanes: int = 32,
    warps: int = 1,
    order: Sequence[int] | None = None,
    bits: int = 32,
) -> Layout:
    """The coalesced layout: vectors, then lanes, then warps fill the fastest dimensions first.

    `order` lists the dimensions from slowest to fastest. What lanes and warps do not cover is
    repeated in registers; lanes and warps that divide nothing hold copies. Every extent works;
    `vector` must divide the fastest dimension.
    """
    sequence = tuple(range(len(shape))) if order is None else tuple(order)
    left = list(shape)
    inner: list[list[Piece]] = [[] for _ in shape]
    if sequence and left[sequence[-1]] % vector:
        raise LayoutError(f"vectors of {vector} do not divide {left[sequence[-1]]} elements")
    copies: list[Piece] = []
    for axis, amount in (("reg", vector), ("lane", lanes), ("warp", warps)):
        rest, stride = amount, 1
        for dim in reversed(sequence):
            part = gcd(rest, left[dim])
            inner[dim].insert(0, Piece(part, stride, axis))
            left[dim] //= part
            rest //= part
            stride *= part
            if axis == "reg":
                break
        copies.append(Piece(rest if axis != "reg" else 1, stride, axis))
    stride = vector
    for dim in reversed(sequence):
        inner[dim].insert(0, Piece(left[dim], stride, "reg"))
        stride *= left[dim]
    return make(shape, inner, copies=copies, bits=bits)


def _flatten(nested: Nested) -> Iterable[int]:
    if isinstance(nested, tuple):
        for part in nested:
            yield from _flatten(part)
    else:
        yield nested
