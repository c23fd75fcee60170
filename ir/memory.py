"""Memory as the interpreter sees it: tensor views with bounds, buffers with poison.

A `TensorView` wraps an array of decoded values of the tensor's logical shape; slices of it alias.
Reads outside the view give `other`, writes outside are dropped. A `BufferState` is shared memory:
elements are poison until written, and while an asynchronous copy into them is in flight; they are
pinned while an asynchronous instruction reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.numeric import Array, numpy_class, poison, round_to
from tilewright.ir.token import Token
from tilewright.ir.types import DType


@dataclass(frozen=True)
class TensorView:
    """Decoded elements of a tensor argument, or of a view of it."""

    values: Array
    dtype: DType

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def element_stride(self, axis: int) -> int:
        return self.values.strides[axis] // self.values.itemsize

    def read(self, index: tuple[Array, ...], other: Array) -> Array:
        """values[index] where every coordinate lies inside, else `other`; index broadcasts."""
        index = tuple(np.broadcast_arrays(*index))
        inside = self._inside(index)
        safe = tuple(np.where(inside, i, 0) for i in index)
        if self.values.size == 0:
            return np.broadcast_to(other, inside.shape).astype(numpy_class(self.dtype))
        return np.where(inside, self.values[safe], other)

    def write(self, index: tuple[Array, ...], values: Array, mask: Array | None = None) -> None:
        """values[index] = values, dropping coordinates outside the view."""
        index, values, inside = self._writable(index, values, mask)
        self.values[tuple(i[inside] for i in index)] = values[inside]

    def update(self, op: str, index: tuple[Array, ...], values: Array, mask: Array | None) -> Array:
        """Atomically combine `values` into the view in row-major order; gives the old values."""
        index, values, inside = self._writable(index, values, mask)
        old = np.zeros(values.shape, numpy_class(self.dtype))
        for part in _rounds(tuple(i[inside] for i in index), self.shape):
            chosen = tuple(np.argwhere(inside)[part].T)
            where = tuple(i[chosen] for i in index)
            old[chosen] = self.values[where]
            self.values[where] = ATOMIC[op](self.dtype, old[chosen], values[chosen])
        return old

    def _writable(
        self, index: tuple[Array, ...], values: Array, mask: Array | None
    ) -> tuple[tuple[Array, ...], Array, Array]:
        shape = np.broadcast_shapes(*(i.shape for i in index), values.shape)
        index = tuple(np.broadcast_to(i, shape) for i in index)
        inside = self._inside(index)
        if mask is not None:
            inside = inside & mask
        return index, np.broadcast_to(values, shape), inside

    def _inside(self, index: tuple[Array, ...]) -> Array:
        inside = np.ones(np.shape(index[0]), np.bool_)
        for i, extent in zip(index, self.values.shape, strict=True):
            inside &= (i >= 0) & (i < extent)
        return inside


def _rounds(index: tuple[Array, ...], shape: tuple[int, ...]) -> Iterator[Array]:
    """Positions of `index` in rounds that meet no place twice, each place's in its order."""
    places = np.ravel_multi_index(index, shape) if len(index[0]) else np.zeros(0, np.int64)
    left = np.arange(len(places))
    while len(left):
        _, first = np.unique(places[left], return_index=True)
        yield left[np.sort(first)]
        left = np.delete(left, first)


ATOMIC: dict[str, Callable[[DType, Any, Any], Any]] = {
    "add": lambda dtype, old, new: round_to(dtype, np.asarray(old + new)),
    "max": lambda dtype, old, new: np.fmax(old, new),
    "min": lambda dtype, old, new: np.fmin(old, new),
    "or": lambda dtype, old, new: old | new,
    "and": lambda dtype, old, new: old & new,
    "exchange": lambda dtype, old, new: new,
}


@dataclass
class BufferState:
    """One allocation in shared memory: values, which are written, which a copy is writing."""

    shape: tuple[int, ...]
    dtype: DType
    values: Array = field(init=False)
    written: Array = field(init=False)
    in_flight: Array = field(init=False)
    pinned: Array = field(init=False)
    leaving: list[Token] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = poison(self.shape, self.dtype)
        self.written = np.zeros(self.shape, np.bool_)
        self.in_flight = np.zeros(self.shape, np.int32)
        self.pinned = np.zeros(self.shape, np.int32)

    def end(self, name: str) -> None:
        """The block ends: no copy may be in flight; what was copied out of the buffer is there."""
        if self.pinned.any() or self.in_flight.any():
            what = "read" if self.pinned.any() else "written"
            raise InterpretError(
                f"the block ends while {name or 'a buffer'} is still being {what}",
                "tw.wait for the tokens of all copies",
            )
        for token in self.leaving:
            token.wait()


@dataclass(frozen=True)
class BufferView:
    """Part of a buffer: the state it aliases and a NumPy index into it."""

    state: BufferState
    values: Array
    written: Array
    in_flight: Array
    pinned: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> DType:
        return self.state.dtype

    @staticmethod
    def whole(state: BufferState) -> BufferView:
        return BufferView(state, state.values, state.written, state.in_flight, state.pinned)

    def at(self, index: tuple[int | slice, ...]) -> BufferView:
        """The part at `index` (basic NumPy indexing, so it aliases)."""
        parts = (self.values, self.written, self.in_flight, self.pinned)
        return BufferView(self.state, *(part[index] for part in parts))

    def transposed(self, axes: tuple[int, ...]) -> BufferView:
        parts = (self.values, self.written, self.in_flight, self.pinned)
        return BufferView(self.state, *(part.transpose(axes) for part in parts))

    def read(self) -> Array:
        if self.in_flight.any():
            raise InterpretError("read of a buffer that a copy is still writing: wait for it")
        if not self.written.all():
            raise InterpretError("read of shared memory that nothing has written")
        return self.values.copy()

    def write(self, values: Array) -> None:
        self._check_free("write")
        self.values[...] = values
        self.written[...] = True

    def begin(self) -> None:
        """An asynchronous copy starts to write: the part is poison until `finish`."""
        self._check_free("copy")
        self.in_flight[...] += 1
        self.values[...] = poison(self.values.shape, self.dtype)

    def finish(self, values: Array) -> None:
        self.in_flight[...] -= 1
        self.values[...] = values
        self.written[...] = True

    def pin(self) -> Array:
        """An asynchronous reader starts: the part may not change until `unpin`."""
        values = self.read()
        self.pinned[...] += 1
        return values

    def unpin(self) -> None:
        self.pinned[...] -= 1

    def _check_free(self, action: str) -> None:
        if self.in_flight.any():
            raise InterpretError(f"{action} to a buffer that a copy is still writing: wait for it")
        if self.pinned.any():
            raise InterpretError(f"{action} to a buffer that is still being read: wait for it")
