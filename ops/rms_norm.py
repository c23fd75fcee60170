"""RMSNorm along the last axis (Zhang and Sennrich, 2019).

    out[..., j] = x[..., j] * weight[j] / sqrt(mean_i x[..., i]^2 + eps)

Computed in f32 (f64 for f64), rounded once at the end; `eps` is compiled in. Relative error: at
most (n + 12) units of 2^-24 before that rounding.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

import tilewright as tw
from tilewright.ops.registry import FLOATS, check_rows, register
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.kernel import kernel

_CONFIGS = {"cpu": ({"bm": 4, "bn": 1024},), "cuda": ({"bm": 4, "bn": 256},)}


def reference(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMSNorm in float64."""
    wide = x.double()
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weight.double()


@kernel(configs=_CONFIGS, spills="raise")
def rms_norm_kernel(
    x: tw.Tensor,
    weight: tw.Tensor,
    y: tw.Tensor,
    *,
    eps: tw.Static,
    dtype: tw.Static = tw.f32,
    bm: tw.Static = 4,
    bn: tw.Static = 256,
) -> None:
    """y[i, j] = x[i, j] * weight[j] / sqrt(mean_j x[i, j]^2 + eps)"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    squares = tw.zeros((bm, 1), dtype)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(dtype)
        squares += (tile * tile).sum(axis=1, keep=True)
    count = tw.full((bm, 1), x.shape[1], dtype)
    factor = tw.rsqrt(squares / count + eps)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(dtype)
        scale = tw.load(weight, (j,), (bn,)).cast(dtype)[None, :]
        tw.store(y, (i * bm, j), (tile * factor * scale).cast(y.dtype))


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """RMSNorm of `x` (..., n) with `weight` (n,); f16, bf16, f32, f64; any strides.

    Differentiable in both. Raises `LaunchError` where shapes, dtypes or devices do not fit.
    """
    check_rows(x)
    if weight.dtype not in FLOATS:
        raise LaunchError(f"weight has dtype {weight.dtype}", "cast it to f16, bf16, f32 or f64")
    if tuple(weight.shape) != (x.shape[-1],):
        raise LaunchError(f"weight has shape {tuple(weight.shape)}, want ({x.shape[-1]},)")
    if weight.device != x.device:
        raise LaunchError(f"x is on {x.device}, weight is on {weight.device}", "move one of them")
    result: torch.Tensor = _op(x, weight, float(eps))
    return result


def _run(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows = prod(x.shape[:-1])
    dtype = tw.f64 if x.dtype == torch.float64 else tw.f32
    flat = x.reshape(rows, x.shape[-1])
    rms_norm_kernel(flat, weight, out.view(rows, x.shape[-1]), eps=eps, dtype=dtype)
    return out


def _fake(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weight, ctx.eps = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
    x, weight = ctx.saved_tensors
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    x32, g32, w32 = x.to(wide), grad.to(wide), weight.to(wide)
    factor = torch.rsqrt(x32.square().mean(-1, keepdim=True) + ctx.eps)
    scaled = g32 * w32
    inner = (scaled * x32).mean(-1, keepdim=True)
    grad_x = factor * scaled - factor.pow(3) * x32 * inner
    grad_weight = (g32 * x32 * factor).reshape(-1, x.shape[-1]).sum(0)
    return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


_op = register(
    "rms_norm(Tensor x, Tensor weight, float eps) -> Tensor",
    _run,
    _fake,
    backward=_backward,
    setup_context=_setup_context,
)
