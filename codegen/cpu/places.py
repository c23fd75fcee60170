"""Where tiles and tensors lie: local arrays with strides, and views of global memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilewright.codegen.cpu.dtypes import size_of
from tilewright.ir.types import DType


@dataclass(frozen=True)
class Array:
    """A local tile or buffer: element i is `name[sum(i[d] * strides[d])]`."""

    name: str
    ctype: str
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int = 0

    @property
    def bytes(self) -> int:
        """The array's size."""
        return self.size * size_of(self.ctype)

    @property
    def is_dense(self) -> bool:
        """Whether elements lie in row-major order without gaps."""
        return self.strides == dense_strides(self.shape)


@dataclass(frozen=True)
class Tensor:
    """A view of global memory: pointer, extents and strides as C++ text.

    Strides count elements; for types of less than 8 bits those of leading axes count bytes, and
    the last axis is dense.
    """

    pointer: str
    dtype: DType
    extents: tuple[str, ...]
    strides: tuple[str, ...]


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides of `shape`."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


@dataclass(frozen=True)
class Packed:
    """An operand of `mma` in the micro-kernel's order: its array and its valid rows and columns."""

    name: str
    rows: str
    columns: str
