"""Matrix products on the ordinary lanes: exact f32, f64, and every other pair of types.

32 lanes stand as 4 rows x 8 columns of the accumulator. A lane holds the x of its row (all 8 lanes
of the row hold a copy) and the y of its column, and adds their product by `fma`: rounded once per
step of k, in order. Integers are multiplied in the accumulator's type and wrap.
"""

from __future__ import annotations

from tilewright.ir.layout import spatial
from tilewright.ir.targets.record import Atom
from tilewright.ir.types import DType, bf16, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64

ROWS, COLUMNS = 4, 8


def _atom(operand: DType, accumulator: DType) -> Atom:
    x = spatial(ROWS, COLUMNS).reduce(1)
    y = spatial(ROWS, COLUMNS).reduce(0)
    return Atom(
        name=f"simt.{operand.name}.{accumulator.name}",
        shape=(ROWS, COLUMNS, 1),
        operand=operand,
        accumulator=accumulator,
        x=x.with_bits(operand.bits),
        y=y.with_bits(operand.bits),
        acc=spatial(ROWS, COLUMNS).with_bits(accumulator.bits),
    )


_PAIRS = (
    *((operand, f32) for operand in (f32, f16, bf16)),
    (f16, f16),
    (f64, f64),
    *((operand, i32) for operand in (i8, u8, i16, u16, i32, u32, i64, u64)),
)
ATOMS = tuple(_atom(operand, accumulator) for operand, accumulator in _PAIRS)
