"""How one staged tile lies in shared memory, and how wide the copy into it is.

The buffer keeps the order of the tensor's contiguous axis, so that copies are wide; a swizzle (or,
failing that, padded rows) makes the reads free of bank conflicts.
"""

from __future__ import annotations

import functools
from math import gcd

import numpy as np

from tilewright.ir.instructions.memory import Load
from tilewright.ir.layout import Layout
from tilewright.ir.layout.banks import Access
from tilewright.ir.layout.construct import ordered
from tilewright.ir.layout.shared import choose_swizzle
from tilewright.ir.targets.record import Target
from tilewright.ir.targets.shared_access import plan_shared_access
from tilewright.ir.values import Value, shape_of, tensor_type, tile_type
from tilewright.passes.access_widths import find_width
from tilewright.passes.facts import Facts
from tilewright.passes.rings import stack_layout
from tilewright.passes.users import Users, find_product
from tilewright.passes.warp_grid import block_step

SAMPLE = 96
"""Requests of each kind that the search for a swizzle looks at: patterns repeat long before."""


@functools.cache
def choose_memory(
    registers: Layout, axis: int, matrices: bool, blocks: tuple[int, int] | None = None
) -> Layout:
    """The buffer for a tile that is copied along `axis` and read as `registers`.

    `blocks` (dimension, size) puts blocks along a dimension behind each other.
    """
    if blocks is not None:
        dim, size = blocks
        shape = tuple(size if d == dim else n for d, n in enumerate(registers.shape))
        part = registers.slice((0,) * registers.rank, shape)
        inner = choose_memory(part, axis, matrices)
        return stack_layout(inner, dim, registers.shape[dim] // size)
    order = (*(d for d in range(registers.rank) if d != axis), axis)
    plain = ordered(registers.shape, order, "addr", bits=registers.bits)
    plan = plan_shared_access(registers, plain, matrices=matrices)
    reads = [_sampled(access) for access in plan.accesses(registers.shape)]
    return choose_swizzle(
        registers.shape, registers.bits, [*reads, *_copies(registers, order)], order=order
    )


def _copies(tile: Layout, order: tuple[int, ...]) -> list[Access]:
    """The writes of a copy: 32 lanes with neighbouring accesses of 16 bytes, row after row."""
    vector = 128 // tile.bits
    axis = order[-1]
    if tile.shape[axis] % vector:
        return []
    extents = [tile.shape[d] // (vector if d == axis else 1) for d in order]
    count = min(int(np.prod(extents)), SAMPLE * 32) // 32 * 32
    numbers = np.arange(count, dtype=np.int64).reshape(-1, 32)
    if not count:
        return []
    digits = np.unravel_index(numbers, extents)
    by_axis = dict(zip(order, digits, strict=True))
    coordinates = tuple(
        np.asarray(by_axis[d] * (vector if d == axis else 1), np.int64) for d in range(tile.rank)
    )
    return [Access(coordinates, np.ones(numbers.shape, np.bool_), 16)]


def _sampled(access: Access) -> Access:
    rows = slice(0, None, max(1, len(access.active) // SAMPLE))
    coordinates = tuple(c[rows] for c in access.coordinates)
    return Access(coordinates, access.active[rows], access.width)


def find_blocks(value: Value, users: Users, target: Target) -> tuple[int, int] | None:
    """[step] the dimension k and the size of the blocks in which a product takes a tile."""
    found = find_product(value, users)
    if found is None:
        return None
    product, dim = found
    registers = tile_type(value).layout
    if product.atom is None or registers is None or registers.shape[dim] != shape_of(value)[dim]:
        return None
    size = block_step(target.find_atom(product.atom), registers.shape[dim])
    return None if size is None else (dim, size)


def choose_width(item: Load, row: int, facts: Facts) -> int:
    """Bytes per access: the widest that the tensor allows and that divides a row of the buffer."""
    vector = gcd(find_width(item.tensor, item.offsets, facts), row)
    return vector * tensor_type(item.tensor).dtype.bits // 8
