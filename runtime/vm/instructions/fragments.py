"""Fragment layouts of `mma.sync`, from the PTX manual's formulas ("Matrix Fragments for mma").

With groupID = lane / 4 and t = lane mod 4, every layout is a function of lane and element index i
to (row, column). The functions below give it for all lanes and elements at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def a_places(m: int, k: int, bits: int) -> tuple[Array, Array]:
    """Rows and columns of A (m × k, row), arrays (32 lanes, elements)."""
    group, t, i = _grid(m * k // 32)
    if bits == 64:
        return _a_double(m, k, group, t, i)
    per = 32 // bits  # elements per register
    if m == 8:
        return group + 0 * i, t * per + i
    if bits == 32:
        return group + 8 * (i % 2), t + 4 * (i // 2)
    row = group + 8 * (i // per % 2)
    column = t * per + i % per + 4 * per * (i // (2 * per))
    return row, column


def _a_double(m: int, k: int, group: Array, t: Array, i: Array) -> tuple[Array, Array]:
    if m == 8:
        return group + 0 * i, t + 0 * i
    return group + 8 * (i % 2), t + 4 * (i // 2)


def b_places(k: int, n: int, bits: int) -> tuple[Array, Array]:
    """Rows and columns of B (k × n, column), arrays (32 lanes, elements)."""
    group, t, i = _grid(k * n // 32)
    per = max(32 // bits, 1)
    row = t * per + i % per + 4 * per * (i // per)
    return row, group + 0 * i


def c_places(m: int, n: int) -> tuple[Array, Array]:
    """Rows and columns of C and D (m × n), arrays (32 lanes, elements)."""
    group, t, i = _grid(m * n // 32)
    return group + 8 * (i // 2), 2 * t + i % 2


def _grid(elements: int) -> tuple[Array, Array, Array]:
    lane = np.arange(32)[:, None]
    return lane // 4, lane % 4, np.arange(elements)[None, :]
