"""Shared memory buffers and the asynchronous copies into and out of them.

A ring of S stages is a buffer whose leading axis has extent S; `buffer.at` picks one stage.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilewright.ir.barriers import BarrierState
from tilewright.ir.diagnostics import InterpretError, ShapeError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    Action,
    Effect,
    Instruction,
    Proxy,
    attribute,
    instruction,
    operand,
    operands,
)
from tilewright.ir.instructions.memory import check_region, region_index
from tilewright.ir.layout import Layout
from tilewright.ir.memory import BufferState, BufferView, TensorView
from tilewright.ir.numeric import Array, zero_of
from tilewright.ir.token import Token
from tilewright.ir.types import DType
from tilewright.ir.values import (
    BufferType,
    TileType,
    TokenType,
    Type,
    Value,
    buffer_type,
    element_type,
    scalar_type,
    shape_of,
    tile_type,
)


@instruction("buffer", phases=ANY)
class Alloc(Instruction):
    """A new buffer in shared memory, poison until written; `offset` is its place once planned."""

    shape: tuple[int, ...] = attribute()
    dtype: DType = attribute()
    layout: Layout | None = attribute(default=None)
    offset: int | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (BufferType(self.shape, self.dtype, self.layout),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("init", None),)

    def meaning(self) -> BufferView:
        return BufferView.whole(BufferState(self.shape, self.dtype))


@instruction("buffer.at", phases=ANY)
class At(Instruction):
    """The part of `buffer` at `index` along its leading axes (a ring's stage); it aliases."""

    buffer: Value = operand()
    index: tuple[Value, ...] = operands()

    def check(self) -> None:
        rank = len(buffer_type(self.buffer).shape)
        if len(self.index) > rank:
            raise ShapeError(f"{len(self.index)} indices for a buffer of rank {rank}")
        for index in self.index:
            if not scalar_type(index).dtype.is_integer:
                raise TypeMismatch("an index of a buffer is an integer")

    def result(self) -> tuple[Type, ...]:
        kind = buffer_type(self.buffer)
        taken = len(self.index)
        layout = kind.layout
        if layout is not None:  # it may be larger than the buffer
            rest = layout.shape[taken:]
            layout = layout.slice((0,) * layout.rank, (1,) * taken + rest).group(rest)
        return (BufferType(kind.shape[taken:], kind.dtype, layout),)

    def meaning(self, buffer: BufferView, index: tuple[Array, ...]) -> BufferView:
        for i, extent in zip(index, buffer.shape, strict=False):
            if not 0 <= int(i) < extent:
                raise InterpretError(f"index {int(i)} of a buffer's {extent} stages")
        return buffer.at(tuple(int(i) for i in index))


@instruction("buffer.part", phases=ANY)
class Part(Instruction):
    """buffer[start : start + shape], with compile-time places; it aliases."""

    buffer: Value = operand()
    start: tuple[int, ...] = attribute()
    shape: tuple[int, ...] = attribute()

    def check(self) -> None:
        have = buffer_type(self.buffer).shape
        ends = tuple(s + n for s, n in zip(self.start, self.shape, strict=True))
        if len(ends) != len(have) or any(e > h for e, h in zip(ends, have, strict=True)):
            raise ShapeError(f"part {self.start} + {self.shape} leaves a buffer of shape {have}")

    def result(self) -> tuple[Type, ...]:
        kind = buffer_type(self.buffer)
        layout = None if kind.layout is None else kind.layout.slice(self.start, self.shape)
        return (BufferType(self.shape, kind.dtype, layout),)

    def meaning(self, buffer: BufferView) -> BufferView:
        return buffer.at(
            tuple(slice(s, s + n) for s, n in zip(self.start, self.shape, strict=True))
        )


@instruction("buffer.block", phases=ANY)
class Block(Instruction):
    """buffer[.., index * size : (index + 1) * size, ..] along `axis`; it aliases."""

    buffer: Value = operand()
    index: Value = operand()
    axis: int = attribute()
    size: int = attribute()

    def check(self) -> None:
        have = buffer_type(self.buffer).shape
        if not 0 <= self.axis < len(have) or have[self.axis] % self.size:
            raise ShapeError(f"blocks of {self.size} along axis {self.axis} of a buffer {have}")

    def result(self) -> tuple[Type, ...]:
        kind = buffer_type(self.buffer)
        shape = _resized(kind.shape, self.axis, self.size)
        layout = kind.layout
        if layout is not None:  # it may be larger than the buffer
            layout = layout.slice((0,) * len(shape), _resized(layout.shape, self.axis, self.size))
        return (BufferType(shape, kind.dtype, layout),)

    def meaning(self, buffer: BufferView, index: Array) -> BufferView:
        start = int(index) * self.size
        return buffer.at((*(slice(None),) * self.axis, slice(start, start + self.size)))


def _resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


@instruction("buffer.transpose", phases=ANY)
class BufferTranspose(Instruction):
    """`buffer` with its axes permuted; it aliases."""

    buffer: Value = operand()
    axes: tuple[int, ...] = attribute()

    def check(self) -> None:
        have = buffer_type(self.buffer).shape
        if sorted(self.axes) != list(range(len(have))):
            raise ShapeError(f"axes {self.axes} do not permute a buffer of shape {have}")

    def result(self) -> tuple[Type, ...]:
        kind = buffer_type(self.buffer)
        layout = None if kind.layout is None else kind.layout.permute(*self.axes)
        return (replace(kind, shape=tuple(kind.shape[a] for a in self.axes), layout=layout),)

    def meaning(self, buffer: BufferView) -> BufferView:
        return buffer.transposed(self.axes)


@instruction("buffer.load", phases=ANY)
class BufferLoad(Instruction):
    """result[i] = buffer[i]"""

    buffer: Value = operand()

    def check(self) -> None:
        buffer_type(self.buffer)

    def result(self) -> tuple[Type, ...]:
        return (TileType(shape_of(self.buffer), element_type(self.buffer)),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("read", self.buffer),)

    def meaning(self, buffer: BufferView) -> Array:
        return buffer.read()


@instruction("buffer.store", phases=ANY)
class BufferStore(Instruction):
    """buffer[i] = value[i]"""

    buffer: Value = operand()
    value: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("write", self.buffer),)

    def check(self) -> None:
        if buffer_type(self.buffer).shape != tile_type(self.value).shape:
            raise ShapeError(
                f"a tile of shape {shape_of(self.value)} into a buffer of {shape_of(self.buffer)}"
            )
        if element_type(self.buffer) != element_type(self.value):
            raise TypeMismatch("the buffer and the tile stored into it have one dtype")

    def meaning(self, buffer: BufferView, value: Array) -> None:
        buffer.write(value)


@instruction("copy", phases=ANY)
class Copy(Instruction):
    """Starts buffer[i] = tensor[offsets + i] (0 outside the view); poison until the token's wait.

    `path` is how: "cp_async" by all lanes, "tma" by one lane through a tensor map, "bulk" (linear).
    "plain" is loads and stores of all lanes. With `barrier` (tma, bulk) the buffer's bytes complete
    barrier[slot], which expects them, and nobody waits for the token. An offset that is a 1-D tile
    gathers. `when` false copies nothing. `width` is the bytes of one access, once chosen.
    """

    tensor: Value = operand()
    offsets: tuple[Value, ...] = operands()
    buffer: Value = operand()
    barrier: Value | None = operand(default=None)
    slot: Value | None = operand(default=None)
    when: Value | None = operand(default=None)
    path: str = attribute(default="cp_async")
    bounds: tuple[bool, ...] | None = attribute(default=None)
    width: int | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (TokenType(),)

    def effects(self) -> tuple[Effect, ...]:
        proxy: Proxy = "generic" if self.path in ("cp_async", "plain") else "async"
        found = (
            Effect("read", self.tensor, proxy, "token"),
            Effect("write", self.buffer, proxy, "token"),
        )
        if self.barrier is None:
            return found
        return (*found, Effect("arrive", self.barrier, proxy, "token"))

    def check(self) -> None:
        _check_copy(self.tensor, self.offsets, self.buffer)
        if (self.barrier is None) != (self.slot is None):
            raise TypeMismatch("a copy that completes a barrier names the barrier and the slot")
        if self.barrier is not None and self.path in ("cp_async", "plain"):
            raise TypeMismatch(
                f"the bytes of a {self.path} copy complete no barrier",
                'copy by path="tma", or arrive at the barrier after the copy\'s token',
            )

    @property
    def bytes(self) -> int:
        """The bytes that complete the barrier: the whole buffer, also where it is clipped."""
        return prod(shape_of(self.buffer)) * element_type(self.buffer).bits // 8

    def meaning(
        self,
        tensor: TensorView,
        offsets: tuple[Array, ...],
        buffer: BufferView,
        barrier: BarrierState | None,
        slot: Array | None,
        when: Array | None,
    ) -> Token:
        if when is not None and not bool(when):
            return Token(lambda: None)
        index = region_index(offsets, shape_of(self.buffer))
        values = tensor.read(index, zero_of(tensor.dtype))
        buffer.begin()
        token = Token(lambda: buffer.finish(values))
        if barrier is not None:
            assert slot is not None
            barrier.attach(int(slot), token, size=self.bytes)
        return token


@instruction("copy.out", phases=ANY)
class CopyOut(Instruction):
    """Starts tensor[offsets + i] = buffer[i], or op(that, buffer[i]) with `reduce` (add, min, max).

    The buffer is pinned until a wait for the token's reads; a whole wait makes the writes visible.
    """

    buffer: Value = operand()
    tensor: Value = operand()
    offsets: tuple[Value, ...] = operands()
    path: str = attribute(default="tma")
    reduce: str | None = attribute(default=None)
    bounds: tuple[bool, ...] | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (TokenType(),)

    def effects(self) -> tuple[Effect, ...]:
        action: Action = "write" if self.reduce is None else "atomic"
        return (
            Effect("read", self.buffer, "async", "token"),
            Effect(action, self.tensor, "async", "token"),
        )

    def check(self) -> None:
        _check_copy(self.tensor, self.offsets, self.buffer)
        if self.reduce not in (None, "add", "min", "max"):
            raise TypeMismatch(f"a copy reduces by add, min or max, not {self.reduce}")

    def meaning(self, buffer: BufferView, tensor: TensorView, offsets: tuple[Array, ...]) -> Token:
        values = buffer.pin()
        index = region_index(offsets, shape_of(self.buffer))

        def finish() -> None:
            if self.reduce is None:
                tensor.write(index, values)
            else:
                tensor.update(self.reduce, index, values, None)

        token = Token(finish, buffer.unpin)
        buffer.state.leaving.append(token)
        return token


def _check_copy(tensor: Value, offsets: tuple[Value, ...], buffer: Value) -> None:
    kind = buffer_type(buffer)
    check_region(tensor, offsets, kind.shape)
    if kind.dtype != element_type(tensor):
        raise TypeMismatch(
            f"a copy between {element_type(tensor).name} and {kind.dtype.name} elements",
            "a copy moves bits: give both one dtype",
        )
