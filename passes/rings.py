"""Rings: several buffers of one layout behind each other, the slot being the leading axis."""

from __future__ import annotations

from tilewright.ir.layout import Layout
from tilewright.ir.layout.value import Piece

ALIGNMENT = 128
"""Bytes to which a slot is rounded: whole rows of banks."""


def buffer_bytes(layout: Layout) -> int:
    """Bytes of a buffer, whole windows of its swizzle."""
    return -(-layout.size("addr") * layout.bits // 8)


def buffer_alignment(layout: Layout) -> int:
    """Bytes: what the swizzle repeats after, at least one wide access, a row of banks for most."""
    period = 1 if layout.swizzle is None else layout.swizzle.period
    return max(16 if buffer_bytes(layout) < ALIGNMENT else ALIGNMENT, period)


def stack_layout(block: Layout, dim: int, count: int) -> Layout:
    """`count` blocks, each laid out as `block` and a whole period apart, along dimension `dim`."""
    unit = buffer_alignment(block)
    size = -(-buffer_bytes(block) // unit) * unit * 8 // block.bits
    piece = Piece(count, size, "addr")
    return block.replace(
        dims=[(piece, *dim_) if d == dim else dim_ for d, dim_ in enumerate(block.dims)]
    )


def ring_layout(stage: Layout, stages: int) -> Layout:
    """The layout of `stages` slots, each laid out as `stage`."""
    unit = max(ALIGNMENT, buffer_alignment(stage))
    size = -(-buffer_bytes(stage) // unit) * unit * 8 // stage.bits
    return stage.replace(dims=((Piece(stages, size, "addr"),), *stage.dims))
