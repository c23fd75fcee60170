"""How the layout of a result follows from its operand's, and the other way round.

Each function gives None where no layout makes the instruction a renaming of registers within lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.ir.layout import Layout, LayoutError, Piece

REGISTER_BITS = 32
"""The `bits` of all layouts while they are compared: places in elements are what counts."""


def normal(layout: Layout) -> Layout:
    """The same places with the common `bits`."""
    return layout.with_bits(REGISTER_BITS)


def reduced(layout: Layout, dims: Sequence[int]) -> Layout:
    """What is left of `layout` when `dims` shrink to one element that all their lanes hold."""
    for dim in dims:
        layout = layout.reduce(dim)
    return layout


def broadcast_operand(layout: Layout, have: Sequence[int]) -> Layout:
    """The operand's layout for a broadcast result in `layout`; `have` is the operand's shape."""
    dims = [d for d, extent in enumerate(have) if extent == 1]
    return reduced(layout, dims)


def line(layout: Layout, dim: int) -> Layout:
    """The layout of a 1-D tile that holds one element per coordinate along `dim`."""
    others = [d for d in range(layout.rank) if d != dim]
    rest = reduced(layout, others)
    return rest.replace(dims=[rest.dims[dim]])


def reshaped(layout: Layout, have: Sequence[int], want: Sequence[int]) -> Layout | None:
    """`layout` of a tile of shape `have`, seen as shape `want`."""
    kept = [d for d, extent in enumerate(have) if extent != 1]
    if [have[d] for d in kept] == [n for n in want if n != 1]:
        if any(layout.shape[d] != 1 for d in range(layout.rank) if d not in kept):
            return None
        remaining = iter([layout.dims[d] for d in kept])
        return layout.replace(dims=[() if n == 1 else next(remaining) for n in want])
    if layout.shape != tuple(have):
        return None
    try:
        return layout.group(tuple(want))
    except LayoutError:
        return None


def slice_operand(
    layout: Layout, have: Sequence[int], start: Sequence[int], shape: Sequence[int]
) -> Layout | None:
    """The operand's layout for a slice in `layout`: what is cut off lies in further registers."""
    dims = [list(pieces) for pieces in layout.dims]
    stride = layout.size("reg")
    for d, (whole, first, extent) in enumerate(zip(have, start, shape, strict=True)):
        if whole == extent:
            continue
        if layout.shape[d] != extent or first % extent:
            return None
        parts = -(-whole // extent)
        dims[d].insert(0, Piece(parts, stride, "reg"))
        stride *= parts
    return layout.replace(dims=dims)


def repacked(layout: Layout, have_bits: int, want_bits: int) -> Layout | None:
    """The layout of the same bits as elements of another size along the last dimension."""
    try:
        return normal(layout.with_bits(have_bits).recast(want_bits))
    except LayoutError:
        return None
