"""Reductions along one axis of a tile; the axis stays, with extent 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    FROM_LAID_OUT,
    Instruction,
    attribute,
    instruction,
    operand,
)
from tilewright.ir.numeric import Array, round_to
from tilewright.ir.values import TileType, Type, Value, element_type, shape_of, tile_type

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


@instruction("reduce.parts", phases=FROM_LAID_OUT)
class ReduceParts(Instruction):
    """result[.., w, ..] = combine over those i that warp w holds, of operand[.., i, ..]

    The first half of a reduction across warps: w counts the warps over which the operand's layout
    spreads `axis`, in the order of the coordinate.
    """

    operand: Value = operand()
    combine: str = attribute()
    axis: int = attribute()

    def part_numbers(self) -> Array:
        """The w of every coordinate along `axis`, ghosts included."""
        layout = tile_type(self.operand).layout
        assert layout is not None
        numbers = np.zeros(1, np.int64)
        for extent, _, axis in layout.dims[self.axis]:
            digits = np.arange(extent) if axis == "warp" else np.zeros(extent, np.int64)
            scale = extent if axis == "warp" else 1
            numbers = (numbers[:, None] * scale + digits).reshape(-1)
        return numbers

    def result(self) -> tuple[Type, ...]:
        shape = list(shape_of(self.operand))
        shape[self.axis] = int(self.part_numbers().max()) + 1
        return (TileType(tuple(shape), element_type(self.operand)),)

    def meaning(self, operand: Array) -> Array:
        parts = self.part_numbers()[: operand.shape[self.axis]]
        whole = REDUCE[self.combine]
        with np.errstate(all="ignore"):
            found = [
                whole(np.compress(parts == w, operand, self.axis), axis=self.axis, keepdims=True)
                for w in range(int(self.part_numbers().max()) + 1)
            ]
        return round_to(element_type(self.operand), np.concatenate(found, self.axis))
