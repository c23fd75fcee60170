"""Exact floating-point building blocks: error-free sums and products, rounding to odd, directed
rounding.

A value that is exact as `s + e` (both float64) is rounded correctly to any narrower type by first
rounding it to odd in 53 bits: a sticky last bit never lies on a tie of a format with at most 51
bits.
"""

from __future__ import annotations

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
    moves = (e != 0) & (bits & 1 == 0) & np.isfinite(s)
    outward = np.signbit(s) == np.signbit(e)
    step = np.where(moves, np.where(outward, 1, -1), 0)
    return (bits + step).view(np.float64)


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


def fma64(a: Array, b: Array, c: Array) -> Array:
    """Fused multiply-add of float64, correctly rounded (Boldo and Melquiond; rationals for extreme
    exponents).
    """
    p, q = two_product(a, b)
    t, u = two_sum(c, q)
    v, w = two_sum(p, t)
    result = v + to_odd(*two_sum(u, w))
    exponents = [np.frexp(x)[1] for x in (a, b, c, p)]
    safe = np.isfinite(p) & np.isfinite(c)
    for exponent in exponents:
        safe &= (exponent > -400) & (exponent < 900)
    safe |= (p == 0) & ((a == 0) | (b == 0))
    plain = a * b + c
    result = np.where(
        (a == 0) | (b == 0) | ~np.isfinite(plain) & ~np.isfinite(a * c), plain, result
    )
    for lane in np.flatnonzero(~safe):
        result[lane] = _fma_exact(float(a[lane]), float(b[lane]), float(c[lane]))
    return result


def _fma_exact(a: float, b: float, c: float) -> float:
    if not np.isfinite([a, b, c]).all():
        return float(np.float64(a) * np.float64(b) + np.float64(c))
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return float(np.float64(a) * np.float64(b) + np.float64(c))
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")
