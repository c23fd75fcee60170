"""Subscripts: slices of tiles, elements and views of tensors, stages and parts of buffers."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.context import Context
from tilewright.frontend.operands import (
    check_rows_start,
    is_scalar,
    narrow_index,
    static_int,
    to_index,
    to_scalar,
)
from tilewright.frontend.values import Extents, describe, is_number, is_static, label
from tilewright.ir.diagnostics import LanguageError, ShapeError, TypeMismatch
from tilewright.ir.instructions.buffer import At, BufferStore, Part
from tilewright.ir.instructions.memory import Element, ElementStore, Rows, Subview
from tilewright.ir.instructions.shape import Reshape, Slice
from tilewright.ir.values import (
    BufferType,
    TensorType,
    TileType,
    Value,
    element_type,
    shape_of,
    tensor_type,
)

WHOLE = slice(None, None, None)


def subscript(c: Context, held: Any, index: Any) -> Any:
    """`held[index]`."""
    if isinstance(held, Extents):
        return _extent(c, held, index)
    if not isinstance(held, Value):
        return _static_item(held, index)
    items = index if isinstance(index, tuple) else (index,)
    match held.type:
        case TileType():
            return _slice_tile(c, held, items)
        case TensorType():
            return _index_tensor(c, held, items)
        case BufferType():
            return _index_buffer(c, held, items)
    raise TypeMismatch(f"{label(held)} has no elements to take")


def assign_item(c: Context, held: Any, index: Any, value: Any) -> None:
    """`held[index] = value`."""
    items = index if isinstance(index, tuple) else (index,)
    if isinstance(held, Value) and isinstance(held.type, TensorType):
        places = _full_index(c, held, items)
        made = narrow_index(c, to_scalar(c, value, held.type.dtype), held.type.dtype)
        if element_type(made) != held.type.dtype:
            raise TypeMismatch(
                f"a {element_type(made).name} into {held.name or 'a tensor'} of "
                f"{held.type.dtype.name}",
                f"cast it: .cast({held.name or 'tensor'}.dtype)",
            )
        c.emit_all(ElementStore(tensor=held, index=places, value=made))
    elif isinstance(held, Value) and isinstance(held.type, BufferType):
        if not isinstance(value, Value) or not isinstance(value.type, TileType):
            raise TypeMismatch(f"a buffer takes a tile, not {describe(value)}")
        c.emit_all(BufferStore(buffer=_index_buffer(c, held, items), value=value))
    else:
        raise LanguageError(
            f"{describe(held)} is immutable",
            "tiles and tuples are values: make a new one, e.g. with tw.where",
        )


def _static_item(held: Any, index: Any) -> Any:
    if not isinstance(held, (tuple, str, range)):
        raise TypeMismatch(f"{describe(held)} has no elements to take")
    if not (is_static(index) and isinstance(index, (int, slice))):
        raise LanguageError(
            f"an index into a tuple is known while compiling, not {describe(index)}",
            "tuples live at compile time: use tw.static_range for the index",
        )
    try:
        return held[index]
    except IndexError:
        raise ShapeError(f"index {index} of a tuple of length {len(held)}") from None


def _extent(c: Context, held: Extents, index: Any) -> Any:
    axes = range(held.rank)
    if isinstance(index, slice):
        return tuple(c.extent(held.tensor, axis) for axis in axes[index])
    at = static_int(index, "the axis of a shape")
    if not -held.rank <= at < held.rank:
        raise ShapeError(f"axis {at} of {held.tensor.name or 'a tensor'} of rank {held.rank}")
    return c.extent(held.tensor, at % held.rank)


def _spread(items: tuple[Any, ...], rank: int, what: str) -> list[Any]:
    """`items` with `...` and missing trailing axes written out as whole slices."""
    taken = sum(1 for item in items if item is not None and item is not Ellipsis)
    if taken > rank:
        raise ShapeError(f"{taken} indices for {what} of rank {rank}")
    rest = [WHOLE] * (rank - taken)
    if Ellipsis not in [i for i in items if i is Ellipsis]:
        return [*items, *rest]
    at = next(n for n, item in enumerate(items) if item is Ellipsis)
    return [*items[:at], *rest, *items[at + 1 :]]


def _slice_tile(c: Context, tile: Value, items: tuple[Any, ...]) -> Value:
    """Static slices, static places (their axis goes), new axes at `None`."""
    extents = iter(shape_of(tile))
    start: list[int] = []
    taken: list[int] = []
    result: list[int] = []
    for item in _spread(items, len(shape_of(tile)), label(tile)):
        if item is None:
            result.append(1)
            continue
        first, count = _static_part(item, next(extents), tile)
        start.append(first)
        taken.append(count)
        if isinstance(item, slice):
            result.append(count)
    if tuple(taken) != shape_of(tile):
        tile = c.emit(Slice(operand=tile, start=tuple(start), shape=tuple(taken)))
    if tuple(result) != shape_of(tile):
        tile = c.emit(Reshape(operand=tile, shape=tuple(result)))
    return tile


def _static_part(item: Any, extent: int, owner: Value) -> tuple[int, int]:
    """Start and count that a static int or slice takes of an axis."""
    if isinstance(item, slice):
        if not is_static((item.start, item.stop, item.step)):
            raise LanguageError(
                f"a slice of {label(owner)} has static bounds",
                "load the part that you need at a dynamic offset instead",
            )
        places = range(extent)[item]
        if places.step != 1 or len(places) == 0:
            raise ShapeError(f"a slice of {label(owner)} takes at least 1 element, with step 1")
        return places.start, len(places)
    if not is_static(item) or not isinstance(item, int):
        raise LanguageError(
            f"an index into {label(owner)} is known while compiling, not {describe(item)}",
            "gather from the tensor with tw.gather, or select with tw.where",
        )
    if not -extent <= item < extent:
        raise ShapeError(f"index {item} of an axis of extent {extent}")
    return item % extent, 1


def _index_tensor(c: Context, tensor: Value, items: tuple[Any, ...]) -> Value:
    """All scalars: an element. Fewer: a view. A slice of axis 0: a view of rows."""
    rank = tensor_type(tensor).rank
    spread = _spread(items, rank, tensor.name or "a tensor")
    if not any(isinstance(i, slice) for i in spread):
        return c.emit(Element(tensor=tensor, index=_full_index(c, tensor, items)))
    view, axis = tensor, 0
    for item in spread:
        if isinstance(item, slice):
            if item != WHOLE:
                view = _view_rows(c, view, axis, item)
            axis += 1
        else:
            index = _place(c, tensor, item)
            view = c.emit(Subview(tensor=view, index=index, axis=axis), tensor.name)
    return view


def _view_rows(c: Context, view: Value, axis: int, item: slice) -> Value:
    if axis != 0 or item.step is not None:
        raise LanguageError(
            f"a slice of {view.name or 'a tensor'} is along its first axis, with step 1",
            "load a tile of it: tw.load(tensor, offsets, shape)",
        )
    check_rows_start(view, item.start)
    low = to_index(c, 0 if item.start is None else item.start, "the start of a slice")
    stop = c.extent(view, 0) if item.stop is None else item.stop
    high = to_index(c, stop, "the end of a slice")
    return c.emit(Rows(tensor=view, low=low, high=high), view.name)


def _full_index(c: Context, tensor: Value, items: tuple[Any, ...]) -> tuple[Value, ...]:
    rank, name = tensor_type(tensor).rank, tensor.name or "a tensor"
    hint = "an element has one scalar index per axis; tiles move by tw.load and tw.store"
    if any(isinstance(item, slice) or item is Ellipsis for item in items):
        raise ShapeError(f"a slice of {name} is no tile", hint)
    if len(items) != rank:
        raise ShapeError(f"{len(items)} indices for {name} of rank {rank}", hint)
    for axis, item in enumerate(items):
        if is_number(item) and item < 0:
            owner = tensor.name or "tensor"
            raise ShapeError(
                f"index {item} lies before the start of {name}",
                f"count from the end by {owner}.shape[{axis}] - {-item}",
            )
    return tuple(_place(c, tensor, item) for item in items)


def _place(c: Context, tensor: Value, item: Any) -> Value:
    if is_scalar(item) or is_number(item):
        return to_index(c, item, "an index")
    name = tensor.name or "tensor"
    raise TypeMismatch(
        f"an index of {name} is a scalar, not {describe(item)}",
        f"take a tile of elements with tw.gather({name}, index) or rows with tw.load",
    )


def _index_buffer(c: Context, buffer: Value, items: tuple[Any, ...]) -> Value:
    """Leading scalars pick a stage, static slices of the rest a part; both alias."""
    spread = _spread(items, len(shape_of(buffer)), label(buffer))
    lead = 0
    while lead < len(spread) and not isinstance(spread[lead], slice):
        lead += 1
    if lead:
        for item, extent in zip(spread[:lead], shape_of(buffer), strict=False):
            if is_number(item) and not 0 <= item < extent:
                raise ShapeError(f"index {item} of {label(buffer)}", f"it has 0 ... {extent - 1}")
        index = tuple(_place(c, buffer, item) for item in spread[:lead])
        buffer = c.emit(At(buffer=buffer, index=index), buffer.name)
    rest = spread[lead:]
    if all(item == WHOLE for item in rest):
        return buffer
    parts = [_static_part(i, n, buffer) for i, n in zip(rest, shape_of(buffer), strict=True)]
    start, shape = tuple(p[0] for p in parts), tuple(p[1] for p in parts)
    return c.emit(Part(buffer=buffer, start=start, shape=shape), buffer.name)
