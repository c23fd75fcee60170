"""Instructions that make tiles and change their shape; no arithmetic."""

from __future__ import annotations

from math import prod

import numpy as np

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    Instruction,
    attribute,
    instruction,
    operand,
)
from tilewright.ir.layout import Layout, can_view
from tilewright.ir.numeric import Array, numpy_class
from tilewright.ir.types import DType
from tilewright.ir.values import (
    ScalarType,
    TileType,
    Type,
    Value,
    element_type,
    shape_of,
    tile_type,
)


@instruction("full", phases=ANY)
class Full(Instruction):
    """result[i] = value"""

    value: Value = operand()
    shape: tuple[int, ...] = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.shape, element_type(self.value)),)

    def meaning(self, value: Array) -> Array:
        return np.full(self.shape, value)


@instruction("arange", phases=ANY)
class Arange(Instruction):
    """result[i] = start + i, for 0 <= i < size"""

    start: Value = operand()
    size: int = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType((self.size,), element_type(self.start)),)

    def meaning(self, start: Array) -> Array:
        return np.asarray(start + np.arange(self.size, dtype=start.dtype))


@instruction("broadcast", phases=ANY)
class Broadcast(Instruction):
    """result[i] = operand[j], where j is i with 0 at the axes in which the operand has extent 1."""

    operand: Value = operand()
    shape: tuple[int, ...] = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.shape, element_type(self.operand)),)

    def check(self) -> None:
        have = shape_of(self.operand)
        fits = len(have) == len(self.shape) and all(
            h in (1, w) for h, w in zip(have, self.shape, strict=False)
        )
        if not fits:
            raise ShapeError(f"a tile of shape {have} does not broadcast to {self.shape}")

    def meaning(self, operand: Array) -> Array:
        return np.broadcast_to(operand, self.shape)


@instruction("reshape", phases=ANY)
class Reshape(Instruction):
    """result[i] = operand[j], where i and j have the same row-major rank."""

    operand: Value = operand()
    shape: tuple[int, ...] = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.shape, element_type(self.operand)),)

    def check(self) -> None:
        have = shape_of(self.operand)
        if prod(have) != prod(self.shape):
            raise ShapeError(f"a tile of shape {have} does not reshape to {self.shape}")

    def meaning(self, operand: Array) -> Array:
        return operand.reshape(self.shape)


@instruction("transpose", phases=ANY)
class Transpose(Instruction):
    """result[i] = operand[j], where j[axes[d]] = i[d]"""

    operand: Value = operand()
    axes: tuple[int, ...] = attribute()

    def result(self) -> tuple[Type, ...]:
        have = shape_of(self.operand)
        return (TileType(tuple(have[a] for a in self.axes), element_type(self.operand)),)

    def check(self) -> None:
        if sorted(self.axes) != list(range(len(shape_of(self.operand)))):
            raise ShapeError(f"axes {self.axes} do not permute a tile of rank {len(self.axes)}")

    def meaning(self, operand: Array) -> Array:
        return operand.transpose(self.axes)


@instruction("slice", phases=ANY)
class Slice(Instruction):
    """result[i] = operand[start + i]"""

    operand: Value = operand()
    start: tuple[int, ...] = attribute()
    shape: tuple[int, ...] = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.shape, element_type(self.operand)),)

    def check(self) -> None:
        have = shape_of(self.operand)
        ends = (s + n for s, n in zip(self.start, self.shape, strict=True))
        if any(end > extent for end, extent in zip(ends, have, strict=True)):
            raise ShapeError(f"slice {self.start} + {self.shape} leaves a tile of shape {have}")

    def meaning(self, operand: Array) -> Array:
        part = tuple(slice(s, s + n) for s, n in zip(self.start, self.shape, strict=True))
        return np.asarray(operand[part])


@instruction("item", phases=ANY)
class Item(Instruction):
    """result = the single element of `operand`, as a block-uniform scalar"""

    operand: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (ScalarType(element_type(self.operand)),)

    def check(self) -> None:
        if prod(shape_of(self.operand)) != 1:
            raise ShapeError(f"item() of a tile of shape {shape_of(self.operand)}", "reduce it")

    def meaning(self, operand: Array) -> Array:
        return operand.reshape(())


@instruction("view", phases=ANY)
class View(Instruction):
    """Every lane keeps exactly its bits; only dtype, shape and layout are read differently."""

    operand: Value = operand()
    dtype: DType = attribute()
    layout: Layout = attribute()

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.layout.shape, self.dtype, self.layout),)

    def check(self) -> None:
        source = tile_type(self.operand)
        if source.layout is None:
            raise TypeMismatch("view wants an operand with a layout", "give it layout=")
        if not can_view(source.layout, source.dtype.bits, self.layout, self.dtype.bits):
            raise TypeMismatch(
                f"view of {source.dtype.name} as {self.dtype.name} moves bits between lanes",
                "choose layouts whose places agree when both are recast to their common bits",
            )

    def meaning(self, operand: Array) -> Array:
        source = tile_type(self.operand)
        assert source.layout is not None
        bits = _lane_bits(source.layout, source.dtype, operand)
        return _from_lane_bits(self.layout, self.dtype, bits)


def _lane_bits(layout: Layout, dtype: DType, values: Array) -> Array:
    """bits[warp, lane, bit] of the registers that hold `values`."""
    codes: Array = dtype.encode(values)[tuple(np.moveaxis(layout.table(), -1, 0))]
    places = np.arange(dtype.bits, dtype=np.uint64)
    bits = (codes[..., None].astype(np.uint64) >> places) & np.uint64(1)
    return bits.reshape(*codes.shape[:-1], -1)


def _from_lane_bits(layout: Layout, dtype: DType, bits: Array) -> Array:
    table = layout.table()
    grouped = bits.reshape(*table.shape[:-1], dtype.bits)
    codes = (grouped << np.arange(dtype.bits, dtype=np.uint64)).sum(-1, dtype=np.uint64)
    values = np.zeros(layout.shape, numpy_class(dtype))
    values[tuple(np.moveaxis(table, -1, 0))] = dtype.decode(codes.astype(dtype.container))
    return values


@instruction("convert", phases=ANY)
class Convert(Instruction):
    """The same values in another layout."""

    operand: Value = operand()
    layout: Layout = attribute()

    def result(self) -> tuple[Type, ...]:
        source = tile_type(self.operand)
        return (TileType(source.shape, source.dtype, self.layout),)

    def meaning(self, operand: Array) -> Array:
        return operand
