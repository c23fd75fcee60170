"""Matrix product, like `torch.matmul` for matrices and batches of them.

    out[..., i, j] = sum_k a[..., i, k] * b[..., k, j]

Accumulates in f32 (i32 for 8-bit integers, f64 for f64). f32 operands are exact unless torch's own
switch (`torch.set_float32_matmul_precision`) allows tf32 on a GPU. Error bound for the relative
Frobenius norm: about sqrt(k) * 2^-24 for the sum, plus half a unit in the last place of the
result's dtype (Higham, Accuracy and Stability of Numerical Algorithms, section 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

import tilewright as tw
from tilewright.ops.plain import runs_plainly
from tilewright.ops.prepared import Launches, describe
from tilewright.ops.registry import FLOATS, register
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.kernel import kernel

_CPU = ({"bm": 128, "bn": 128, "bk": 64},)
_CUDA = (
    {"bm": 128, "bn": 128, "bk": 32, "stages": 4},
    {"bm": 64, "bn": 64, "bk": 32, "stages": 4},
)


def reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product in float64."""
    return a.double() @ b.double()


@kernel(configs={"cpu": _CPU, "cuda": _CUDA}, spills="raise")
def matmul_kernel(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    acc_dtype: tw.Static = tw.f32,
    precision: tw.Static = "exact",
    bm: tw.Static = 128,
    bn: tw.Static = 128,
    bk: tw.Static = 32,
    stages: tw.Static = 3,
) -> None:
    """c[i, j] = sum_k a[i, k] * b[k, j]"""
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[1], bn))
    acc = tw.zeros((bm, bn), acc_dtype)
    for k in tw.range(0, a.shape[1], bk, stages=stages):
        x = tw.load(a, (i * bm, k), (bm, bk))
        y = tw.load(b, (k, j * bn), (bk, bn))
        acc = tw.mma(x, y, acc, precision=precision)
    tw.store(c, (i * bm, j * bn), acc.cast(c.dtype))


_ACCUMULATORS = {torch.float64: tw.f64, torch.int8: tw.i32, torch.uint8: tw.i32}


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a · b for `a` (..., m, k) and `b` (k, n) or (..., k, n), of one dtype, with any strides.

    dtypes f16, bf16, f32, f64 (result of the same dtype), i8 and u8 (result i32). Batches
    broadcast. Differentiable for floats. Raises `LaunchError` naming what does not fit.
    """
    if runs_plainly(a, b):
        return _run(a, b)
    _check(a, b)
    result: torch.Tensor = _op(a, b)
    return result


_launches = Launches()


def _check(a: torch.Tensor, b: torch.Tensor) -> None:
    for name, tensor in (("a", a), ("b", b)):
        if not isinstance(tensor, torch.Tensor):
            raise LaunchError(
                f"{name} is a {type(tensor).__name__}, want a tensor", "torch.as_tensor it first"
            )
        if tensor.dim() < 2:
            raise LaunchError(f"{name} has shape {tuple(tensor.shape)}, want at least 2 axes")
        if tensor.dtype not in (*FLOATS, torch.int8, torch.uint8):
            raise LaunchError(f"{name} has dtype {tensor.dtype}", "cast it to a float dtype")
    if a.dtype != b.dtype:
        raise LaunchError(f"a has dtype {a.dtype}, b has {b.dtype}", "cast one of them")
    if a.device != b.device:
        raise LaunchError(f"a is on {a.device}, b is on {b.device}", "move one of them")
    if a.shape[-1] != b.shape[-2]:
        raise LaunchError(
            f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}: "
            f"{a.shape[-1]} columns meet {b.shape[-2]} rows",
            "transpose one of them",
        )
    if a.dim() == b.dim() == 2:
        return
    try:
        torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except RuntimeError:
        raise LaunchError(
            f"the batches of a {tuple(a.shape[:-2])} and b {tuple(b.shape[:-2])} do not broadcast"
        ) from None


def choose_tiles(m: int, dtype: torch.dtype) -> dict[str, int]:
    """CPU tiles for a product, which the target groups as it likes; flat for few rows."""
    if m <= 32:
        return {"bm": 32, "bn": 128, "bk": 512 if dtype == torch.bfloat16 else 256}
    return {"bm": 128, "bn": 128, "bk": 64}


def _out_shape(a: torch.Tensor, b: torch.Tensor) -> list[int]:
    batch: Sequence[int] = ()
    if a.dim() > 2 or b.dim() > 2:
        batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return [*batch, a.shape[-2], b.shape[-1]]


def _empty(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    dtype = a.dtype if a.dtype in FLOATS else torch.int32
    return torch.empty(_out_shape(a, b), dtype=dtype, device=a.device)


def _run(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    key = (describe(a), describe(b))
    found = _launches.find(key)
    if found is not None:
        return found.run(a, b)
    _check(a, b)
    out = _empty(a, b)
    options: dict[str, Any] = {"acc_dtype": _ACCUMULATORS.get(a.dtype, tw.f32)}
    if a.is_cuda and a.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        options["precision"] = "tf32"
    if not a.is_cuda:
        rows = prod(a.shape[:-1]) if b.dim() == 2 else a.shape[-2]
        options |= choose_tiles(rows, a.dtype)
    if a.dim() == b.dim() == 2:
        if a.is_cpu and a.dtype == out.dtype:
            launch = matmul_kernel.prepare(a, b, out, **options)
            return _launches.keep(key, launch, out.shape).run(a, b)
        matmul_kernel(a, b, out, **options)
        return out
    if b.dim() == 2 and a.dim() > 2:
        rows = prod(a.shape[:-1])
        flat = a.reshape(rows, a.shape[-1])
        matmul_kernel(flat, b, out.view(rows, b.shape[1]), **options)
        return out
    batch = out.shape[:-2]
    left, right = a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])
    count = prod(batch)
    left, right = (t.reshape(count, *t.shape[-2:]) for t in (left, right))
    flat_out = out.view(count, *out.shape[-2:])
    for index in range(count):
        matmul_kernel(left[index], right[index], flat_out[index], **options)
    return out


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    a, b = ctx.saved_tensors
    grad_a = grad_b = None
    if ctx.needs_input_grad[0]:
        grad_a = _op(grad, b.mT).sum_to_size(a.shape)
    if ctx.needs_input_grad[1]:
        grad_b = _op(a.mT, grad).sum_to_size(b.shape)
    return grad_a, grad_b


_op = register(
    "matmul(Tensor a, Tensor b) -> Tensor",
    _run,
    _empty,
    backward=_backward,
    setup_context=_setup_context,
)
