"""Layouts of buffers in shared memory: the order, swizzle or padding that makes accesses free.

`choose_swizzle` takes the accesses as they are. `choose_exchange` also picks the order of the
dimensions, for a tile that register layouts write and read.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import lcm
from typing import NamedTuple

from tilewright.ir.layout.banks import Access, count_conflicts, find_swizzle
from tilewright.ir.layout.construct import ordered
from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.questions import register_access
from tilewright.ir.layout.value import Piece

MAX_PADDING = 128
"""Bytes by which a row may be padded: after them banks repeat."""


def choose_swizzle(
    shape: Sequence[int],
    bits: int,
    accesses: Sequence[Access],
    *,
    order: Sequence[int] | None = None,
) -> Layout:
    """The dense buffer with the fewest bank conflicts: plain, swizzled, or with padded rows.

    Padding is taken only where no swizzle is free of conflicts and padding has fewer.
    """
    sequence = tuple(range(len(shape))) if order is None else tuple(order)
    plain = ordered(shape, sequence, "addr", bits=bits)
    swizzle, conflicts = find_swizzle(plain, accesses)
    best = plain.swizzled(*swizzle)
    if conflicts == 0 or len(shape) < 2:
        return best
    for padded in _padded(plain, sequence, max(access.width for access in accesses)):
        found = count_conflicts(padded, accesses)
        if found < conflicts:
            best, conflicts = padded, found
        if conflicts == 0:
            break
    return best


def _padded(plain: Layout, order: Sequence[int], width: int) -> list[Layout]:
    """Rows along the fastest dimension moved apart by multiples of the access width."""
    fastest = order[-1]
    row = plain.shape[fastest]
    step = lcm(width * 8, plain.bits) // plain.bits
    steps = range(step, MAX_PADDING * 8 // plain.bits + 1, step)
    results = []
    for padding in steps:
        aligned = -(-(row + padding) // step) * step

        def pad(piece: Piece, width: int = aligned) -> Piece:
            return Piece(piece.extent, piece.stride // row * width, piece.axis)

        dims = [
            dim if d == fastest else tuple(pad(piece) for piece in dim)
            for d, dim in enumerate(plain.dims)
        ]
        results.append(plain.replace(dims=dims))
    return results


class Exchange(NamedTuple):
    """A buffer that a tile passes through, and elements per access of its writers and readers.

    Its elements take a power of two of bytes, whatever the tile's.
    """

    memory: Layout
    store_width: int
    load_width: int
    conflicts: int


@functools.cache
def choose_exchange(writer: Layout, reader: Layout, bits: int) -> Exchange:
    """The buffer through which a tile goes from `writer` to `reader` with the fewest wavefronts."""
    best: tuple[int, Exchange] | None = None
    for order in _orders(writer, reader):
        plain = ordered(writer.shape, order, "addr", bits=bits)
        store, load = writer.vector_width(plain), reader.vector_width(plain)
        accesses = [
            register_access(writer, bits, max(1, store * bits // 8)),
            register_access(reader, bits, max(1, load * bits // 8)),
        ]
        memory = choose_swizzle(writer.shape, bits, accesses, order=order)
        conflicts = count_conflicts(memory, accesses)
        requests = writer.size("reg") // store + reader.size("reg") // load
        bytes_moved = (writer.size("reg") + reader.size("reg")) * bits // 8
        cost = requests + bytes_moved + conflicts
        if best is None or cost < best[0]:
            best = (cost, Exchange(memory, store, load, conflicts))
    assert best is not None
    return best[1]


def _orders(writer: Layout, reader: Layout) -> list[tuple[int, ...]]:
    """Row-major first, then each order whose fastest dimension a layout holds contiguously."""
    rank = len(writer.shape)
    wanted = {
        dim
        for dim in range(rank)
        if writer.contiguity("reg", dim) > 1 or reader.contiguity("reg", dim) > 1
    }
    tails = sorted({*wanted, rank - 1}, reverse=True) if rank else []
    orders = [(*(d for d in range(rank) if d != tail), tail) for tail in tails]
    return orders or [()]
