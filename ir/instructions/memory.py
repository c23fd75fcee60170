"""Global memory: loads and stores of tiles, scalar elements, and views with their own bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tilewright.ir.diagnostics import InterpretError, ShapeError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    Effect,
    Instruction,
    attribute,
    instruction,
    operand,
    operands,
)
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array, numpy_class, zero_of
from tilewright.ir.packing import pack_bits
from tilewright.ir.types import u8
from tilewright.ir.values import (
    ScalarType,
    TileType,
    Type,
    Value,
    element_type,
    shape_of,
    tensor_type,
)


def region_index(offsets: tuple[Array, ...], shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Coordinates of a tile: axis d is offsets[d] + (0 .. shape[d]), or the index tile itself."""
    rank = len(shape)
    index = []
    for axis, (offset, extent) in enumerate(zip(offsets, shape, strict=True)):
        line = offset if offset.ndim else offset + np.arange(extent, dtype=np.int64)
        index.append(line.reshape((extent,) + (1,) * (rank - 1 - axis)))
    return tuple(index)


def check_plain(tensor: Value) -> None:
    """Packed weights have no elements in memory order: whole tiles are loaded, nothing else."""
    if tensor_type(tensor).packing is not None:
        raise TypeMismatch(
            f"{tensor.name or 'a tensor'} holds packed weights, which are loaded as tiles only",
            "tw.load a tile of it, or pass the weights dense along K",
        )


def check_region(
    tensor: Value, offsets: tuple[Value, ...], shape: tuple[int, ...], *, packed: bool = False
) -> None:
    """One offset and one extent per axis of `tensor`; an offset is a scalar or a 1-D index tile.

    `packed` says that packed weights are allowed.
    """
    rank = tensor_type(tensor).rank
    if not packed:
        check_plain(tensor)
    if len(offsets) != rank or len(shape) != rank:
        raise ShapeError(
            f"{len(offsets)} offsets and shape {shape} for "
            f"{tensor.name or 'a tensor'} of rank {rank}",
            "give one offset and one extent per axis",
        )
    for offset, extent in zip(offsets, shape, strict=True):
        if isinstance(offset.type, TileType) and offset.type.shape != (extent,):
            raise ShapeError(f"an index tile of shape {offset.type.shape} for {extent} rows")
        if not element_type(offset).is_integer:
            raise TypeMismatch(f"an offset is an integer, not {element_type(offset).name}")


def check_axis(tensor: Value, axis: int) -> None:
    """`axis` is one of `tensor`'s."""
    rank = tensor_type(tensor).rank
    if not 0 <= axis < rank:
        raise ShapeError(f"axis {axis} of {tensor.name or 'a tensor'} of rank {rank}")


@instruction("load", phases=ANY)
class Load(Instruction):
    """result[i] = tensor[offsets + i] inside the view, else `other` (0 when absent).

    An offset that is a 1-D tile gathers along its axis: result[i, j] = tensor[rows[i], column + j].
    `bounds[d]` says whether axis d may leave the view and must be checked. `vector` neighbours
    along the last axis are accessed at once (chosen by `vectorize`; it changes no result).
    """

    tensor: Value = operand()
    offsets: tuple[Value, ...] = operands()
    other: Value | None = operand(default=None)
    shape: tuple[int, ...] = attribute()
    bounds: tuple[bool, ...] | None = attribute(default=None)
    vector: int = attribute(default=1)

    def result(self) -> tuple[Type, ...]:
        return (TileType(self.shape, element_type(self.tensor)),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("read", self.tensor),)

    def check(self) -> None:
        check_region(self.tensor, self.offsets, self.shape, packed=True)

    def meaning(self, tensor: TensorView, offsets: tuple[Array, ...], other: Array | None) -> Array:
        fill = zero_of(tensor.dtype) if other is None else other
        return tensor.read(region_index(offsets, self.shape), fill)


@instruction("store", phases=ANY)
class Store(Instruction):
    """tensor[offsets + i] = value[i]; coordinates outside the view are dropped."""

    tensor: Value = operand()
    offsets: tuple[Value, ...] = operands()
    value: Value = operand()
    bounds: tuple[bool, ...] | None = attribute(default=None)
    vector: int = attribute(default=1)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("write", self.tensor),)

    def check(self) -> None:
        check_region(self.tensor, self.offsets, shape_of(self.value))
        have, want = element_type(self.value), element_type(self.tensor)
        if have != want:
            raise TypeMismatch(
                f"store of {have.name} into {self.tensor.name or 'a tensor'} of {want.name}",
                f"cast the tile: .cast({self.tensor.name or 'tensor'}.dtype)",
            )

    def meaning(self, tensor: TensorView, offsets: tuple[Array, ...], value: Array) -> None:
        tensor.write(region_index(offsets, shape_of(self.value)), value)


@instruction("gather", phases=ANY)
class Gather(Instruction):
    """result[i] = tensor[index_0[i], ...] where mask[i] and inside the view, else `other` (0)."""

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    mask: Value | None = operand(default=None)
    other: Value | None = operand(default=None)

    def result(self) -> tuple[Type, ...]:
        return (TileType(shape_of(self.index[0]), element_type(self.tensor)),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("read", self.tensor),)

    def check(self) -> None:
        check_index(self.tensor, self.index)

    def meaning(
        self, tensor: TensorView, index: tuple[Array, ...], mask: Array | None, other: Array | None
    ) -> Array:
        fill = zero_of(tensor.dtype) if other is None else other
        found = tensor.read(index, fill)
        return found if mask is None else np.where(mask, found, fill)


@instruction("scatter", phases=ANY)
class Scatter(Instruction):
    """tensor[index_0[i], ...] = value[i] where mask[i] and inside the view.

    Elements that write to one place must have equal values.
    """

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    value: Value = operand()
    mask: Value | None = operand(default=None)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("write", self.tensor),)

    def check(self) -> None:
        check_index(self.tensor, self.index)

    def meaning(
        self, tensor: TensorView, index: tuple[Array, ...], value: Array, mask: Array | None
    ) -> None:
        tensor.write(index, value, mask)


def check_index(tensor: Value, index: tuple[Value, ...]) -> None:
    """One index tile per axis of `tensor`, all of one shape."""
    check_plain(tensor)
    if len(index) != tensor_type(tensor).rank:
        raise ShapeError(f"{len(index)} indices for a tensor of rank {tensor_type(tensor).rank}")
    if len({shape_of(i) for i in index}) != 1:
        raise ShapeError("index tiles of one gather or scatter have one shape")


@instruction("element", phases=ANY)
class Element(Instruction):
    """result = tensor[index], a block-uniform scalar; outside the view it is 0."""

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()

    def result(self) -> tuple[Type, ...]:
        return (ScalarType(element_type(self.tensor)),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("read", self.tensor),)

    def check(self) -> None:
        check_index(self.tensor, self.index)

    def meaning(self, tensor: TensorView, index: tuple[Array, ...]) -> Array:
        return tensor.read(index, zero_of(tensor.dtype))


@instruction("element.store", phases=ANY)
class ElementStore(Instruction):
    """tensor[index] = value, once per block; dropped outside the view."""

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    value: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("write", self.tensor),)

    def check(self) -> None:
        check_index(self.tensor, self.index)

    def meaning(self, tensor: TensorView, index: tuple[Array, ...], value: Array) -> None:
        tensor.write(index, value)


@instruction("rows", phases=ANY)
class Rows(Instruction):
    """A view of rows [low, high) of `tensor` (axis 0); bounds now refer to the view."""

    tensor: Value = operand()
    low: Value = operand()
    high: Value = operand()

    def result(self) -> tuple[Type, ...]:
        source = tensor_type(self.tensor)
        return (replace(source, extents=("any", *source.extents[1:]), aligned=False),)

    def check(self) -> None:
        check_plain(self.tensor)

    def meaning(self, tensor: TensorView, low: Array, high: Array) -> TensorView:
        return TensorView(tensor.values[int(low) : max(int(low), int(high))], tensor.dtype)


@instruction("subview", phases=ANY)
class Subview(Instruction):
    """tensor[index] along `axis`, a view of one rank less; `index` must lie inside."""

    tensor: Value = operand()
    index: Value = operand()
    axis: int = attribute(default=0)

    def check(self) -> None:
        check_axis(self.tensor, self.axis)

    def result(self) -> tuple[Type, ...]:
        source = tensor_type(self.tensor)
        keep = [a for a in range(source.rank) if a != self.axis]
        aligned = source.aligned and source.strides[self.axis] in ("0", "x16B")
        return (
            replace(
                source,
                strides=tuple(source.strides[a] for a in keep),
                extents=tuple(source.extents[a] for a in keep),
                aligned=aligned,
            ),
        )

    def meaning(self, tensor: TensorView, index: Array) -> TensorView:
        if not 0 <= int(index) < tensor.shape[self.axis]:
            raise InterpretError(f"subview {int(index)} of {tensor.shape[self.axis]}")
        at = (slice(None),) * self.axis + (int(index),)
        return TensorView(tensor.values[at], tensor.dtype)


@instruction("bytes", phases=ANY)
class Bytes(Instruction):
    """The bytes in which `tensor` packs codes along its last axis, as a tensor of u8 to read."""

    tensor: Value = operand()

    def result(self) -> tuple[Type, ...]:
        source = tensor_type(self.tensor)
        return (replace(source, dtype=u8, extents=(*source.extents[:-1], "any")),)

    def check(self) -> None:
        kind = tensor_type(self.tensor)
        if kind.dtype.bits >= 8 or kind.packing is not None or not kind.rank:
            raise TypeMismatch(f"bytes of a tensor of {kind.dtype.name}: it packs no codes in rows")

    def meaning(self, tensor: TensorView) -> TensorView:
        packed = pack_bits(np.asarray(tensor.dtype.encode(tensor.values)), tensor.dtype.bits)
        return TensorView(packed.astype(numpy_class(u8)), u8)
