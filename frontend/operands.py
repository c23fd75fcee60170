"""The rules by which operands fit each other: one dtype, one shape, Python numbers adapt.

* A Python number takes the dtype of what it meets; a float does not meet an integer.
* Two values have one dtype, else the user casts. Only i32 and i64 mix (to i64), and where indices
  are 64 bits wide a store into i32 narrows: how wide an index is depends on the launch, and
  whether a kernel is legal must not.
* Shapes broadcast as in NumPy: aligned at their last axes, extent 1 stretches.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tilewright.frontend.common_types import suggest_casts
from tilewright.frontend.context import Context, Retype
from tilewright.frontend.values import Extents, Record, describe, is_number, label
from tilewright.ir.diagnostics import LanguageError, ShapeError, TypeMismatch
from tilewright.ir.instructions.elementwise import Cast
from tilewright.ir.instructions.shape import Broadcast, Full, Reshape
from tilewright.ir.types import DType, bool_, f32, i32, i64
from tilewright.ir.values import (
    BufferType,
    ScalarType,
    TensorType,
    TileType,
    Value,
    element_type,
    shape_of,
)

Shape = tuple[int, ...]


def is_tile(held: Any) -> bool:
    """Whether `held` is a tile."""
    return isinstance(held, Value) and isinstance(held.type, TileType)


def is_scalar(held: Any) -> bool:
    """Whether `held` is a block-uniform scalar that is unknown while compiling."""
    return isinstance(held, Value) and isinstance(held.type, ScalarType)


def has_elements(held: Any) -> bool:
    """Whether `held` is a tile or a scalar value."""
    return isinstance(held, Value) and isinstance(held.type, (TileType, ScalarType))


def check_elementwise(held: Any) -> None:
    """Raise unless `held` may stand in arithmetic."""
    if has_elements(held) or is_number(held):
        return
    if isinstance(held, Value) and isinstance(held.type, TensorType):
        raise TypeMismatch(
            f"{held.name or 'a tensor'} is a tensor, not a tile",
            f"load a tile of it first: tw.load({held.name or 'tensor'}, offsets, shape)",
        )
    if isinstance(held, Value) and isinstance(held.type, BufferType):
        raise TypeMismatch(
            f"{held.name or 'a buffer'} is a buffer, not a tile", "read it first with .load()"
        )
    raise TypeMismatch(f"{describe(held)} is not a tile, scalar or number")


def default_dtype(number: bool | int | float) -> DType:
    """The dtype of a Python number that meets nothing."""
    if isinstance(number, bool):
        return bool_
    if isinstance(number, float):
        return f32
    return i32 if i32.min <= number <= i32.max else i64


def embed(c: Context, number: bool | int | float, dtype: DType) -> Value:
    """A Python number as a constant of `dtype`; TypeMismatch where it does not fit."""
    if dtype == bool_ and not isinstance(number, bool):
        raise TypeMismatch(f"{number!r} meets a bool", "compare first, or cast the bool")
    if dtype.is_integer and isinstance(number, float):
        raise TypeMismatch(
            f"the float {number!r} meets integers of {dtype.name}",
            "cast the integers first, e.g. x.cast(tw.f32)",
        )
    if dtype.is_integer and not dtype.min <= number <= dtype.max:
        raise TypeMismatch(
            f"{number} does not fit {dtype.name} ({dtype.min} … {dtype.max})",
            "cast the other side to a wider type",
        )
    return c.const(int(number) if dtype.is_integer else number, dtype)


def to_scalar(c: Context, held: Any, dtype: DType | None = None) -> Value:
    """`held` as a scalar value; a number takes `dtype`, or its default."""
    if is_number(held):
        return embed(c, held, dtype or default_dtype(held))
    if is_scalar(held):
        assert isinstance(held, Value)
        return held
    check_elementwise(held)
    single = is_tile(held) and prod(shape_of(held)) == 1
    raise TypeMismatch(
        f"a block-uniform scalar is needed here, not {label(held)}",
        "take its element: .item()"
        if single
        else "reduce the tile to one element first, e.g. with tw.sum",
    )


def to_index(c: Context, held: Any, what: str) -> Value:
    """`held` as an integer scalar of at least the index dtype."""
    found = to_scalar(c, held, c.index if not isinstance(held, float) else None)
    return widen_index(c, found, what)


def check_rows_start(tensor: Value, low: Any) -> None:
    """Rows of one element of less than 8 bits start within bytes: only a view from 0 exists."""
    kind = tensor.type
    assert isinstance(kind, TensorType)
    if kind.rank == 1 and kind.dtype.bits < 8 and low not in (None, 0):
        raise ShapeError(
            f"a view of {tensor.name or 'a tensor'} of {kind.dtype.name} that starts within a byte",
            "load at an offset instead, which may be any",
        )


def widen_index(c: Context, value: Value, what: str) -> Value:
    """An integer scalar or tile, cast to the index dtype where that is wider."""
    dtype = element_type(value)
    if not dtype.is_integer:
        raise TypeMismatch(
            f"{what} is an integer, not {dtype.name}", "use // for whole numbers, or .cast(tw.i32)"
        )
    return cast(c, value, c.index) if dtype.bits < c.index.bits else value


def cast(c: Context, value: Value, dtype: DType) -> Value:
    """`value` in another dtype; the same value where it has that already."""
    if element_type(value) == dtype:
        return value
    return c.emit(Cast(operand=value, dtype=dtype), value.name)


def adapt(c: Context, value: Value, dtype: DType) -> None:
    """Start over with `value` in `dtype` if it is a carried Python number, which adapts."""
    if value in c.free and not (element_type(value).is_float and dtype.is_integer):
        raise Retype(*c.free[value], ScalarType(dtype))


def narrow_index(c: Context, value: Value, dtype: DType) -> Value:
    """`value` on its way into storage of `dtype`: an i64 that an index made so goes into i32."""
    wide = c.index == i64 and element_type(value) == i64 and dtype == i32
    return cast(c, value, i32) if wide else value


def common_dtype(c: Context, values: list[Value]) -> DType:
    """The one dtype of `values`; TypeMismatch names two that differ."""
    first = values[0]
    for other in values[1:]:
        left, right = element_type(first), element_type(other)
        if left == right:
            continue
        if {left, right} <= {i32, i64}:
            first = first if left == i64 else other
            continue
        adapt(c, first, right)
        adapt(c, other, left)
        raise TypeMismatch(
            f"two dtypes meet: {label(first)} and {label(other)}", suggest_casts(first, other)
        )
    return element_type(first)


def unify_dtypes(c: Context, operands: tuple[Any, ...]) -> tuple[Value, ...]:
    """Operands as values of one dtype."""
    for held in operands:
        check_elementwise(held)
    values = [held for held in operands if isinstance(held, Value)]
    numbers = [held for held in operands if not isinstance(held, Value)]
    if values:
        dtype = common_dtype(c, values)
        if dtype.is_integer and any(isinstance(n, float) for n in numbers):
            for value in values:
                adapt(c, value, f32)
    elif any(isinstance(n, float) for n in numbers):
        dtype = f32
    else:
        dtype = max((default_dtype(n) for n in numbers), key=lambda d: (d.is_integer, d.bits))
    return tuple(
        cast(c, held, dtype) if isinstance(held, Value) else embed(c, held, dtype)
        for held in operands
    )


def common_shape(values: tuple[Value, ...]) -> Shape:
    """The shape that all of `values` broadcast to."""
    rank = max(len(shape_of(v)) for v in values)
    result = [1] * rank
    for value in values:
        shape = shape_of(value)
        for axis, extent in enumerate(shape, rank - len(shape)):
            if extent != 1 and result[axis] not in (1, extent):
                named = " and ".join(label(v) for v in values if is_tile(v))
                raise ShapeError(
                    f"shapes do not broadcast: {named}",
                    "axes are aligned from the last; insert an axis with x[:, None]",
                )
            result[axis] = extent if extent != 1 else result[axis]
    return tuple(result)


def broadcast_to(c: Context, value: Value, shape: Shape) -> Value:
    """A scalar or tile repeated to `shape`."""
    if isinstance(value.type, ScalarType):
        return c.emit(Full(value=value, shape=shape))
    have = shape_of(value)
    if have == shape:
        return value
    if len(have) < len(shape):
        have = (1,) * (len(shape) - len(have)) + have
        value = c.emit(Reshape(operand=value, shape=have), value.name)
    return value if have == shape else c.emit(Broadcast(operand=value, shape=shape), value.name)


def unify_shapes(c: Context, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values of one shape: all scalars stay scalars, else all become tiles."""
    if not any(is_tile(v) for v in values):
        return values
    shape = common_shape(values)
    return tuple(broadcast_to(c, v, shape) for v in values)


def unify(c: Context, *operands: Any) -> tuple[Value, ...]:
    """The operands of one elementwise instruction: one dtype, one shape."""
    return unify_shapes(c, unify_dtypes(c, operands))


def static_int(held: Any, what: str) -> int:
    """`held` as a static int; LanguageError says what must be one."""
    if isinstance(held, bool) or not isinstance(held, int):
        raise LanguageError(
            f"{what} is known while compiling, not {describe(held)}",
            "use a literal or a tw.Static argument",
        )
    return held


def static_shape(held: Any, what: str = "a tile's shape") -> Shape:
    """A static int or tuple of static ints ≥ 1 as a shape."""
    items = held if isinstance(held, tuple) else (held,)
    if isinstance(held, (Extents, Record)):
        items = (held,)
    shape = tuple(static_int(i, what) for i in items)
    if any(extent < 1 for extent in shape):
        raise ShapeError(f"{what} is {shape}: extents are at least 1")
    return shape


def static_dtype(held: Any, what: str) -> DType:
    """`held` as a dtype."""
    if not isinstance(held, DType):
        raise TypeMismatch(f"{what} is a dtype such as tw.f32, not {describe(held)}")
    return held
