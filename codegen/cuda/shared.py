"""C expressions for addresses in shared memory.

A buffer is a byte offset into the block's shared memory (`tw_shared`). Where a group of lanes
accesses a tile, the offset of each lane is known here as a table; it is printed as a sum of digits
of `lane` and `warp`, the swizzle as one xor on it. Accesses of the same tile differ from the first
by an xor with a constant (inside the swizzle's window) and a sum with one, which is an immediate:

    const unsigned at = lane % 16 * 128 + lane / 16 * 16 + warp / 2 * 8192;
    const unsigned swizzled = at ^ (at >> 3 & 112);
    tw_ldmatrix<4, false>(&x[0], tw_address(tw_shared + x + swizzled));
    tw_ldmatrix<4, false>(&x[8], tw_address(tw_shared + x + (swizzled ^ 32) + 2048));

Every such form is checked against the table, lane by lane, before it is printed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilewright.codegen.cuda.emitter import LANES, Emitter
from tilewright.codegen.cuda.places import register_expression, sum_of
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.layout import Layout

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

add_snippets(r"""
//@ tw_address
__device__ __forceinline__ unsigned tw_address(const void *shared) {
    return (unsigned)__cvta_generic_to_shared(shared);
}
""")


def whole_block(e: Emitter, table: Ints | Mask) -> Ints:
    """A table (warps, lanes) of a layout as one of the whole block: what is missing repeats."""
    warps, lanes = table.shape
    rows = np.arange(e.warps) % warps
    return np.asarray(table[rows][:, np.arange(LANES) % lanes], np.int64)


def thread_expression(table: Ints) -> str | None:
    """table[warp, lane] as a sum of digits of both; None where it is none."""
    first = int(table[0, 0])
    lanes, warps = table[0] - first, table[:, 0] - first
    if (table != first + lanes + warps[:, None]).any():
        return None
    parts = [
        register_expression(tuple(map(int, line)), name)
        for line, name in ((lanes, "lane"), (warps, "warp"))
    ]
    if any(part is None for part in parts):
        return None
    return sum_of([*(part for part in parts if part), str(first)])


def emit_addresses(
    e: Emitter,
    base: str,
    memory: Layout,
    tables: Sequence[Ints],
    *,
    active: Sequence[Mask] | None = None,
) -> list[str]:
    """Declare what all accesses share; gives for each the C expression of its byte offset.

    `tables[i][warp, lane]` is the row-major number of the element that access i begins with, and
    `active[i]` says which lanes take part in it (all, by default).
    """
    masks = active or [np.ones((e.warps, LANES), np.bool_)] * len(tables)
    plain = memory.swizzled(0, 0, 0)
    size = memory.bits // 8
    linear = [_byte_offsets(e, plain, table) * size for table in tables]
    start = linear[0] - linear[0][0, 0]
    expression = thread_expression(start)
    swizzle = memory.swizzle
    at = e.fresh("at")
    if expression is None:
        e.line(f"const unsigned {at} = {_look_up(e, start)};")
    else:
        e.line(f"const unsigned {at} = {expression};")
    if swizzle is None:
        pairs = zip(linear, masks, strict=True)
        return [_shifted(e, base, at, 0, table - start, (table, mask)) for table, mask in pairs]
    window = swizzle.window - swizzle.granule
    swizzled = e.fresh("swizzled")
    e.line(f"const unsigned {swizzled} = {at} ^ ({at} >> {swizzle.shift} & {window});")
    origin = swizzle.apply(start)
    found = []
    for table, mask in zip(linear, masks, strict=True):
        real = swizzle.apply(table)
        flip = int((real ^ origin)[0, 0]) & window
        found.append(_shifted(e, base, swizzled, flip, real - (origin ^ flip), (real, mask)))
    return found


def _byte_offsets(e: Emitter, plain: Layout, table: Ints) -> Ints:
    coordinates = np.unravel_index(np.maximum(table, 0), plain.shape)
    return whole_block(e, plain.address(*coordinates))


def _shifted(
    e: Emitter, base: str, at: str, flip: int, distance: Ints, real: tuple[Ints, Mask]
) -> str:
    """base + (at ^ flip) + distance, one number for all that are active; else a table.

    `real` holds the offsets, and which lanes are active.
    """
    offsets, active = real
    if (distance != distance[0, 0])[active].any():
        return sum_of((base, _look_up(e, offsets)))
    flipped = f"({at} ^ {flip})" if flip else at
    return sum_of((base, flipped, str(int(distance[0, 0]))))


def _look_up(e: Emitter, table: Ints) -> str:
    """A table in constant memory, for layouts whose places are no sum of digits."""
    name = e.fresh("tw_offsets")
    values = ", ".join(map(str, table.reshape(-1)))
    e.line(f"static constexpr unsigned {name}[{table.size}] = {{{values}}};")
    return f"{name}[threadIdx.x]"
