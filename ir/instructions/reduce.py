"""Reductions along one axis of a tile; the axis stays, with extent 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import ANY, Instruction, attribute, instruction, operand
from tilewright.ir.numeric import Array, round_to
from tilewright.ir.values import TileType, Type, Value, element_type, shape_of

REDUCE: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "any": np.any,
    "all": np.all,
}


@instruction("reduce", phases=ANY, ops=tuple(REDUCE))
class Reduce(Instruction):
    """result[.., 0, ..] = op over i of operand[.., i, ..]; a float sum may take any order."""

    op: str
    operand: Value = operand()
    axis: int = attribute()

    def result(self) -> tuple[Type, ...]:
        shape = shape_of(self.operand)
        kept = (*shape[: self.axis], 1, *shape[self.axis + 1 :])
        return (TileType(kept, element_type(self.operand)),)

    def check(self) -> None:
        if not 0 <= self.axis < len(shape_of(self.operand)):
            raise ShapeError(f"axis {self.axis} of a tile of shape {shape_of(self.operand)}")
        if self.op in ("any", "all") and element_type(self.operand).kind != "bool":
            raise TypeMismatch(f"{self.op} wants bools", "compare first")

    def meaning(self, operand: Array) -> Array:
        with np.errstate(all="ignore"):
            found = np.asarray(REDUCE[self.op](operand, axis=self.axis, keepdims=True))
        return round_to(element_type(self.operand), found)
