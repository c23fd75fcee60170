"""Exact floating-point building blocks: error-free sums and products, rounding to odd, directed
rounding.

A value that is exact as `s + e` (both float64) is rounded correctly to any narrower type by first
rounding it to odd in 53 bits: a sticky last bit never lies on a tie of a format with at most 51
bits.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_SPLIT = float(2**27 + 1)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """`s + e = a + b` exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """`p + e = a · b` exactly for float64 without overflow or underflow (Veltkamp, Dekker)."""
    p = a * b
    x, y = a * _SPLIT, b * _SPLIT
    ah, bh = x - (x - a), y - (y - b)
    al, bl = a - ah, b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def to_odd(s: Array, e: Array) -> Array:
    """`s + e` rounded to odd: where `e` is not zero, the neighbour of `s` with the last bit set."""
    bits = np.ascontiguousarray(s).view(np.int64)
    step = (bits ^ np.ascontiguousarray(e).view(np.int64)) >> 63 | 1  # outward, or inward
    step *= e != 0
    step *= np.isfinite(s)
    step *= ~bits & 1
    step += bits
    return step.view(np.float64)


def narrow(odd: Array, mode: str) -> Array:
    """A float64 (rounded to odd where it was inexact) to float32 in any direction."""
    near = odd.astype(np.float32)
    if mode == "rn":
        return near
    wide = near.astype(np.float64)
    down, up = np.float32(-np.inf), np.float32(np.inf)
    above, below = wide > odd, wide < odd
    if mode == "rz":
        above, below = above & (odd > 0), below & (odd < 0)
    elif mode == "rm":
        below = np.zeros_like(below)
    else:
        above = np.zeros_like(above)
    result = np.where(above, np.nextafter(near, down), near)
    return np.where(below, np.nextafter(near, up), result)


def directed(s: Array, e: Array, mode: str) -> Array:
    """`s + e`, `s` being the nearest float64, in another direction."""
    if mode == "rn":
        return s
    below, above = e > 0, e < 0  # s is below or above the exact value
    if mode == "rz":
        below, above = below & (s < 0), above & (s > 0)
    elif mode == "rm":
        below = np.zeros_like(below)
    else:
        above = np.zeros_like(above)
    result = np.where(below, np.nextafter(s, np.inf), s)
    return np.where(above, np.nextafter(s, -np.inf), result)


_MOST, _LEAST = 2.0**450, 2.0**-900


def error_signs(
    error: Array, near: Array, inputs: tuple[Array, ...], residual: Callable[..., Fraction]
) -> Array:
    """The error of nearest float64 results, with its sign (all that `directed` looks at) taken from
    rationals where the floating-point one may have left float64's range.

    `residual(near, *inputs)` has the sign of the exact result minus `near`.
    """
    finite = np.logical_and.reduce([np.isfinite(x) for x in inputs])
    risky = near == 0
    for x in (near, *inputs):
        size = np.absolute(x)
        risky |= (size > _MOST) | ((size < 1 / _MOST) & (x != 0))
    found = np.where(np.isfinite(error) & finite, error, 0.0)
    for lane in np.flatnonzero(risky & finite):
        result = float(near[lane])
        if np.isfinite(result):
            rest = residual(Fraction(result), *(Fraction(float(x[lane])) for x in inputs))
            found[lane] = (rest > 0) - (rest < 0)
        else:
            found[lane] = -np.sign(result)
    return found


def negate_zeros(result: Array, zero: Array, a: Array, b: Array) -> Array:
    """A sum a + b rounded toward -inf: -0 where it is exactly `zero`, but for +0 + +0."""
    return np.where(zero & (np.signbit(a) != np.signbit(b)), result.dtype.type(-0.0), result)


def fma64(a: Array, b: Array, c: Array) -> Array:
    """Fused multiply-add of float64, correctly rounded (Boldo and Melquiond; rationals where the
    error terms could leave the range of float64).
    """
    p, q = two_product(a, b)
    t, u = two_sum(c, q)
    v, w = two_sum(p, t)
    result: Array = v + to_odd(*two_sum(u, w))
    size = np.maximum(np.maximum(np.absolute(a), np.absolute(b)), np.absolute(c))
    safe = (size < _MOST) & (np.absolute(p) > _LEAST)
    if safe.all():
        return result
    plain = np.where(np.isinf(c) & np.isfinite(a) & np.isfinite(b), c, a * b + c)
    trivial = (a == 0) | (b == 0) | ~np.isfinite(size)
    result = np.where(safe, result, plain)
    for lane in np.flatnonzero(~safe & ~trivial):
        result[lane] = _fma_exact(float(a[lane]), float(b[lane]), float(c[lane]))
    return result


def directed_fma64(a: Array, b: Array, c: Array, mode: str) -> Array:
    """Fused multiply-add of float64 in any direction."""
    nearest = fma64(a, b, c)
    if mode == "rn":
        return nearest
    product, low = two_product(a, b)
    total, rest = two_sum(product, c)
    error = ((total - nearest) + rest) + low
    signs = error_signs(error, nearest, (a, b, c), lambda near, x, y, z: x * y + z - near)
    found = directed(nearest, signs, mode)
    zero = (nearest == 0) & (signs == 0)
    return negate_zeros(found, zero, product, c) if mode == "rm" else found


def _fma_exact(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return float(np.float64(a) * np.float64(b) + np.float64(c))
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")
