"""What the generator knows about a value: its type, how large it gets, how far two targets may be.

`size` bounds the magnitude (infinite where anything goes), `error` the distance between two correct
targets, and `whole` says that all values are integers. Sums of whole numbers that stay below the
digits of their type are exact in any order; other float sums, products of matrices and functions
get an error, which later arithmetic carries on. A value without error is compared bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from tilewright.ir.types import DType, parse_dtype

FLOATS = ("f16", "bf16", "f32", "f64")
INTEGERS = ("i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")
NARROW = (
    *("u1", "u2", "u3", "u4", "u5", "u6", "u7", "i2", "i3", "i4", "i5", "i6", "i7"),
    *("f4e2m1", "f6e2m3", "f6e3m2", "f3_e1m1", "f5_e2m2", "f7_e3m3"),
)
EIGHT = ("f8e4m3", "f8e5m2")
STORED = ("e8m0", "nf4")


class Skip(Exception):
    """A statement does not work out here."""


@dataclass
class Known:
    """One variable of a program."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    size: float = inf
    error: float = 0.0
    whole: bool = False

    @property
    def is_float(self) -> bool:
        return self.dtype.is_float

    @property
    def is_bool(self) -> bool:
        return self.dtype.kind == "bool"

    @property
    def exact(self) -> bool:
        return self.error == 0.0


def unit(dtype: DType) -> float:
    """The relative distance of neighbouring numbers."""
    return 2.0**-dtype.mantissa if dtype.is_float else 0.0


def rounded(value: Known) -> Known:
    """`value` after one rounding by each of two targets, saturated or wrapped into its type."""
    dtype = value.dtype
    top = float(max(abs(dtype.max), abs(dtype.min)))
    if dtype.is_integer:
        return replace(value, size=top if value.size > top else value.size, whole=True, error=0.0)
    size = value.size * (1 + unit(dtype))
    if size > top:
        size = inf
    error = value.error
    if error:
        error += size * unit(dtype) + 2.0 ** -(dtype.bias + dtype.mantissa - 1)
    whole = value.whole and (dtype.bits >= 16 or size <= 2.0 ** (dtype.mantissa + 1))
    return replace(value, size=size, error=error, whole=whole)


def summed(value: Known, count: int, *, narrow: float = 1.0) -> Known:
    """The sum of `count` elements, in any order."""
    dtype = value.dtype
    total = replace(value, size=value.size * count, error=value.error * count)
    if dtype.is_integer or (
        value.whole and value.exact and total.size <= 2.0 ** (dtype.mantissa + 1)
    ):
        return rounded(total)
    # Each of `count` partial sums is at most total.size and rounds by half a unit, in both targets.
    total.error += count * total.size * unit(dtype) * narrow
    return rounded(replace(total, whole=False))


def dtype(name: str) -> DType:
    return parse_dtype(name)
