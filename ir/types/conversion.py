"""Between types: `promote` (the common type of two operands) and `cast` (codes to codes)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tilewright.ir.types import names
from tilewright.ir.types.record import DType
from tilewright.ir.types.rounding import Array, Overflow, Rounding


def cast(
    codes: npt.ArrayLike,
    src: DType,
    dst: DType,
    *,
    rounding: Rounding = "default",
    overflow: Overflow = "default",
) -> Array:
    """Codes of `dst` for codes of `src`: the value is rounded once, as `DType.encode` says.

    From a type to itself nothing changes: an infinity of `f8e5m2` stays one.
    """
    return np.asarray(codes) if src == dst else dst.encode(src.decode(codes), rounding, overflow)


def promote(a: DType, b: DType) -> DType:
    """The type in which values of `a` and `b` meet; TypeError where no type holds both.

    bool < integers < floats; a float absorbs integers, as in torch. Within a kind the result holds
    every value of both: one of the two if it can, else the next type of 8, 16, 32 or 64 bits that
    does.
    """
    if a == b:
        return a
    for dtype in (a, b):
        if dtype.kind == "codebook":
            raise TypeError(f"{a} and {b} have no common type: cast {dtype} to a float first")
    ranks = {"bool": 0, "uint": 1, "int": 1, "float": 2, "scale": 2}
    if ranks[a.kind] != ranks[b.kind]:
        return max(a, b, key=lambda dtype: ranks[dtype.kind])
    standard = (names.f16, names.bf16, names.f32, names.f64) if ranks[a.kind] == 2 else _INTEGERS
    for candidate in (a, b, *standard):
        if _contains(candidate, a) and _contains(candidate, b):
            return candidate
    raise TypeError(f"{a} and {b} have no common type: cast one of them")


_INTEGERS = (names.i8, names.i16, names.i32, names.i64)


def _contains(outer: DType, inner: DType) -> bool:
    """Whether `outer` holds every value of `inner`; both integers, or both floats or scales."""
    if outer == inner:
        return True
    if outer.is_integer:
        return outer.min <= inner.min and inner.max <= outer.max
    if outer.kind == "scale":
        return False
    return (
        inner.mantissa <= outer.mantissa
        and inner.max <= outer.max
        and _quantum_exponent(outer) <= _quantum_exponent(inner)
        and inner.has_nan <= outer.has_nan
        and inner.has_infinity <= outer.has_infinity
    )


def _quantum_exponent(dtype: DType) -> int:
    """Exponent of the smallest positive value."""
    return -dtype.bias if dtype.kind == "scale" else 1 - dtype.bias - dtype.mantissa
