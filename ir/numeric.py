"""Numbers as the interpreter holds them: decoded arrays that are exact in their dtype.

Integers are int64 (uint64 for `u64`), bools are bool, every float format is float64. An arithmetic
result is brought back into its dtype by `round_to`: floats round to nearest even, integers wrap.
A float64 holds twice the digits of f32 and two more, so computing +, -, *, / and sqrt in float64
and rounding once is exactly the f32 (f16, bf16) operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tilewright.ir.types import DType

Array = npt.NDArray[Any]


def numpy_class(dtype: DType) -> np.dtype[Any]:
    """The NumPy dtype in which values of `dtype` are held while interpreting."""
    if dtype.kind == "bool":
        return np.dtype(np.bool_)
    if dtype.is_integer:
        return np.dtype(np.uint64 if dtype.name == "u64" else np.int64)
    return np.dtype(np.float64)


def round_to(dtype: DType, values: Array) -> Array:
    """`values` brought into `dtype`: floats round to nearest even, integers wrap modulo 2^bits."""
    if dtype.kind == "bool":
        return np.asarray(values, np.bool_)
    if dtype.is_integer:
        return _wrap(dtype, np.asarray(values))
    if dtype.name == "f64":
        return np.asarray(values, np.float64)
    if dtype.name == "f32":
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.asarray(values).astype(np.float32).astype(np.float64))
    return np.asarray(dtype.decode(dtype.encode(np.asarray(values, np.float64))), np.float64)


def _wrap(dtype: DType, values: Array) -> Array:
    if dtype.bits == 64:
        return values.astype(np.uint64 if not dtype.signed else np.int64)
    mask = (1 << dtype.bits) - 1
    low = values.astype(np.int64) & mask
    if dtype.signed:
        sign = 1 << (dtype.bits - 1)
        low = (low ^ sign) - sign
    return np.asarray(low)


def convert_to(dtype: DType, source: DType, values: Array) -> Array:
    """The cast from `source` to `dtype`: encode with the stated defaults of `ir.types`."""
    if dtype == source:
        return values
    if dtype.kind == "bool":
        return np.asarray(values != 0)
    if source.kind == "bool":
        values = np.asarray(values).astype(np.int64)
    return np.asarray(dtype.decode(dtype.encode(values)))


def zero_of(dtype: DType) -> Array:
    """What lies outside of a view: 0, or the nearest value of a type that has none (scales)."""
    zero = np.asarray(dtype.decode(dtype.encode(np.zeros(()))))
    return zero.astype(numpy_class(dtype))


def poison(shape: tuple[int, ...], dtype: DType) -> Array:
    """Values that no correct kernel lets through: NaN, or the type's largest integer."""
    if dtype.is_float:
        return np.full(shape, np.nan)
    return np.full(shape, dtype.max if dtype.is_integer else True, numpy_class(dtype))
