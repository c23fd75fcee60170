"""Rounding and overflow modes, and the exact step from 64-bit integers to float64 that every float
type shares.

An integer beyond 2^53 must not be rounded to float64 first and to its type afterwards: two
roundings can move a tie. Rounding to *odd* in between keeps one bit that says "inexact", so that
the second rounding is right for every type with at most 50 mantissa bits.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rounding = Literal["default", "nearest_even", "nearest_away", "truncate", "floor", "ceil"]
Overflow = Literal["default", "saturate", "infinity", "wrap"]


def check_modes(rounding: str, overflow: str) -> None:
    """Raise ValueError for a mode that does not exist."""
    if rounding not in get_args(Rounding):
        raise ValueError(f"rounding {rounding!r} is none of {', '.join(get_args(Rounding))}")
    if overflow not in get_args(Overflow):
        raise ValueError(f"overflow {overflow!r} is none of {', '.join(get_args(Overflow))}")


def round_magnitudes(magnitudes: Array, negative: Array, rounding: Rounding) -> Array:
    """Whole numbers of float64 magnitudes; `negative` is the sign, for the directed modes."""
    match rounding:
        case "default" | "nearest_even":
            return np.rint(magnitudes)
        case "truncate":
            return np.floor(magnitudes)
        case "nearest_away":
            whole = np.floor(magnitudes)
            return np.asarray(whole + (magnitudes - whole >= 0.5))
        case "floor":
            return np.where(negative, np.ceil(magnitudes), np.floor(magnitudes))
        case "ceil":
            return np.where(negative, np.floor(magnitudes), np.ceil(magnitudes))


def round_to_odd(values: Array) -> Array:
    """float64 of integers: exact up to 2^53, beyond it truncated with a sticky last bit."""
    nearest = values.astype(np.float64)
    if values.dtype.itemsize < 8 or not (np.abs(nearest) >= 2.0**53).any():
        return nearest
    nearest, error, negative = _split_integers(values)
    truncated = np.where(error < 0, np.nextafter(nearest, 0), nearest)
    odd = np.asarray(truncated.view(np.int64) | (error != 0)).view(np.float64)
    return np.where(negative, -odd, odd)


def round_integers(values: Array, rounding: Rounding) -> Array:
    """float64 of integers in the given rounding."""
    if rounding in ("default", "nearest_even") or values.dtype.itemsize < 8:
        return values.astype(np.float64)
    nearest, error, negative = _split_integers(values)
    below, above = np.nextafter(nearest, 0), np.nextafter(nearest, np.inf)
    down, up = np.where(error < 0, below, nearest), np.where(error > 0, above, nearest)
    match rounding:
        case "truncate":
            rounded = down
        case "nearest_away":
            rounded = np.where(above - nearest == 2 * error, above, nearest)
        case "floor":
            rounded = np.where(negative, up, down)
        case _:
            rounded = np.where(negative, down, up)
    return np.where(negative, -rounded, rounded)


def _split_integers(values: Array) -> tuple[Array, Array, Array]:
    """Magnitudes as float64 to nearest, the exact error of that rounding, and the signs."""
    negative = values < 0
    magnitudes = values.astype(np.uint64)
    magnitudes = np.where(negative, ~magnitudes + np.uint64(1), magnitudes)
    low = magnitudes & np.uint64(0x7FF)
    high = (magnitudes - low).astype(np.float64)  # at most 53 significant bits: exact
    nearest = high + low.astype(np.float64)
    return nearest, (high - nearest) + low.astype(np.float64), negative
