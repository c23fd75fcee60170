"""`layout=`: the result of an instruction carries the layout that the user chose."""

from __future__ import annotations

import dataclasses
from typing import Any

from tilewright.frontend.context import Context
from tilewright.frontend.values import describe
from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import Instruction
from tilewright.ir.layout import Layout
from tilewright.ir.values import TileType, Value


def placed(c: Context, made: Instruction, layout: Any) -> Value:
    """Append `made`; its tile is in `layout` unless that is None."""
    value = c.emit(made)
    if layout is None:
        return value
    assert isinstance(value.type, TileType)
    kind = value.type.with_layout(to_layout(layout, value.type.shape))
    moved = Value(kind, value.name)
    last = c.builder.instructions[-1]
    c.builder.instructions[-1] = dataclasses.replace(last, results=(moved,))
    return moved


def to_layout(held: Any, shape: tuple[int, ...] | None = None) -> Layout:
    """`held` as a layout (of `shape`)."""
    if not isinstance(held, Layout):
        raise TypeMismatch(f"layout= is a layout of tilewright.ir.layout, not {describe(held)}")
    if shape is not None and held.shape != shape:
        raise ShapeError(f"a layout of shape {held.shape} for a tile of shape {shape}")
    return held
