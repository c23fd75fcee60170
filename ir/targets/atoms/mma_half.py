"""mma.m16n8k16 on f16 and bf16 (PTX ISA, "Matrix Fragments for mma.m16n8k16 with f16/bf16").

With g = lane / 4 and t = lane % 4, a lane holds of x (16 x 16) the pairs at columns 2t, 2t + 1 of
rows g and g + 8, then those at columns 2t + 8, 2t + 9; of y (16 x 8) the pairs at rows 2t and
2t + 8 of column g; of the accumulator (16 x 8) columns 2t, 2t + 1 of rows g and g + 8.
"""

from __future__ import annotations

from tilewright.ir.layout import Layout, local, spatial
from tilewright.ir.targets.record import Atom
from tilewright.ir.types import DType, bf16, f16, f32

PAIR_ROWS = local(2, 1).product(spatial(8, 4), local(1, 2))
"""Rows g and g + 8, columns 2t and 2t + 1: the accumulator, and each half of x."""


def _atom(operand: DType, accumulator: DType) -> Atom:
    x = local(1, 2).product(PAIR_ROWS)
    y = local(2, 1).product(spatial(4, 8, order=(1, 0)), local(2, 1))
    return Atom(
        name=f"mma.m16n8k16.{operand.name}.{accumulator.name}",
        shape=(16, 8, 16),
        operand=operand,
        accumulator=accumulator,
        x=_sized(x, operand),
        y=_sized(y, operand),
        acc=_sized(PAIR_ROWS, accumulator),
    )


def _sized(layout: Layout, dtype: DType) -> Layout:
    return layout.with_bits(dtype.bits)


ATOMS = (_atom(f16, f32), _atom(bf16, f32), _atom(f16, f16))
