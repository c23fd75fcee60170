"""mma.m8n8k4 of f16: four products per warp, each by two groups of four lanes (Volta's shape).

Product q belongs to lanes 4q to 4q + 3 and 4q + 16 to 4q + 19. The layouts are those of the manual
("Matrix Fragments for mma.m8n8k4 with .f16"), with the four products stacked by rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.mma import (
    accumulate,
    bind_accumulator,
    bind_reader,
    bind_result,
    form_of,
    items_of,
    multiply,
)
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

Places = tuple[Array, Array]
_LANE = np.arange(32)[:, None]
_LOW = _LANE % 4
_UPPER = np.where(_LANE < 16, 0, 4)
_PRODUCT = _LANE // 4 % 4


def is_quad(ins: Instruction) -> bool:
    """Whether an `mma` is one of the four-fold kind."""
    return "m8n8k4" in ins.mods and "f64" not in ins.mods


def places_a(layout: str) -> Places:
    """Rows and columns of A, 32 × 4."""
    i = np.arange(4)[None, :]
    row, column = (_LOW, i) if layout == "row" else (i, _LOW)
    return 8 * _PRODUCT + _UPPER + row, column + 0 * _LANE


def places_b(layout: str) -> Places:
    """Rows and columns of B, 16 × 8."""
    i = np.arange(4)[None, :]
    row, column = (_LOW, i) if layout == "row" else (i, _LOW)
    return 4 * _PRODUCT + row, _UPPER + column


def places_c(kind: str) -> Places:
    """Rows and columns of C or D, 32 × 8."""
    i = np.arange(8)[None, :]
    if kind == "f16":
        return 8 * _PRODUCT + _UPPER + _LOW + 0 * i, i + 0 * _LANE
    row = (_LANE & 1) + (i & 2)
    return 8 * _PRODUCT + _UPPER + row, (i & 4) + (_LANE & 2) + (i & 1)


def bind_quad(ins: Instruction, frame: Frame) -> Any:
    """The step of an `mma.m8n8k4` of f16."""
    form = form_of(ins)
    a_layout, b_layout = (mod for mod in ins.mods if mod in ("row", "col"))
    d, a, b, c = (items_of(operand) for operand in ins.operands[:4])
    read_a = bind_reader(frame, a, places_a(a_layout), (32, 4), "f16")
    read_b = bind_reader(frame, b, places_b(b_layout), (16, 8), "f16")
    read_c = bind_accumulator(frame, c, places_c(form.c), (32, 8), form.c)
    write = bind_result(frame, d, places_c(form.d), (32, 8), form.d)
    members = bind_members(ins, frame, None)

    def step(mask: Array | None) -> None:
        members(mask)
        product = multiply(form, read_a().reshape(-1, 8, 4), read_b().reshape(-1, 4, 8))
        warps = None if mask is None else np.flatnonzero(mask.reshape(-1, 32)[:, 0])
        write(accumulate(form, product.reshape(-1, 32, 8), read_c()), warps)

    return step
