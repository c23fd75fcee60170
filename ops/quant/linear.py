"""The linear layer on quantized weights as a torch operator.

    out[..., j] = sum_k x[..., k] * W[j, k] + bias[j],   W = dequantize(q)

Sums in f32, rounded once to x's dtype. On a CPU with f32 activations the error of an output is at
most (K + 8) * 2^-23 * sum_k |x| * (code + zero) * scale; with 16-bit activations code + zero + 32
stands for code + zero, and half a unit in the last place of the result is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from tilewright.ir.types import DType, u8
from tilewright.ops.plain import runs_plainly
from tilewright.ops.prepared import Launches, describe
from tilewright.ops.quant.forms import FORMS, Form, family_of
from tilewright.ops.quant.kernels import (
    Weights,
    dense_config,
    dense_kernel,
    panel_config,
    panel_kernel,
)
from tilewright.ops.quant.spec import QSpec
from tilewright.ops.quant.tensor import PORTABLE, QuantizedTensor
from tilewright.ops.registry import register
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.kernel import KernelFunction
from tilewright.runtime.plans import Prepared
from tilewright.runtime.tensors import as_tensor, dtype_of

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True)
class Way:
    """How a family runs the layer: its kernel, and the config for (M, N, K, group, bytes of x)."""

    kernel: KernelFunction
    config: Callable[[int, int, int, int, int], dict[str, Any]]


WAYS = {"cpu": Way(panel_kernel, panel_config), "cuda": Way(dense_kernel, dense_config)}


def quant_linear(
    x: torch.Tensor, q: QuantizedTensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """x · Wᵀ + bias for `x` (..., K) in f16, bf16 or f32 and a quantized weight (N, K).

    `q` is in its device form on x's device; `bias` is (N,) of x's dtype. The result has x's dtype.
    Differentiable in x and bias. Raises `LaunchError` naming the argument that does not fit.
    """
    if not isinstance(q, QuantizedTensor):
        raise LaunchError(f"q is a {type(q).__name__}, want a QuantizedTensor", "q = quantize(w)")
    if q.form == PORTABLE:
        raise LaunchError("q is in its portable form", "q = q.to_device_form(), once")
    if q.form != ("cuda" if x.is_cuda else "cpu") and x.device == q.device:
        raise LaunchError(
            f"q is in the form of family {q.form}, x is on {x.device}",
            "q = q.to_portable_form().to_device_form()",
        )
    return call_linear(x, q.codes, q.scales, q.zeros, bias, q.spec.text, *q.shape)


def call_linear(
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    spec: str,
    n: int,
    k: int,
) -> torch.Tensor:
    """`quant_linear` on plain tensors in device form; checks what the operator relies on."""
    if runs_plainly(x, codes, scales, zeros, bias):
        return _run(x, codes, scales, zeros, bias, spec, n, k)
    _check(x, codes, bias, n, k)
    result: torch.Tensor = _linear(x, codes, scales, zeros, bias, spec, n, k)
    return result


def _check(x: torch.Tensor, codes: torch.Tensor, bias: torch.Tensor | None, n: int, k: int) -> None:
    """Raise LaunchError for what does not fit; the operator checks the weights' own parts."""
    if x.dtype not in FLOATS:
        raise LaunchError(f"x has dtype {x.dtype}, want f16, bf16 or f32", "x.bfloat16()")
    if x.dim() == 0 or x.shape[-1] != k:
        raise LaunchError(f"x has shape {tuple(x.shape)}, want (..., {k}): q is ({n}, {k})")
    if x.device != codes.device:
        raise LaunchError(f"x is on {x.device}, q is on {codes.device}", f"q.to('{x.device}')")
    if bias is None:
        return
    if tuple(bias.shape) != (n,):
        raise LaunchError(f"bias has shape {tuple(bias.shape)}, want ({n},)")
    if bias.dtype != x.dtype:
        raise LaunchError(f"bias has dtype {bias.dtype}, x has {x.dtype}", "cast one of them")
    if bias.device != x.device:
        raise LaunchError(f"bias is on {bias.device}, x is on {x.device}", "move one of them")


def _view(tensor: torch.Tensor, dtype: DType, shape: tuple[int, int], packing: str | None) -> Any:
    """`tensor` as a kernel's argument: in a device order, or as it is."""
    if packing is None and tensor.dtype != torch.uint8:
        return tensor
    return as_tensor(tensor.view(torch.uint8), dtype, shape, packing)


def _weights(
    form: Form,
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    spec: QSpec,
    shape: tuple[int, int],
) -> Weights:
    if scales.dtype != spec.scale_dtype:
        raise LaunchError(
            f"scales have dtype {scales.dtype}, {spec.text!r} says {spec.scale}", "do not cast them"
        )
    if (zeros is not None) != spec.has_zeros:
        raise LaunchError(f"zeros are {'missing' if zeros is None else 'given'}, spec is {spec}")
    groups = (shape[0], spec.groups(shape[1]))
    return Weights(
        _view(codes, spec.code, shape, form.codes),
        _view(scales, dtype_of(scales), groups, form.values),
        None if zeros is None else _view(zeros, u8, groups, form.values),
    )


def launch_linear(
    x: torch.Tensor,
    weights: Weights,
    bias: torch.Tensor | None,
    y: torch.Tensor,
    spec: QSpec,
    *,
    family: str,
    target: str | None = None,
) -> Any:
    """Run the family's kernel on matrices x (M, K) and y (M, N)."""
    way = WAYS[family]
    statics = _statics(way, x, y.shape[1], spec)
    return way.kernel(x, weights, bias, y, target=target, **statics)


def _statics(way: Way, x: torch.Tensor, n: int, spec: QSpec) -> dict[str, Any]:
    config = way.config(x.shape[0], n, x.shape[1], spec.group, x.element_size())
    return {"group": spec.group, "midpoint": spec.midpoint, **config}


def _run(
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    text: str,
    n: int,
    k: int,
) -> torch.Tensor:
    x = x.contiguous()
    if x.is_cpu:
        held = (x, codes, scales, zeros, bias)
        key = (text, n, k, *[None if t is None else describe(t) for t in held])
        found = _launches.find(key)
        if found is None:
            _check(x, codes, bias, n, k)
            out = x.new_empty(*x.shape[:-1], n)
            launch = _prepare(x, codes, scales, zeros, bias, out, QSpec.parse(text))
            found = _launches.keep(key, launch, out.shape)
        return found.run(*held)
    _check(x, codes, bias, n, k)
    out = x.new_empty(*x.shape[:-1], n)
    spec, rows = QSpec.parse(text), prod(x.shape[:-1])
    weights = _weights(FORMS["cuda"], codes, scales, zeros, spec, (n, k))
    launch_linear(x.view(rows, k), weights, bias, out.view(rows, n), spec, family="cuda")
    return out


_launches = Launches()


def _prepare(
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    spec: QSpec,
) -> Prepared:
    n, k = out.shape[-1], x.shape[-1]
    rows, way = prod(x.shape[:-1]), WAYS["cpu"]
    weights = _weights(FORMS["cpu"], codes, scales, zeros, spec, (n, k))
    x = x.view(rows, k)
    args = (x, weights, bias, out.view(rows, n))
    return way.kernel.prepare(*args, **_statics(way, x, n, spec))


def _fake(
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    text: str,
    n: int,
    k: int,
) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], n)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, codes, scales, zeros, _bias, ctx.spec, ctx.n, ctx.k = inputs
    ctx.dtype, ctx.has_zeros = x.dtype, zeros is not None
    ctx.save_for_backward(codes, scales, *(() if zeros is None else (zeros,)))


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        codes, scales, *zeros = ctx.saved_tensors
        zero = zeros[0] if zeros else None
        weight = _dequantize(codes, scales, zero, ctx.spec, ctx.n, ctx.k, ctx.dtype)
        grad_x = grad @ weight
    if ctx.needs_input_grad[4]:
        grad_bias = grad.reshape(-1, ctx.n).sum(0)
    return grad_x, None, None, None, grad_bias, None, None, None


def _run_dequantize(
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    text: str,
    n: int,
    k: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    spec = QSpec.parse(text)
    held = QuantizedTensor(codes, scales, zeros, spec, (n, k), family_of(codes.device))
    return held.dequantize(dtype)


def _fake_dequantize(
    codes: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    text: str,
    n: int,
    k: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    return scales.new_empty(n, k, dtype=dtype)


_linear = register(
    "quant_linear(Tensor x, Tensor codes, Tensor scales, Tensor? zeros, Tensor? bias, str spec, "
    "SymInt n, SymInt k) -> Tensor",
    _run,
    _fake,
    backward=_backward,
    setup_context=_setup_context,
)
_dequantize = register(
    "dequantize(Tensor codes, Tensor scales, Tensor? zeros, str spec, SymInt n, SymInt k, "
    "ScalarType dtype) -> Tensor",
    _run_dequantize,
    _fake_dequantize,
)
