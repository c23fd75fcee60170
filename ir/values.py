"""SSA values and their types.

A `Value` is a frozen record with identity: two values are the same only if they are the same
object. Its type says what it is:

    i32                          a block-uniform scalar
    tile<128x64xf16, #x>         an immutable block value; `#x` is its register layout, once known
    tensor<f16, ...>             a global-memory argument with the facts it was specialized for
    buffer<3x128x64xf16, #s>     shared memory that we allocated; `#s` maps elements to addresses
    barrier<4 x 128>             an array of 4 mbarriers, each completed by 128 arrivals
    token                        the completion of an asynchronous instruction
    pending<tile<...>>           an asynchronous tile result, readable only after `wait`
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from tilewright.ir.diagnostics import TypeMismatch
from tilewright.ir.layout import Layout
from tilewright.ir.types import DType

StrideClass = Literal["0", "1", "x16B", "any"]
ExtentClass = Literal["1", "x16", "any"]


@dataclass(frozen=True)
class ScalarType:
    """A number that is equal in all lanes of the block."""

    dtype: DType

    def __str__(self) -> str:
        return self.dtype.name


@dataclass(frozen=True)
class TileType:
    """An immutable block value of a fixed shape; `layout` maps it to registers, lanes, warps."""

    shape: tuple[int, ...]
    dtype: DType
    layout: Layout | None = None

    def with_layout(self, layout: Layout | None) -> TileType:
        return replace(self, layout=layout)


@dataclass(frozen=True)
class TensorType:
    """A view of global memory with the facts that a launch is specialized for.

    `strides` and `extents` hold one class per axis; `aligned` says that the base pointer is a
    multiple of 16 bytes. `packing` names the device order of packed weights (`ir.packings`); such a
    tensor has no strides of its own and is only read.
    """

    dtype: DType
    strides: tuple[StrideClass, ...]
    extents: tuple[ExtentClass, ...]
    aligned: bool = False
    packing: str | None = None

    @property
    def rank(self) -> int:
        return len(self.strides)

    @property
    def fast_axis(self) -> int:
        """The last axis whose elements are neighbours in memory; the last one where none are."""
        return max((a for a, s in enumerate(self.strides) if s == "1"), default=self.rank - 1)


@dataclass(frozen=True)
class BufferType:
    """Storage in shared memory; `layout` maps coordinates to element offsets (axis `addr`)."""

    shape: tuple[int, ...]
    dtype: DType
    layout: Layout | None = None


@dataclass(frozen=True)
class BarrierType:
    """`size` mbarriers, each of whose phases completes after `count` arrivals."""

    size: int
    count: int


@dataclass(frozen=True)
class TokenType:
    """Completion of one asynchronous instruction."""


@dataclass(frozen=True)
class PendingType:
    """A tile that an asynchronous instruction is still producing."""

    tile: TileType


Type = ScalarType | TileType | TensorType | BufferType | BarrierType | TokenType | PendingType


@dataclass(frozen=True, eq=False)
class Value:
    """One SSA value; `name` is the user's variable where there is one."""

    type: Type
    name: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"%{self.name or '?'}@{id(self) & 0xFFFF:x}: {self.type}"


def scalar_type(value: Value) -> ScalarType:
    """The type of `value`, which must be a scalar."""
    return _wanted(value, ScalarType, "scalar")


def tile_type(value: Value) -> TileType:
    """The type of `value`, which must be a tile."""
    return _wanted(value, TileType, "tile")


def tensor_type(value: Value) -> TensorType:
    """The type of `value`, which must be a tensor."""
    return _wanted(value, TensorType, "tensor")


def buffer_type(value: Value) -> BufferType:
    """The type of `value`, which must be a buffer."""
    return _wanted(value, BufferType, "buffer")


def barrier_type(value: Value) -> BarrierType:
    """The type of `value`, which must be a barrier."""
    return _wanted(value, BarrierType, "barrier")


Wanted = TypeVar("Wanted")


def _wanted(value: Value, kind: type[Wanted], word: str) -> Wanted:
    if not isinstance(value.type, kind):
        have = type(value.type).__name__.removesuffix("Type").lower()
        raise TypeMismatch(f"{value.name or 'an operand'} is a {have} where a {word} is wanted")
    return value.type


def element_type(value: Value) -> DType:
    """The dtype of a scalar's, tile's, tensor's or buffer's elements."""
    if not isinstance(value.type, (ScalarType, TileType, TensorType, BufferType)):
        raise TypeMismatch(f"{value.name or 'an operand'} has no elements: {value.type}")
    return value.type.dtype


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape of a tile or buffer; () for a scalar."""
    match value.type:
        case TileType(shape=shape) | BufferType(shape=shape):
            return shape
        case _:
            return ()
