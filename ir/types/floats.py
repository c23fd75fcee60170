"""Meaning of the floating-point types and of scales: sign, exponent, mantissa, subnormals, special
values.

A float's code is sign · magnitude, and magnitudes count upwards without a gap: zero, subnormals,
normals. With e the value's exponent clamped from below to that of the smallest normal number, and r
the value rounded to a multiple of 2^(e − mantissa), the magnitude is r + ((e − emin) << mantissa);
a carry out of the mantissa lands in the exponent by itself. f16, f32, f64 use NumPy's own
conversions, which round once; bf16 and tf32 go through f32 rounded to odd.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tilewright.ir.types.rounding import (
    Array,
    Overflow,
    Rounding,
    round_integers,
    round_magnitudes,
    round_to_odd,
)

if TYPE_CHECKING:
    from tilewright.ir.types.record import DType

_NATIVE = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def find_largest(dtype: DType) -> float:
    """The largest finite value of a float or a scale."""
    if dtype.kind == "scale":
        return float(2.0 ** ((1 << dtype.exponent) - 2 - dtype.bias))
    return float(_magnitudes_to_values(dtype, np.array([dtype.max_magnitude]))[0])


def decode_floats(dtype: DType, codes: Array) -> Array:
    """float64 values; every float type is a subset of it."""
    if dtype.bits <= 8:
        return np.asarray(_value_table(dtype).take(codes))
    with np.errstate(invalid="ignore"):
        if dtype.name in _NATIVE:
            return codes.view(_NATIVE[dtype.name]).astype(np.float64, copy=False)
        words = codes.astype(np.uint32) << 16 if dtype.bits == 16 else codes & 0xFFFF_E000
        return np.asarray(words).view(np.float32).astype(np.float64)


def encode_floats(dtype: DType, values: Array, rounding: Rounding, overflow: Overflow) -> Array:
    """Codes of integers or floats, rounded once."""
    if overflow == "wrap":
        raise ValueError(f"{dtype} does not wrap: overflow is 'saturate' or 'infinity'")
    nearest = rounding in ("default", "nearest_even")
    saturate = overflow == "saturate" or (overflow == "default" and dtype.bits <= 8)
    if nearest and not saturate and dtype.name == "f32":
        return values.astype(np.float32, copy=False).view(np.uint32)
    if dtype.name == "f64":
        return _encode_doubles(dtype, values, rounding, saturate)
    wide = round_to_odd(values) if values.dtype.kind != "f" else values
    if nearest and not saturate and dtype.bits >= 16:
        if dtype.name == "f16":
            return wide.astype(np.float16, copy=False).view(np.uint16)
        return _encode_through_f32(dtype, wide)
    return _encode_magnitudes(dtype, wide.astype(np.float64, copy=False), rounding, saturate)


def decode_scales(dtype: DType, codes: Array) -> Array:
    """2^(code − bias), NaN for the largest code."""
    values = np.ldexp(1.0, np.minimum(np.arange(256), 254) - dtype.bias)
    values[255] = np.nan
    return np.asarray(values.take(codes))


def encode_scales(dtype: DType, values: Array, rounding: Rounding, overflow: Overflow) -> Array:
    """Powers of two: ties go to the larger one, zero to the smallest, negative numbers to NaN."""
    if overflow == "wrap":
        raise ValueError(f"{dtype} does not wrap: overflow is 'saturate' or 'infinity'")
    wide = round_to_odd(values) if values.dtype.kind != "f" else values.astype(np.float64)
    largest = find_largest(dtype)
    mantissas, exponents = np.frexp(np.fmin(np.abs(wide), 4 * largest))
    ratios = round_magnitudes(2 * mantissas, wide < 0, rounding)  # in [1, 2], 0 for zero
    codes = np.maximum(exponents - 1 + dtype.bias + (ratios == 2), 0)
    codes = np.where(ratios == 0, 0, codes)
    outwards = np.isinf(wide) | (rounding not in ("truncate", "floor"))
    too_large = (codes > 254) & outwards
    codes = np.where(too_large & (overflow == "infinity"), 255, np.minimum(codes, 254))
    return np.where(np.isnan(wide) | (wide < 0), 255, codes).astype(np.uint8)


@cache
def _value_table(dtype: DType) -> Array:
    """Values of all 256 container codes of a type of at most 8 bits (upper bits ignored)."""
    magnitude_bits = dtype.exponent + dtype.mantissa
    codes = np.arange(256)
    values = _magnitudes_to_values(dtype, codes & ((1 << magnitude_bits) - 1))
    table = np.where((codes >> magnitude_bits) & 1, -values, values)
    table.setflags(write=False)
    return table


def _magnitudes_to_values(dtype: DType, magnitudes: Array) -> Array:
    fields = magnitudes >> dtype.mantissa
    fractions = magnitudes & ((1 << dtype.mantissa) - 1)
    significands = fractions + np.where(fields > 0, 1 << dtype.mantissa, 0)
    values = np.ldexp(significands * 1.0, np.maximum(fields, 1) - dtype.bias - dtype.mantissa)
    if dtype.has_infinity:
        values = np.where(magnitudes == dtype.max_magnitude + 1, np.inf, values)
    if dtype.has_nan:
        values = np.where(magnitudes > dtype.max_magnitude + dtype.has_infinity, np.nan, values)
    return np.asarray(values)


def _encode_doubles(dtype: DType, values: Array, rounding: Rounding, saturate: bool) -> Array:
    if values.dtype.kind == "f":
        wide = values.astype(np.float64, copy=False)
    else:
        wide = round_integers(values, rounding)
    if saturate:
        wide = np.where(np.isinf(wide), np.copysign(float(dtype.max), wide), wide)
    return np.asarray(wide.view(np.uint64))


def _encode_through_f32(dtype: DType, values: Array) -> Array:
    """bf16 and tf32 in the default modes: the upper bits of an f32 that was rounded to odd."""
    single = values.astype(np.float32)
    words = single.view(np.uint32)
    if values.dtype == np.float64:
        back = single.astype(np.float64)
        inexact = back != values
        if inexact.any():
            words = (words - (np.abs(back) > np.abs(values))) | (inexact & (back == back))
    dropped = 16 if dtype.bits == 16 else 13
    rounded = words + np.uint32((1 << (dropped - 1)) - 1) + ((words >> dropped) & 1)
    codes = np.where(single == single, rounded, words | np.uint32(0x0040_0000)) >> dropped
    return (codes << dtype.padding).astype(dtype.container)


def _encode_magnitudes(dtype: DType, values: Array, rounding: Rounding, saturate: bool) -> Array:
    """Any float type of at most 32 bits in any mode, by the formula of the module's docstring."""
    negative, infinite = np.signbit(values), np.isinf(values)
    clipped = np.fmin(np.abs(values), 4 * dtype.max)  # still too large; replaces NaN, too
    smallest = 1 - dtype.bias
    exponents = np.maximum((clipped.view(np.int64) >> 52) - 1023, smallest)
    quanta = ((dtype.mantissa + 1023 - exponents) << 52).view(np.float64)  # 1 / quantum, exact
    whole = round_magnitudes(clipped * quanta, negative, rounding).astype(np.int64)
    magnitudes = whole + ((exponents - smallest) << dtype.mantissa)
    too_large = magnitudes > dtype.max_magnitude
    if too_large.any():
        beyond = _overflow_magnitudes(dtype, negative, infinite, rounding, saturate)
        magnitudes = np.where(too_large, beyond, magnitudes)
        nan = np.isnan(values)
        magnitudes = np.where(nan, _nan_magnitude(dtype), magnitudes)
        negative = negative & ~nan
    codes = magnitudes | (negative.astype(np.int64) << (dtype.exponent + dtype.mantissa))
    return np.asarray(codes << dtype.padding).astype(dtype.container)


def _overflow_magnitudes(
    dtype: DType, negative: Array, infinite: Array, rounding: Rounding, saturate: bool
) -> Array | int:
    """What a magnitude beyond the largest finite one becomes."""
    if saturate or dtype.special == "finite":
        return dtype.max_magnitude
    match rounding:
        case "truncate":
            outwards = infinite
        case "floor":
            outwards = infinite | negative
        case "ceil":
            outwards = infinite | ~negative
        case _:
            return dtype.max_magnitude + 1
    return np.asarray(dtype.max_magnitude + outwards)


def _nan_magnitude(dtype: DType) -> int:
    if dtype.special == "ieee":
        return dtype.max_magnitude + 1 + (1 << (dtype.mantissa - 1))
    return dtype.max_magnitude + dtype.has_nan
