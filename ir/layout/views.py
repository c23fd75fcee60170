"""Reinterpretation: when may one register tile be read as another without moving a bit?"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tilewright.ir.layout.layout import Layout

_AXES = ("warp", "lane", "reg")


def can_view(source: Layout, source_bits: int, target: Layout, target_bits: int) -> bool:
    """Whether every lane's bits of `source` are exactly its bits of `target`.

    Law: both occupy the same bits of the same lanes, and bits that `target` declares to be copies
    of one another are copies in `source`.
    """
    have, want = _bit_numbers(source, source_bits), _bit_numbers(target, target_bits)
    if have.shape != want.shape or ((have < 0) != (want < 0)).any():
        return False
    order = np.argsort(want, kind="stable")
    same = want[order][1:] == want[order][:-1]
    return bool((have[order][1:] == have[order][:-1])[same].all())


@cache
def _bit_numbers(layout: Layout, bits: int) -> npt.NDArray[Any]:
    """For every bit of every register, flat over (warp, lane, reg, bit): which bit of the tile."""
    elements = layout.elements_at(*_AXES).astype(np.int64)
    numbers = elements[..., None] * bits + np.arange(bits)
    numbers[elements < 0] = -1
    return numbers.reshape(*elements.shape[:2], -1).ravel()
