"""Real weights to codes, scales and zero points, and back.

The scale of a group is the smallest that brings all of it into the range of the codes, rounded to
the scale dtype first and used rounded, so its rounding costs no accuracy. Codes are the nearest
(ties to even): the error of a weight is at most half a step of its code times the scale, plus what
is lost at the ends of the range by rounding the scale down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from tilewright.ops.quant.bits import pack_codes, unpack_codes
from tilewright.ops.quant.spec import QSpec
from tilewright.runtime.errors import LaunchError

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Parts:
    """A quantized weight in its portable form."""

    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor | None


def quantize_parts(weight: torch.Tensor, spec: QSpec) -> Parts:
    """The portable form of `weight` (N, K), a slice of rows at a time."""
    pieces = [_quantize(rows, spec) for rows in weight.split(ROWS_AT_ONCE)] or [
        _quantize(weight, spec)
    ]
    zeros = [p.zeros for p in pieces if p.zeros is not None]
    return Parts(
        torch.cat([p.codes for p in pieces]),
        torch.cat([p.scales for p in pieces]),
        torch.cat(zeros) if zeros else None,
    )


def _quantize(weight: torch.Tensor, spec: QSpec) -> Parts:
    n, k = weight.shape
    groups = spec.groups(k)
    real = weight.double() if weight.dtype == torch.float64 else weight.float()
    if weight.is_meta:
        raise LaunchError("weight is on device meta and has no values", "load its values first")
    if not torch.isfinite(real).all():
        raise LaunchError("weight has values that are infinite or not numbers")
    wide = torch.nn.functional.pad(real, (0, groups * spec.group - k))
    wide = wide.view(n, groups, spec.group)
    low, high = wide.amin(-1).clamp_max(0), wide.amax(-1).clamp_min(0)
    scale = _round_scale(_find_scale(low, high, spec), spec)
    step = scale.to(real.dtype)
    zero = None
    if spec.has_zeros:
        zero = (-low / step).round().clamp(0, (1 << spec.bits) - 1)
    numbers = (wide / step.unsqueeze(-1)).view(n, -1)[:, :k]
    offset = _spread(zero, spec, k) if zero is not None else spec.midpoint
    codes = _encode(numbers, offset, spec)
    return Parts(
        pack_codes(codes, spec.bits), scale, None if zero is None else zero.to(torch.uint8)
    )


def _find_scale(low: torch.Tensor, high: torch.Tensor, spec: QSpec) -> torch.Tensor:
    """The smallest scale that brings low … high into the range of the codes."""
    if spec.has_zeros:
        return (high - low) / ((1 << spec.bits) - 1)
    top, bottom = spec.code.max - spec.midpoint, spec.code.min - spec.midpoint
    up = high / top if top > 0 else torch.zeros_like(high)
    down = low / bottom if bottom < 0 else torch.zeros_like(low)
    return torch.maximum(up, down)


def _round_scale(scale: torch.Tensor, spec: QSpec) -> torch.Tensor:
    rounded = scale.to(spec.scale_dtype)
    if not torch.isfinite(rounded).all():
        raise LaunchError(f"weight is too large for scales of {spec.scale}", 'QSpec(scale="f32")')
    rounded = rounded.clamp_min(torch.finfo(spec.scale_dtype).tiny)
    return torch.where(scale > 0, rounded, torch.ones_like(rounded))


def _encode(numbers: torch.Tensor, offset: torch.Tensor | int, spec: QSpec) -> torch.Tensor:
    """uint8 codes of scaled weights: by rounding for integers, else by the type's own rule."""
    code = spec.code
    if code.is_integer:
        whole = (numbers.round() + offset).clamp(code.min, code.max)
        return (whole.to(torch.int16) & ((1 << code.bits) - 1)).to(torch.uint8)
    found = code.encode(numbers.cpu().numpy())
    return torch.from_numpy(found).to(numbers.device)


def _spread(values: torch.Tensor, spec: QSpec, k: int) -> torch.Tensor:
    """One value per column of one per group."""
    return values.repeat_interleave(spec.group, dim=1)[:, :k]


def dequantize_parts(parts: Parts, spec: QSpec, k: int, dtype: torch.dtype) -> torch.Tensor:
    """(number(code) - zero) · scale in f32 (f64 if asked for), rounded once to `dtype`."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    table = torch.tensor(_numbers(spec), dtype=wide, device=parts.codes.device)
    weight = torch.empty(parts.codes.shape[0], k, dtype=dtype, device=parts.codes.device)
    for start in range(0, weight.shape[0], ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        numbers = table[unpack_codes(parts.codes[rows], spec.bits, k).int()]
        if parts.zeros is not None:
            numbers -= _spread(parts.zeros[rows].to(wide), spec, k)
        weight[rows] = numbers * _spread(parts.scales[rows].to(wide), spec, k)
    return weight


@cache
def _numbers(spec: QSpec) -> tuple[float, ...]:
    """What each code means, the midpoint subtracted."""
    every = torch.arange(1 << spec.bits, dtype=torch.uint8).numpy()
    return tuple(float(v) - spec.midpoint for v in spec.code.decode(every))
