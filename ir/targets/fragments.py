"""Register layouts of the operands of a matrix product, from its atom and the grid of warps.

A grid of `rows x columns` warps cuts the accumulator into equal rectangles; in its rectangle a warp
repeats the atom in registers. All warps of one row hold copies of the same part of x, all of one
column copies of the same part of y.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.layout import Layout, LayoutError, local, spatial
from tilewright.ir.targets.record import Atom, Target
from tilewright.ir.values import shape_of


class Fragments(NamedTuple):
    """Layouts over (reg, lane, warp) of x (m, k), y (k, n) and the accumulator (m, n)."""

    x: Layout
    y: Layout
    acc: Layout


@functools.cache
def fragment_layouts(
    atom: Atom, shape: tuple[int, int, int], warp_grid: tuple[int, int]
) -> Fragments:
    """The layouts of x, y and acc for a product of `shape` (m, n, k) by `warp_grid` warps.

    m and n are multiples of the atom times the grid, k of the atom.
    """
    rows, columns = warp_grid
    (m, n, k), (am, an, ak) = shape, atom.shape
    for name, extent, unit in (("m", m, am * rows), ("n", n, an * columns), ("k", k, ak)):
        if extent % unit:
            raise LayoutError(f"{name} = {extent} is no multiple of {unit} ({atom.name})")
    warps = spatial(rows, columns, axis="warp")
    reps_m, reps_n, reps_k = m // (am * rows), n // (an * columns), k // ak
    return Fragments(
        x=_repeat(warps.reduce(1), (reps_m, reps_k), atom.x),
        y=_repeat(warps.reduce(0), (reps_k, reps_n), atom.y),
        acc=_repeat(warps, (reps_m, reps_n), atom.acc),
    )


def padded_shape(
    shape: tuple[int, int, int], atom: Atom, warp_grid: tuple[int, int]
) -> tuple[int, int, int]:
    """(m, n, k) rounded up to whole atoms in every warp."""
    units = (atom.shape[0] * warp_grid[0], atom.shape[1] * warp_grid[1], atom.shape[2])
    m, n, k = (-(-extent // unit) * unit for extent, unit in zip(shape, units, strict=True))
    return m, n, k


def product_layouts(product: Mma, target: Target) -> Fragments:
    """The layouts of a product whose atom and warps are chosen, over its padded shape.

    Where the tiles are no multiples of the atom, layouts are larger than their tiles.
    """
    assert product.atom is not None and product.warp_grid is not None
    atom = target.find_atom(product.atom)
    (m, k), (_, n) = shape_of(product.x), shape_of(product.y)
    padded = padded_shape((m, n, k), atom, product.warp_grid)
    return fragment_layouts(atom, padded, product.warp_grid)


def _repeat(warps: Layout, reps: tuple[int, int], atom: Layout) -> Layout:
    return warps.product(local(*reps)).with_bits(atom.bits).product(atom)


def registers_per_lane(layout: Layout) -> int:
    """32-bit registers that one lane needs for a tile of `layout`."""
    return -(-layout.size("reg") * layout.bits // 32)
