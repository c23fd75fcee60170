"""Meaning of codebook types: a code is an index into a table of values.

`encode` takes the nearest value; of two equally near ones, or two equal ones, the lower code. The
borders between neighbours are computed once in exact rational arithmetic as the first float64 that
belongs to the upper one, so that no rounded difference can decide.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tilewright.ir.types.rounding import Array, Rounding, round_to_odd

if TYPE_CHECKING:
    from tilewright.ir.types.record import DType


def decode_codebook(dtype: DType, codes: Array) -> Array:
    """float64 values of the table."""
    return np.asarray(_repeated_table(dtype).take(codes))


def encode_codebook(dtype: DType, values: Array, rounding: Rounding) -> Array:
    """Codes of the nearest entries; beyond the ends the ends, NaN becomes the largest value."""
    if rounding not in ("default", "nearest_even"):
        raise ValueError(f"{dtype.name} rounds to the nearest entry only, not {rounding!r}")
    wide = round_to_odd(values) if values.dtype.kind != "f" else values.astype(np.float64)
    borders, codes = _borders(dtype)
    return codes[np.searchsorted(borders, wide, side="right")]


def list_borders(dtype: DType) -> tuple[list[float], list[int]]:
    """Where neighbouring entries meet, and the code of each interval: what code generators print.

    A value gets the code of the interval after all borders that are not above it; NaN the last.
    """
    borders, codes = _borders(dtype)
    return borders.tolist(), codes.tolist()


@cache
def _repeated_table(dtype: DType) -> Array:
    table = np.tile(np.array(dtype.table), 256 >> dtype.bits)
    table.setflags(write=False)
    return table


@cache
def _borders(dtype: DType) -> tuple[Array, Array]:
    """First float64 of every interval but the lowest, and the code of each interval."""
    first: dict[float, int] = {}
    for code, value in enumerate(dtype.table):
        first.setdefault(value, code)
    entries = sorted(first.items())
    borders = [
        _find_border(low, high, to_high=high_code < low_code)
        for (low, low_code), (high, high_code) in pairwise(entries)
    ]
    return np.array(borders), np.array([code for _, code in entries], np.uint8)


def _find_border(low: float, high: float, to_high: bool) -> float:
    middle = (Fraction(low) + Fraction(high)) / 2
    border = float(middle)
    while Fraction(border) < middle or (not to_high and border == middle):
        border = math.nextafter(border, math.inf)
    return border
