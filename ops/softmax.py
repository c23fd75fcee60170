"""Softmax along the last axis: rows that fit a tile in one sweep, wider ones in two.

    out[..., j] = exp(x[..., j] - max) / sum_i exp(x[..., i] - max)

Computed in f32 (f64 for f64). A row of only -inf gives NaN, as in torch. Relative error of the
result: about (n + 10) units of 2^-24 in the worst case, a few in practice.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

import tilewright as tw
from tilewright.ops.registry import check_rows, register
from tilewright.runtime.kernel import kernel

_CONFIGS = {"cpu": ({"bm": 4, "bn": 1024},), "cuda": ({"bm": 4, "bn": 256},)}


def reference(x: torch.Tensor) -> torch.Tensor:
    """Softmax in float64."""
    return x.double().softmax(-1)


@kernel(configs=_CONFIGS, spills="raise")
def softmax_kernel(
    x: tw.Tensor,
    y: tw.Tensor,
    *,
    dtype: tw.Static = tw.f32,
    bm: tw.Static = 4,
    bn: tw.Static = 256,
) -> None:
    """y[i, :] = softmax(x[i, :])"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    top = tw.full((bm, 1), -float("inf"), dtype)
    total = tw.zeros((bm, 1), dtype)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn), other=-float("inf")).cast(dtype)
        higher = tw.maximum(top, tile.max(axis=1, keep=True))
        anchor = tw.where(higher == -float("inf"), 0.0, higher)
        total = total * tw.exp(top - anchor) + tw.exp(tile - anchor).sum(axis=1, keep=True)
        top = higher
    anchor = tw.where(top == -float("inf"), 0.0, top)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(dtype)
        tw.store(y, (i * bm, j), (tw.exp(tile - anchor) / total).cast(y.dtype))


@kernel(spills="raise")
def softmax_row_kernel(
    x: tw.Tensor,
    y: tw.Tensor,
    *,
    dtype: tw.Static = tw.f32,
    bm: tw.Static = 1,
    bn: tw.Static = 1024,
) -> None:
    """y[i, :] = softmax(x[i, :]) for rows of at most bn elements: one read, one exponential"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    tile = tw.load(x, (i * bm, 0), (bm, bn), other=-float("inf")).cast(dtype)
    top = tile.max(axis=1, keep=True)
    powers = tw.exp(tile - tw.where(top == -float("inf"), 0.0, top))
    tw.store(y, (i * bm, 0), (powers / powers.sum(axis=1, keep=True)).cast(y.dtype))


_WIDEST = {"cpu": 16384, "cuda": 4096}
"""Elements of a tile that a block holds at once: in the first-level cache, or in registers."""


def softmax(x: torch.Tensor) -> torch.Tensor:
    """Softmax of `x` (..., n) along its last axis; f16, bf16, f32, f64; any strides.

    Differentiable. Raises `LaunchError` for other dtypes and for scalars.
    """
    check_rows(x)
    result: torch.Tensor = _op(x)
    return result


def _run(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows = prod(x.shape[:-1])
    dtype = tw.f64 if x.dtype == torch.float64 else tw.f32
    flat, result = x.reshape(rows, x.shape[-1]), out.view(rows, x.shape[-1])
    widest = _WIDEST["cuda" if x.is_cuda else "cpu"]
    width = max(32, 1 << max(0, x.shape[-1] - 1).bit_length())
    if width <= widest:
        height = max(1, min(8, widest // 4 // width))
        softmax_row_kernel(flat, result, dtype=dtype, bm=height, bn=width)
    else:
        softmax_kernel(flat, result, dtype=dtype)
    return out


def _fake(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(output)


def _backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    (out,) = ctx.saved_tensors
    product: torch.Tensor = grad * out
    result: torch.Tensor = product - out * product.sum(-1, keepdim=True)
    return result


_op = register(
    "softmax(Tensor x) -> Tensor", _run, _fake, backward=_backward, setup_context=_setup_context
)
