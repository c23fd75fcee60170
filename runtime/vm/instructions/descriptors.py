"""Matrix descriptors of wgmma: where the rows of an operand lie in shared memory.

From the manual's canonical layouts (in units of 16 bytes, T = elements per unit). K-major operands
consist of groups of 8 rows; with a swizzle of S bytes a row has S bytes and groups follow each
other at the stride offset; without one a row of 16 bytes is the unit, and the leading offset leads
along K. MN-major operands are the mirror image: S bytes along M or N (the leading offset leads to
the next S bytes), 8 steps of K per group, groups at the stride offset; without a swizzle 16 bytes
along MN, next ones at the stride offset, next group of 8 along K at the leading offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.swizzle import swizzle

_SPANS = {0: 0, 1: 128, 2: 64, 3: 32}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A decoded descriptor."""

    start: int
    leading: int
    stride: int
    base: int
    span: int

    def places(self, rows: int, row_bytes: int, *, k_major: bool, item: int) -> Array:
        """Physical offsets within the block of every element: (rows, columns along K).

        `row_bytes` are the bytes of K of one row.
        """
        linear = _linear(
            rows, row_bytes // item, self.leading, self.stride, self.span, k_major, item
        )
        address = self.start + linear
        found: Array = swizzle(address & ~15, self.span) | (address & 15)
        return found


def decode_matrix(word: int) -> Matrix:
    """The fields of a 64-bit descriptor."""
    return Matrix(
        (word & 0x3FFF) << 4, (word >> 16 & 0x3FFF) << 4, (word >> 32 & 0x3FFF) << 4,
        word >> 49 & 7, _SPANS[word >> 62 & 3],
    )  # fmt: skip


@lru_cache(maxsize=256)
def _linear(
    rows: int, depth: int, leading: int, stride: int, span: int, k_major: bool, item: int
) -> Array:
    row, k = np.arange(rows)[:, None], np.arange(depth)[None, :]
    along = k * item if k_major else row * item
    across = row if k_major else k
    if k_major and span:
        return across // 8 * stride + across % 8 * span + along
    if k_major:
        return across // 8 * stride + across % 8 * 16 + along // 16 * leading + along % 16
    if span:
        return along // span * leading + along % span + across // 8 * stride + across % 8 * span
    return along // 16 * stride + along % 16 + across // 8 * leading + across % 8 * 16
