"""Meaning of `uN` and `iN`: two's complement of any width up to 64 bits.

Everything decodes to int64 but u64, which decodes to uint64: NumPy would otherwise turn mixed signs
into floats. Integer values wrap by default, so that sums and products of decoded values (taken
modulo 2^64) encode to what the hardware computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewright.ir.types.rounding import Array, Overflow, Rounding, round_magnitudes

if TYPE_CHECKING:
    from tilewright.ir.types.record import DType


def decode_integers(dtype: DType, codes: Array) -> Array:
    """int64 or, for u64, uint64 values."""
    if dtype.bits == 64:
        return codes if dtype.kind == "uint" else codes.view(np.int64)
    if dtype.bits == 8 * codes.itemsize:
        signed = codes.view(f"i{codes.itemsize}") if dtype.kind == "int" else codes
        return signed.astype(np.int64)
    if dtype.kind == "uint":
        return (codes & dtype.max).astype(np.int64)
    unused = 64 - dtype.bits
    return (codes.astype(np.int64) << unused) >> unused


def encode_integers(dtype: DType, values: Array, rounding: Rounding, overflow: Overflow) -> Array:
    """Codes of integers (wrapped or saturated) or floats (rounded, then saturated)."""
    if values.dtype.kind == "f":
        if overflow not in ("default", "saturate"):
            raise ValueError(
                f"floats saturate when they become {dtype}: {overflow!r} has no meaning"
            )
        return _wrap_codes(dtype, _round_floats(dtype, values.astype(np.float64), rounding))
    if overflow == "infinity":
        raise ValueError(f"{dtype} has no infinity")
    return _wrap_codes(dtype, _saturate(dtype, values) if overflow == "saturate" else values)


def _wrap_codes(dtype: DType, values: Array) -> Array:
    codes = values.astype(dtype.container, copy=False)
    return codes if dtype.bits == 8 * codes.itemsize else codes & ((1 << dtype.bits) - 1)


def _saturate(dtype: DType, values: Array) -> Array:
    """Clip integers of any NumPy type to the range of `dtype`, without leaving their own type."""
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    limits = np.iinfo(values.dtype)
    return np.clip(values, max(int(dtype.min), limits.min), min(int(dtype.max), limits.max))


def _round_floats(dtype: DType, values: Array, rounding: Rounding) -> Array:
    """Whole numbers within the range of `dtype`, as int64 or uint64; NaN gives 0."""
    if rounding == "default" or rounding == "truncate":
        whole = np.trunc(values)
    else:
        magnitudes = round_magnitudes(np.abs(values), values < 0, rounding)
        whole = np.copysign(magnitudes, values)
    # max + 1 is a power of two: exact as a float where max itself is not.
    over, under = whole >= float(dtype.max + 1), whole < float(dtype.min)
    inside = np.where(over | under | np.isnan(whole), 0.0, whole)
    wide = np.dtype(np.uint64 if dtype.kind == "uint" else np.int64).type
    integers = np.where(over, wide(dtype.max), inside.astype(wide))
    return np.where(under, wide(dtype.min), integers)
