"""The kernels of the quantized linear layer, and which config they take for which M.

    y[i, j] = sum_k x[i, k] * (code[j, k] - zero[j, g]) * scale[j, g] + bias[j],   g = k // group

`panel_kernel` contracts codes as they are (`mma` with scales): a target sums a group first and
scales it once, so products with integer codes are exact. `dense_kernel` turns codes into the
activations' dtype first, which rounds each weight once. Configs depend on M and the group only:
the order of the weights never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import torch

import tilewright as tw
from tilewright.runtime.kernel import kernel


@dataclass(frozen=True)
class Weights:
    """A weight (N, K): codes of shape (N, K), scales and zero points of shape (N, G)."""

    codes: tw.Tensor
    scales: tw.Tensor
    zeros: tw.Tensor | None


@kernel
def panel_kernel(
    x: tw.Tensor,
    w: Weights,
    bias: tw.Tensor | None,
    y: tw.Tensor,
    *,
    group: tw.Static,
    midpoint: tw.Static = 0,
    bm: tw.Static = 16,
    bn: tw.Static = 64,
    bk: tw.Static = 128,
    gk: tw.Static = 1,
) -> None:
    """y = x · Wᵀ + bias for tiles of bk columns, which hold gk groups."""
    j, i = tw.grid(tw.cdiv(w.codes.shape[0], bn), tw.cdiv(x.shape[0], bm))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, x.shape[1], bk):
        tile = tw.load(x, (i * bm, k), (bm, bk))
        codes = tw.load(w.codes, (j * bn, k), (bn, bk))
        scale = tw.load(w.scales, (j * bn, k // group), (bn, gk))
        if w.zeros is not None:
            zero = tw.load(w.zeros, (j * bn, k // group), (bn, gk))
            acc = tw.mma(tile, codes.T, acc, scale=scale.T, zero=zero.T)
        elif midpoint != 0:
            zero = tw.full((gk, bn), midpoint, tw.u8)
            acc = tw.mma(tile, codes.T, acc, scale=scale.T, zero=zero)
        else:
            acc = tw.mma(tile, codes.T, acc, scale=scale.T)
    if bias is not None:
        acc = acc + tw.load(bias, (j * bn,), (bn,)).cast(tw.f32)[None, :]
    tw.store(y, (i * bm, j * bn), acc.cast(y.dtype))


@kernel
def dense_kernel(
    x: tw.Tensor,
    w: Weights,
    bias: tw.Tensor | None,
    y: tw.Tensor,
    *,
    group: tw.Static,
    midpoint: tw.Static = 0,
    bm: tw.Static = 16,
    bn: tw.Static = 64,
    bk: tw.Static = 32,
    stages: tw.Static = 3,
) -> None:
    """y = x · Wᵀ + bias with weights decoded to x's dtype; bk divides the group."""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(w.codes.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, x.shape[1], bk, stages=stages):
        tile = tw.load(x, (i * bm, k), (bm, bk))
        weight = tw.load(w.codes, (j * bn, k), (bn, bk)).cast(tw.f32)
        scale = tw.load(w.scales, (j * bn, k // group), (bn, 1)).cast(tw.f32)
        if w.zeros is not None:
            weight = weight - tw.load(w.zeros, (j * bn, k // group), (bn, 1)).cast(tw.f32)
        elif midpoint != 0:
            weight = weight - midpoint
        acc = tw.mma(tile, (weight * scale).cast(x.dtype).T, acc)
    if bias is not None:
        acc = acc + tw.load(bias, (j * bn,), (bn,)).cast(tw.f32)[None, :]
    tw.store(y, (i * bm, j * bn), acc.cast(y.dtype))


PANEL_TILES = ((1, 256, 4096), (4, 128, 2048), (16, 256, 1024), (64, 256, 512))
"""(bm, bn, bk at most) of `panel_kernel`; the first whose bm holds M, else the last."""

DENSE_TILES = {2: ((16, 64, 32), (64, 64, 32)), 4: ((16, 32, 16), (32, 32, 16))}
"""The same for `dense_kernel`, by the bytes of an activation: f32 products run lane by lane."""


BLOCKS_PER_THREAD = 4
"""Fewer, and threads would wait for the last one."""


def panel_config(m: int, n: int, k: int, group: int, size: int) -> dict[str, Any]:
    """Tiles of `panel_kernel` for M rows of any dtype: bk holds whole groups, or divides one."""
    bm, bn, deep = choose_tiles(PANEL_TILES, m)
    while bn > 64 and n < BLOCKS_PER_THREAD * bn * torch.get_num_threads():
        bn //= 2
    if group >= k:  # one group: any depth lies within it
        return {"bm": bm, "bn": bn, "bk": min(deep, -(-k // 64) * 64), "gk": 1}
    if group > deep:
        return {"bm": bm, "bn": bn, "bk": gcd(group, deep), "gk": 1}
    count = min(deep // group, -(-k // group))
    return {"bm": bm, "bn": bn, "bk": group * count, "gk": count}


def dense_config(m: int, n: int, k: int, group: int, size: int) -> dict[str, Any]:
    """Tiles of `dense_kernel` for M rows of elements of `size` bytes: bk divides the group."""
    bm, bn, deep = choose_tiles(DENSE_TILES[size], m)
    return {"bm": bm, "bn": bn, "bk": deep if group >= k else gcd(group, deep)}


def choose_tiles(tiles: tuple[tuple[int, int, int], ...], m: int) -> tuple[int, int, int]:
    """The first of `tiles` that holds `m` rows, else the last."""
    return next((t for t in tiles if m <= t[0]), tiles[-1])
