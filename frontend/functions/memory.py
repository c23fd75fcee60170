"""Loads and stores of tiles, gathers and scatters, and what a tensor says about itself."""

from __future__ import annotations

from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import Tensor
from tilewright.frontend.context import Context
from tilewright.frontend.functions.layouts import placed
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import (
    Shape,
    broadcast_to,
    check_rows_start,
    common_shape,
    has_elements,
    is_tile,
    narrow_index,
    static_int,
    static_shape,
    to_index,
    to_scalar,
    unify_shapes,
    widen_index,
)
from tilewright.frontend.values import Extents, describe, is_number, label
from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instructions.memory import Gather, Load, Rows, Scatter, Store
from tilewright.ir.instructions.scalar import Stride
from tilewright.ir.instructions.shape import Reshape
from tilewright.ir.types import DType, bool_
from tilewright.ir.values import (
    TensorType,
    Value,
    element_type,
    shape_of,
    tensor_type,
)


def to_tensor(held: Any, what: str) -> Value:
    """`held` as a tensor; TypeMismatch says what wants one."""
    if isinstance(held, Value) and isinstance(held.type, TensorType):
        return held
    raise TypeMismatch(f"{what} a tensor, not {describe(held)}")


def to_offsets(c: Context, tensor: Value, held: Any) -> tuple[Value, ...]:
    """One offset per axis: index scalars, or 1-D index tiles."""
    items = held if isinstance(held, tuple) else (held,)
    rank = tensor_type(tensor).rank
    if len(items) != rank:
        raise ShapeError(
            f"{len(items)} offsets for {tensor.name or 'a tensor'} of rank {rank}",
            "give one offset per axis of the tensor",
        )
    return tuple(_to_offset(c, item) for item in items)


def _to_offset(c: Context, held: Any) -> Value:
    if is_tile(held):
        if len(shape_of(held)) != 1:
            raise ShapeError(
                f"an index tile of a load or store has one axis: {label(held)}",
                "use tw.gather or tw.scatter for index tiles of more axes",
            )
        return widen_index(c, held, "an offset")
    return to_index(c, held, "an offset")


def lead_with_ones(tensor: Value, offsets: tuple[Value, ...], shape: Shape) -> Shape:
    """`shape` with an extent of 1 for each leading axis that it lacks."""
    missing = len(offsets) - len(shape)
    if missing < 0:
        raise ShapeError(
            f"a tile of shape {shape} for {tensor.name or 'a tensor'} of rank {len(offsets)}",
            "a tile has at most as many axes as the tensor; reshape it",
        )
    if any(is_tile(offset) for offset in offsets[:missing]):
        raise ShapeError(
            f"an index tile stands at an axis that shape {shape} lacks",
            "give one extent per axis of the tensor",
        )
    return (1,) * missing + shape


@implement(language.load)
def _load(c: Context, tensor: Any, offsets: Any, shape: Any, other: Any, layout: Any) -> Value:
    source = to_tensor(tensor, "tw.load reads")
    places = to_offsets(c, source, offsets)
    wanted = static_shape(shape)
    whole = lead_with_ones(source, places, wanted)
    fill = None if other is None else _fill(c, source, other)
    made = Load(tensor=source, offsets=places, other=fill, shape=whole)
    if whole == wanted:
        return placed(c, made, layout)
    return placed(c, Reshape(operand=c.emit(made), shape=wanted), layout)


def _fill(c: Context, tensor: Value, other: Any) -> Value:
    """`other=` of a load, in the tensor's dtype."""
    found = narrow_index(c, to_scalar(c, other, element_type(tensor)), element_type(tensor))
    if element_type(found) != element_type(tensor):
        raise TypeMismatch(
            f"other={label(found)} for {tensor.name or 'a tensor'} of {element_type(tensor).name}",
            f"cast it: .cast({tensor.name or 'tensor'}.dtype)",
        )
    return found


@implement(language.store)
def _store(c: Context, tensor: Any, offsets: Any, value: Any) -> None:
    target = to_tensor(tensor, "tw.store writes")
    if not is_tile(value):
        raise TypeMismatch(
            f"tw.store writes a tile, not {describe(value)}",
            "write one element with tensor[i] = value, or make a tile with tw.full",
        )
    places = to_offsets(c, target, offsets)
    shape = lead_with_ones(target, places, shape_of(value))
    if shape != shape_of(value):
        value = c.emit(Reshape(operand=value, shape=shape), value.name)
    value = narrow_index(c, value, element_type(target))
    c.emit_all(Store(tensor=target, offsets=places, value=value))


def to_places(c: Context, tensor: Value, held: Any) -> tuple[Value, ...]:
    """One index per axis of `tensor`, all of one shape: tiles, or all scalars."""
    items = held if isinstance(held, tuple) else (held,)
    rank = tensor_type(tensor).rank
    if len(items) != rank:
        raise ShapeError(
            f"{len(items)} indices for {tensor.name or 'a tensor'} of rank {rank}",
            "give one index tile or scalar per axis of the tensor",
        )
    found = tuple(
        widen_index(c, i, "an index") if is_tile(i) else to_index(c, i, "an index") for i in items
    )
    return unify_shapes(c, found)


def to_mask(c: Context, held: Any, shape: Shape) -> Value | None:
    """`mask=` as a bool tile of `shape`."""
    if held is None or held is True:
        return None
    if not (has_elements(held) or is_number(held)) or _dtype_of(held) != bool_:
        raise TypeMismatch(f"a mask is a bool tile, not {describe(held)}", "compare first")
    found = held if isinstance(held, Value) else to_scalar(c, held, bool_)
    return broadcast_to(c, found, shape) if shape else found


def _dtype_of(held: Any) -> DType | None:
    if isinstance(held, Value):
        return element_type(held)
    return bool_ if isinstance(held, bool) else None


@implement(language.gather)
def _gather(c: Context, tensor: Any, index: Any, mask: Any, other: Any) -> Value:
    source = to_tensor(tensor, "tw.gather reads")
    places = to_places(c, source, index)
    if not is_tile(places[0]):
        raise TypeMismatch("tw.gather takes index tiles", "read one element with tensor[i, j]")
    holds = to_mask(c, mask, shape_of(places[0]))
    fill = None if other is None else _fill(c, source, other)
    return c.emit(Gather(tensor=source, index=places, mask=holds, other=fill))


@implement(language.scatter)
def _scatter(c: Context, tensor: Any, index: Any, value: Any, mask: Any) -> None:
    target = to_tensor(tensor, "tw.scatter writes")
    places = to_places(c, target, index)
    made, places = fit_values(c, target, places, value)
    if not is_tile(made):
        raise TypeMismatch("tw.scatter takes index tiles", "write one element with tensor[i] = x")
    holds = to_mask(c, mask, shape_of(made))
    c.emit_all(Scatter(tensor=target, index=places, value=made, mask=holds))


def fit_values(
    c: Context, tensor: Value, places: tuple[Value, ...], held: Any
) -> tuple[Value, tuple[Value, ...]]:
    """A value of the tensor's dtype and the indices, of one shape; tiles want index tiles."""
    dtype = element_type(tensor)
    if has_elements(held):
        held = narrow_index(c, held, dtype)
    if has_elements(held) and element_type(held) != dtype:
        raise TypeMismatch(
            f"{label(held)} into {tensor.name or 'a tensor'} of {dtype.name}",
            f"cast it: .cast({tensor.name or 'tensor'}.dtype)",
        )
    value: Value = held if has_elements(held) else to_scalar(c, held, dtype)
    if is_tile(value) and not is_tile(places[0]):
        raise ShapeError(
            f"{label(value)} at one place of {tensor.name or 'a tensor'}",
            "give index tiles (tw.arange), or reduce the tile first",
        )
    if not is_tile(places[0]):
        return value, places
    shape = common_shape((*places, value))
    return broadcast_to(c, value, shape), tuple(broadcast_to(c, p, shape) for p in places)


@implement(language.rows)
def _rows(c: Context, tensor: Any, low: Any, high: Any) -> Value:
    source = to_tensor(tensor, "tw.rows views")
    check_rows_start(source, low)
    first = to_index(c, low, "the first row")
    last = to_index(c, high, "the last row")
    return c.emit(Rows(tensor=source, low=first, high=last), source.name)


@implement(Tensor.shape)
def _shape(c: Context, tensor: Value) -> Extents:
    return Extents(tensor, tensor_type(tensor).rank)


@implement(Tensor.dtype)
def _dtype(c: Context, tensor: Value) -> DType:
    return element_type(tensor)


@implement(Tensor.rank)
def _rank(c: Context, tensor: Value) -> int:
    return tensor_type(tensor).rank


@implement(Tensor.stride)
def _stride(c: Context, self: Value, axis: Any) -> Value | int:
    at, kind = static_int(axis, "the axis of a stride"), tensor_type(self)
    if not -kind.rank <= at < kind.rank:
        raise ShapeError(f"axis {at} of {self.name or 'a tensor'} of rank {kind.rank}")
    fixed = kind.strides[at]
    if fixed in ("0", "1"):
        return int(fixed)
    return c.emit(Stride(tensor=self, axis=at % kind.rank, dtype=c.index))
