"""Making tiles, changing their shape, and what a tile or scalar says about itself."""

from __future__ import annotations

from math import prod
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import Buffer, Scalar, Tile
from tilewright.frontend.context import Context
from tilewright.frontend.functions.layouts import placed, to_layout
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import (
    Shape,
    broadcast_to,
    cast,
    has_elements,
    static_dtype,
    static_int,
    static_shape,
    to_scalar,
)
from tilewright.frontend.values import describe, is_number, is_static, label
from tilewright.ir.diagnostics import LanguageError, ShapeError, TypeMismatch
from tilewright.ir.instructions.buffer import BufferTranspose
from tilewright.ir.instructions.shape import (
    Arange,
    Convert,
    Full,
    Item,
    Reshape,
    Transpose,
    View,
)
from tilewright.ir.types import DType, i32
from tilewright.ir.values import BufferType, Value, element_type, shape_of


@implement(language.zeros)
def _zeros(c: Context, shape: Any, dtype: Any, layout: Any) -> Value:
    return _full(c, shape, 0, dtype, layout)


@implement(language.ones)
def _ones(c: Context, shape: Any, dtype: Any, layout: Any) -> Value:
    return _full(c, shape, 1, dtype, layout)


@implement(language.full)
def _full(c: Context, shape: Any, value: Any, dtype: Any, layout: Any) -> Value:
    wanted = None if dtype is None else static_dtype(dtype, "the dtype of a tile")
    if wanted is not None and wanted.kind == "bool" and value in (0, 1) and is_number(value):
        value = bool(value)
    scalar = to_scalar(c, value, wanted)
    if wanted is not None:
        scalar = cast(c, scalar, wanted)
    return placed(c, Full(value=scalar, shape=static_shape(shape)), layout)


@implement(language.arange)
def _arange(
    c: Context, bounds: tuple[Any, ...] = (), dtype: Any = None, layout: Any = None
) -> Value:
    if len(bounds) not in (1, 2):
        raise LanguageError("tw.arange takes a stop, or start and stop")
    start, stop = (0, bounds[0]) if len(bounds) == 1 else bounds
    if not (is_static(start) and is_static(stop)):
        raise LanguageError(
            f"the length of tw.arange is known while compiling, not of {describe((start, stop))}",
            "start at 0 and add: tw.arange(size) + start",
        )
    size = static_int(stop, "the end of tw.arange") - static_int(start, "the start of tw.arange")
    kind = i32 if dtype is None else static_dtype(dtype, "the dtype of tw.arange")
    if not kind.is_integer:
        raise TypeMismatch(f"tw.arange counts in integers, not {kind.name}", "cast its result")
    if size < 1:
        raise ShapeError(f"tw.arange({start}, {stop}) has no elements")
    return placed(c, Arange(start=to_scalar(c, start, kind), size=size), layout)


@implement(language.broadcast)
def _broadcast(c: Context, x: Any, shape: Any) -> Value:
    value = x if has_elements(x) else to_scalar(c, x)
    return broadcast_to(c, value, static_shape(shape))


@implement(Tile.broadcast)
def _broadcast_method(c: Context, self: Value, shape: tuple[Any, ...] = ()) -> Value:
    return broadcast_to(c, self, _spread(shape))


def _spread(items: tuple[Any, ...]) -> Shape:
    """`(2, 3)` or `((2, 3),)` as a shape."""
    return static_shape(items[0] if len(items) == 1 and isinstance(items[0], tuple) else items)


@implement(Tile.reshape)
def _reshape(c: Context, self: Value, shape: tuple[Any, ...] = ()) -> Value:
    items = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
    total = prod(shape_of(self))
    known = [i for i in items if i != -1]
    if len(known) < len(items):
        rest = prod(static_int(i, "a tile's shape") for i in known)
        if len(items) - len(known) > 1 or rest == 0 or total % rest:
            raise ShapeError(f"{label(self)} does not reshape to {items}")
        items = tuple(total // rest if i == -1 else i for i in items)
    return c.emit(Reshape(operand=self, shape=static_shape(items)))


@implement(Tile.T, Buffer.T)
def _swap(c: Context, value: Value) -> Value:
    rank = len(shape_of(value))
    if rank < 2:
        raise ShapeError(f".T exchanges the last two axes; {label(value)} has {rank}")
    axes = (*range(rank - 2), rank - 1, rank - 2)
    if isinstance(value.type, BufferType):
        return c.emit(BufferTranspose(buffer=value, axes=axes), value.name)
    return c.emit(Transpose(operand=value, axes=axes))


@implement(Tile.transpose)
def _transpose(c: Context, self: Value, axes: tuple[Any, ...] = ()) -> Value:
    rank = len(shape_of(self))
    given = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple) else axes
    order = tuple(static_int(a, "an axis") % rank for a in given) or tuple(reversed(range(rank)))
    return c.emit(Transpose(operand=self, axes=order))


@implement(Tile.cast, Scalar.cast)
def _cast(c: Context, self: Value, dtype: Any) -> Value:
    return cast(c, self, static_dtype(dtype, "the argument of cast"))


@implement(Tile.item)
def _item(c: Context, self: Value) -> Value:
    return c.emit(Item(operand=self))


@implement(Scalar.item)
def _same(c: Context, self: Value) -> Value:
    return self


@implement(Tile.view)
def _view(c: Context, self: Value, dtype: Any, layout: Any) -> Value:
    kind = static_dtype(dtype, "the first argument of view")
    return c.emit(View(operand=self, dtype=kind, layout=to_layout(layout)))


@implement(Tile.convert)
def _convert(c: Context, self: Value, layout: Any) -> Value:
    return c.emit(Convert(operand=self, layout=to_layout(layout, shape_of(self))))


@implement(Tile.shape, Scalar.shape, Buffer.shape)
def _shape(c: Context, value: Value) -> Shape:
    return shape_of(value)


@implement(Tile.rank, Buffer.rank)
def _rank(c: Context, value: Value) -> int:
    return len(shape_of(value))


@implement(Tile.dtype, Scalar.dtype, Buffer.dtype)
def _dtype(c: Context, value: Value) -> DType:
    return element_type(value)
