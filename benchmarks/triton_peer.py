"""A peer: the same product written in Triton, with a few configs that it tunes itself."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_CONFIGS = [
    triton.Config({"BM": bm, "BN": bn, "BK": bk}, num_stages=stages, num_warps=warps)
    for bm, bn, bk, stages, warps in (
        (128, 256, 64, 3, 8),
        (128, 128, 64, 4, 4),
        (128, 128, 32, 4, 4),
        (64, 128, 64, 4, 4),
        (16, 128, 128, 4, 4),
    )
]


@triton.autotune(configs=_CONFIGS, key=["m", "n", "k"])
@triton.jit
def _product(a, b, c, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    i, j = tl.program_id(0), tl.program_id(1)
    rows = i * BM + tl.arange(0, BM)
    columns = j * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, k, BK):
        depth = start + tl.arange(0, BK)
        left_inside = (rows[:, None] < m) & (depth[None, :] < k)
        right_inside = (columns[:, None] < n) & (depth[None, :] < k)
        x = tl.load(a + rows[:, None] * k + depth[None, :], mask=left_inside, other=0.0)
        y = tl.load(b + columns[:, None] * k + depth[None, :], mask=right_inside, other=0.0)
        acc = tl.dot(x, tl.trans(y), acc)
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c + rows[:, None] * n + columns[None, :], acc.to(c.dtype.element_ty), mask=inside)


def triton_matmul(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """c = a · bᵀ for contiguous operands."""
    (m, k), n = a.shape, b.shape[0]

    def grid(meta: dict[str, Any]) -> tuple[int, int]:
        return triton.cdiv(m, meta["BM"]), triton.cdiv(n, meta["BN"])

    _product[grid](a, b, c, m, n, k)
    return c
