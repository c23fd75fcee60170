"""mma.m16n8k8 on tf32 (PTX ISA, "Matrix Fragments for mma.m16n8k8 with .tf32").

With g = lane / 4 and t = lane % 4, a lane holds of x (16 x 8) rows g and g + 8 of column t, then of
column t + 4; of y (8 x 8) rows t and t + 4 of column g; the accumulator is that of all m16n8 atoms.
Operand tiles are f32; each register is rounded to tf32 where the instruction reads it.
"""

from __future__ import annotations

from tilewright.ir.layout import local, spatial
from tilewright.ir.targets.atoms.mma_half import PAIR_ROWS
from tilewright.ir.targets.record import Atom
from tilewright.ir.types import f32, tf32

ATOMS = (
    Atom(
        name="mma.m16n8k8.tf32.f32",
        shape=(16, 8, 8),
        operand=tf32,
        accumulator=f32,
        x=local(2, 2, order=(1, 0)).product(spatial(8, 4)),
        y=local(2, 1).product(spatial(4, 8, order=(1, 0))),
        acc=PAIR_ROWS,
    ),
)
