"""mma.m16n8k32 on 8-bit integers (PTX ISA, "Matrix Fragments for mma.m16n8k32").

With g = lane / 4 and t = lane % 4, a lane holds of x (16 x 32) columns 4t … 4t + 3 of rows g and
g + 8, then columns 4t + 16 … of the same rows; of y (32 x 8) rows 4t … 4t + 3 and 4t + 16 … of
column g; the accumulator is that of all m16n8 atoms. Sums wrap, as those of i32 do.
"""

from __future__ import annotations

from tilewright.ir.layout import local, spatial
from tilewright.ir.targets.atoms.mma_half import PAIR_ROWS
from tilewright.ir.targets.record import Atom
from tilewright.ir.types import DType, i8, i32, u8


def _atom(operand: DType) -> Atom:
    x = local(2, 2, order=(1, 0)).product(spatial(8, 4), local(1, 4))
    y = local(2, 1).product(spatial(4, 8, order=(1, 0)), local(4, 1))
    return Atom(
        name=f"mma.m16n8k32.{operand.name}.i32",
        shape=(16, 8, 32),
        operand=operand,
        accumulator=i32,
        x=x.with_bits(8),
        y=y.with_bits(8),
        acc=PAIR_ROWS,
    )


ATOMS = (_atom(i8), _atom(u8))
