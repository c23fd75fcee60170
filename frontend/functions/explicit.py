"""The explicit level: shared buffers, asynchronous copies, barriers."""

from __future__ import annotations

from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import Barrier, Buffer
from tilewright.frontend.context import Context
from tilewright.frontend.functions.layouts import to_layout
from tilewright.frontend.functions.memory import to_offsets
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import (
    is_tile,
    static_dtype,
    static_int,
    static_shape,
    to_index,
    to_scalar,
)
from tilewright.frontend.values import describe
from tilewright.ir.diagnostics import LanguageError, ShapeError, TypeMismatch
from tilewright.ir.instructions import sync
from tilewright.ir.instructions.buffer import Alloc, BufferLoad, BufferStore, Copy, CopyOut
from tilewright.ir.instructions.memory import Subview
from tilewright.ir.values import (
    BarrierType,
    BufferType,
    ScalarType,
    TensorType,
    TokenType,
    Value,
    element_type,
    shape_of,
)

PATHS = ("cp_async", "tma", "bulk")


@implement(language.shared)
def _shared(c: Context, shape: Any, dtype: Any, layout: Any) -> Value:
    wanted = static_shape(shape, "a buffer's shape")
    kind = static_dtype(dtype, "the dtype of a buffer")
    place = None if layout is None else to_layout(layout, wanted)
    return c.emit(Alloc(shape=wanted, dtype=kind, layout=place))


@implement(Buffer.load)
def _load(c: Context, self: Value) -> Value:
    return c.emit(BufferLoad(buffer=self))


@implement(Buffer.store)
def _store(c: Context, self: Value, value: Any) -> None:
    if not is_tile(value):
        raise TypeMismatch(f"a buffer takes a tile, not {describe(value)}")
    c.emit_all(BufferStore(buffer=self, value=value))


def _is(held: Any, kind: type) -> bool:
    return isinstance(held, Value) and isinstance(held.type, kind)


@implement(language.copy)
def _copy(
    c: Context, source: Any, offsets: Any, target: Any, path: Any, barrier: Any, slot: Any
) -> Value:
    if path is not None and path not in PATHS:
        raise LanguageError(
            f"path={describe(path)} is unknown", f"choose one of {', '.join(PATHS)}"
        )
    if _is(source, BufferType) and _is(target, TensorType):
        if barrier is not None:
            raise LanguageError("a copy into a tensor signals no barrier", "wait for its token")
        tensor, places = _region(c, target, offsets, len(shape_of(source)))
        _check_dtypes(source, tensor)
        made = CopyOut(buffer=source, tensor=tensor, offsets=places, path=path or "tma")
        return c.emit(made)
    if not _is(source, TensorType) or not _is(target, BufferType):
        raise TypeMismatch(
            f"tw.copy goes between a tensor and a buffer, not from {describe(source)} to "
            f"{describe(target)}",
            "write tw.copy(tensor, offsets, buffer) or tw.copy(buffer, offsets, tensor)",
        )
    tensor, places = _region(c, source, offsets, len(shape_of(target)))
    _check_dtypes(target, tensor)
    at = None if barrier is None else to_index(c, 0 if slot is None else slot, "a slot")
    if barrier is not None and not _is(barrier, BarrierType):
        raise TypeMismatch(f"barrier= is a barrier, not {describe(barrier)}")
    return c.emit(
        Copy(
            tensor=tensor,
            offsets=places,
            buffer=target,
            barrier=barrier,
            slot=at,
            path=path or ("cp_async" if barrier is None else "tma"),
        )
    )


def _region(c: Context, tensor: Value, offsets: Any, rank: int) -> tuple[Value, tuple[Value, ...]]:
    """Leading offsets that the buffer has no axis for pick a view of fewer axes."""
    places = to_offsets(c, tensor, offsets)
    missing = len(places) - rank
    if missing < 0:
        raise ShapeError(
            f"a buffer of {rank} axes for {tensor.name or 'a tensor'} of rank {len(places)}"
        )
    view = tensor
    for place in places[:missing]:
        if not isinstance(place.type, ScalarType):
            raise ShapeError("an index tile stands at an axis that the buffer lacks")
        view = c.emit(Subview(tensor=view, index=place), tensor.name)
    return view, places[missing:]


def _check_dtypes(buffer: Value, tensor: Value) -> None:
    left, right = element_type(buffer), element_type(tensor)
    if left != right:
        raise TypeMismatch(
            f"a copy between {tensor.name or 'a tensor'} of {right.name} and "
            f"{buffer.name or 'a buffer'} of {left.name}",
            "a copy moves bits: give both one dtype",
        )


@implement(language.done)
def _done(c: Context) -> Value:
    return c.emit(sync.TokenDone())


@implement(language.barrier)
def _barrier(c: Context, size: Any, count: Any) -> Value:
    held = static_int(size, "the size of a barrier"), static_int(count, "the count of a barrier")
    if min(held) < 1:
        raise LanguageError(f"tw.barrier({held[0]}, {held[1]}): both are at least 1")
    return c.emit(sync.Barrier(size=held[0], count=held[1]))


@implement(language.arrive)
def _arrive(c: Context, barrier: Any, slot: Any, arrivals: Any, expect: Any) -> None:
    if not _is(barrier, BarrierType):
        raise TypeMismatch(f"tw.arrive wants a barrier, not {describe(barrier)}")
    at = to_index(c, slot, "a slot")
    count, bytes_ = static_int(arrivals, "arrivals"), static_int(expect, "expect")
    c.emit_all(sync.Arrive(barrier=barrier, slot=at, arrivals=count, expect=bytes_))


@implement(Barrier.arrive)
def _arrive_method(c: Context, self: Value, slot: Any, arrivals: Any, expect: Any) -> None:
    _arrive(c, self, slot, arrivals, expect)


@implement(Barrier.wait)
def _wait_barrier(c: Context, self: Value, slot: Any, parity: Any) -> None:
    at, phase = to_index(c, slot, "a slot"), to_scalar(c, parity)
    c.emit_all(sync.BarrierWait(barrier=self, slot=at, parity=phase))


@implement(language.wait)
def _wait(c: Context, waited: tuple[Any, ...] = ()) -> None:
    if waited and _is(waited[0], BarrierType):
        if len(waited) != 3:
            raise LanguageError("tw.wait(barrier, slot, parity) takes three arguments")
        _wait_barrier(c, *waited)
        return
    tokens = tuple(t for w in waited for t in (w if isinstance(w, tuple) else (w,)))
    for token in tokens:
        if not _is(token, TokenType):
            raise TypeMismatch(
                f"tw.wait waits for tokens of tw.copy, or a barrier, not {describe(token)}"
            )
    if not tokens:
        raise LanguageError("tw.wait without anything to wait for", "pass the token of tw.copy")
    c.emit_all(sync.Wait(tokens=tokens, pending=()))
