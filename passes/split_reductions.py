"""Split reductions: what crosses warps becomes partial results, a convert, and a last reduction.

before:  %s: tile<[1, 1], f32, #1> = sum %x, axis=1                  (%x spread over 4 warps)
after:   %p: tile<[1, 4], f32, #2> = reduce.parts %x, combine="sum", axis=1   (one per warp)
         %q: tile<[1, 4], f32, #3> = convert %p, layout=#3           (all four in every lane)
         %s: tile<[1, 1], f32, #1> = sum %q, axis=1

Needs: phase laid_out. Gives: reductions within warps only; the convert says that data moves.
Cost: linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.reduce import Reduce, ReduceParts
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.layout import Layout, Piece
from tilewright.ir.values import TileType, Value, element_type, tile_type
from tilewright.passes.runner import Context, Pass


def split_reductions(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` without reductions across warps."""
    del context

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Reduce):
            return None
        layout = tile_type(item.operand).layout
        assert layout is not None
        if not any(piece.axis == "warp" for piece in layout.dims[item.axis]):
            return None
        return [_split(item, layout, builder)]

    return rebuild(kernel, visit)


def _split(item: Reduce, layout: Layout, builder: Builder) -> Value:
    parts = ReduceParts(operand=item.operand, combine=item.op, axis=item.axis)
    result = item.results[0]
    (kind,) = parts.result()
    assert isinstance(kind, TileType)
    partial = Value(kind.with_layout(_parts_layout(layout, item.axis)), result.name)
    builder.append(replace(parts, results=(partial,), location=item.location))
    gathered = builder.value(
        Convert(
            operand=partial, layout=_gathered_layout(layout, item.axis, element_type(result).bits)
        )
    )
    builder.append(replace(item, operand=gathered))
    return result


def _parts_layout(layout: Layout, axis: int) -> Layout:
    """Digits of `axis` along warps stay, those along lanes become copies, registers vanish."""
    warps = [p for p in layout.dims[axis] if p.axis == "warp"]
    lanes = [p for p in layout.dims[axis] if p.axis == "lane"]
    rest = layout.reduce(axis)
    dims = [warps if d == axis else pieces for d, pieces in enumerate(rest.dims)]
    return rest.replace(dims=dims, copies=(*layout.copies, *lanes))


def _gathered_layout(layout: Layout, axis: int, bits: int) -> Layout:
    """Every lane holds the parts of all warps, behind its other registers."""
    rest = layout.reduce(axis)
    count = prod(p.extent for p in layout.dims[axis] if p.axis == "warp")
    dims = [
        [Piece(count, rest.size("reg"), "reg")] if d == axis else pieces
        for d, pieces in enumerate(rest.dims)
    ]
    return rest.replace(dims=dims).with_bits(bits)


PASS = Pass("split_reductions", split_reductions)
