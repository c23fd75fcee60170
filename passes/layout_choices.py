"""Register layouts to choose from: coalesced ones for memory, replicated and private ones.

A layout may be larger than its tile where an extent does not divide: what lies outside of the tile
is a ghost, computed and never stored. All layouts here place every lane of every warp.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from tilewright.ir.layout import Layout, Piece, make

Ints = npt.NDArray[np.int64]

LANES = 32
SECTOR_BITS = 256
ROW_BITS = 1 << 30
"""Rows are taken to be far apart."""


@dataclass(frozen=True)
class Wish:
    """What a tile's layout should be good for.

    `order` lists dimensions from slowest to fastest in memory, `vector` how many neighbours along
    the fastest one access may cover, `least` how many it must (whole bytes), `reduced` the
    dimensions that are reduced.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    vector: int = 1
    least: int = 1
    reduced: frozenset[int] = frozenset()


@functools.cache
def coalesced(wish: Wish, warps: int) -> Layout:
    """Vectors, then lanes fill the fastest dimensions; warps take dimensions not reduced first."""
    units = list(wish.shape)
    pieces: list[list[Piece]] = [[] for _ in units]
    left = {"lane": LANES, "warp": warps}
    strides = {"lane": 1, "warp": 1}
    if units:
        fast = wish.order[-1]
        vector = _choose_vector(wish, warps)
        pieces[fast].insert(0, Piece(vector, 1, "reg"))
        units[fast] = -(-units[fast] // vector)
    else:
        vector = 1

    def take(axis: str, dim: int, most: int) -> None:
        part = _largest_divisor(left[axis], most)
        pieces[dim].insert(0, Piece(part, strides[axis], axis))
        units[dim] = -(-units[dim] // part)
        left[axis] //= part
        strides[axis] *= part

    for dim in reversed(wish.order):
        take("lane", dim, _power_above(units[dim]))
    kept = [dim for dim in wish.order if dim not in wish.reduced]
    for dim in reversed(kept):
        take("warp", dim, _power_above(units[dim]))
    for dim in reversed(wish.order):
        if dim in wish.reduced and units[dim] >= 4 * left["warp"]:
            take("warp", dim, units[dim])
    stride = vector
    for dim in reversed(wish.order):
        pieces[dim].insert(0, Piece(units[dim], stride, "reg"))
        stride *= units[dim]
    copies = [Piece(left[axis], strides[axis], axis) for axis in ("lane", "warp")]
    return make(tuple(prod(p.extent for p in dim) for dim in pieces), pieces, copies=copies)


def _choose_vector(wish: Wish, warps: int) -> int:
    """As wide as allowed while all lanes have work; `least` always."""
    share = -(-prod(wish.shape) // (LANES * warps))
    vector = wish.vector
    while vector > wish.least and (vector > share or wish.shape[wish.order[-1]] % vector):
        vector //= 2
    return max(vector, wish.least)


def _power_above(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _largest_divisor(number: int, most: int) -> int:
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(1, most))


@functools.cache
def replicated(shape: tuple[int, ...], warps: int) -> Layout:
    """Every lane holds the whole tile."""
    stride = 1
    dims: list[list[Piece]] = []
    for extent in reversed(shape):
        dims.insert(0, [Piece(extent, stride, "reg")])
        stride *= extent
    copies = [Piece(LANES, 1, "lane"), Piece(warps, 1, "warp")]
    return make(shape, dims, copies=copies)


@functools.cache
def private(shape: tuple[int, ...], warps: int) -> Layout:
    """Every element in exactly one lane (atomics): spare lanes and warps hold ghosts."""
    base = coalesced(Wish(shape, tuple(range(len(shape)))), warps)
    return without_copies(base)


def without_copies(layout: Layout) -> Layout:
    """Copies become ghosts: further coordinates beyond the tile's end along dimension 0."""
    if not layout.copies:
        return layout
    dims = [list(pieces) for pieces in layout.dims]
    dims[0] = [*layout.copies, *dims[0]]
    return Layout(dims, bits=layout.bits)


@functools.cache
def in_registers(shape: tuple[int, ...], held: tuple[int, ...], warps: int) -> Layout:
    """Dimensions `held` lie within each lane; the others are spread over lanes and warps."""
    spread = tuple(1 if d in held else extent for d, extent in enumerate(shape))
    base = coalesced(Wish(spread, tuple(range(len(shape)))), warps)
    stride = base.size("reg")
    dims = [list(pieces) for pieces in base.dims]
    for dim in reversed(held):
        dims[dim] = [Piece(shape[dim], stride, "reg")]
        stride *= shape[dim]
    return Layout(dims, copies=base.copies)


@functools.cache
def sector_ratio(layout: Layout, shape: Sequence[int], fast: int, bits: int) -> float:
    """Useful bytes over bytes of the 32-byte sectors that the first warp's accesses touch.

    Consecutive registers along `fast` are one access.
    """
    vector = max(1, min(layout.contiguity("reg", fast), 128 // bits))
    table = layout.table()[0, :, ::vector]
    inside = (table >= 0) & (table < np.array(shape, np.int64))
    pitches = np.full(len(shape), ROW_BITS)
    for dim in range(len(shape)):
        pitches[dim] = bits if dim == fast else ROW_BITS * (dim + 1) ** 8
    first = np.where(inside.all(axis=-1), (table * pitches).sum(axis=-1), -1)
    last = np.where(first >= 0, first + (vector - 1) * bits, -1)
    useful = _count_distinct(first) * vector * bits
    touched = _count_distinct(np.concatenate([first // SECTOR_BITS, last // SECTOR_BITS]))
    return useful / max(1, touched * SECTOR_BITS)


def _count_distinct(numbers: Ints) -> int:
    """Distinct numbers >= 0 in each column, summed."""
    ordered = np.sort(numbers, axis=0)
    fresh = np.ones(ordered.shape, np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return int((fresh & (ordered >= 0)).sum())
