"""Arguments on the command line: `a=f16:128x64:randn`, `n=7`, `eps=1e-5`.

A tensor is `dtype:extents:fill`; fills are randn, randint (-8 to 7, exact in every dtype that has
them), zeros, ones, arange, and nan (an output that nobody wrote is then visible).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilewright.ir.packing import pack_bits
from tilewright.ir.types import DType, parse_dtype
from tilewright.runtime.bindings import torch
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.tensors import TORCH_NAMES, PackedTensor, as_tensor, torch_dtype

FILLS = ("randn", "randint", "zeros", "ones", "arange", "nan")


def parse_arguments(texts: Sequence[str], seed: int) -> dict[str, Any]:
    """Name → tensor or number, in the order given."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise LaunchError(f"cannot read --arg {text}", "write --arg a=f16:128x64:randn")
        found[name] = _parse_value(value, text, rng)
    return found


def _parse_value(value: str, text: str, rng: np.random.Generator) -> Any:
    parts = value.split(":")
    if len(parts) == 1:
        try:
            return float(value) if any(c in value for c in ".en") else int(value)
        except ValueError:
            raise LaunchError(f"cannot read --arg {text}", "a scalar is a number") from None
    if len(parts) != 3 or parts[2] not in FILLS:
        raise LaunchError(
            f"cannot read --arg {text}", f"write dtype:128x64:fill, fill one of {', '.join(FILLS)}"
        )
    try:
        dtype = parse_dtype(parts[0])
        shape = tuple(int(e) for e in parts[1].split("x"))
    except ValueError as error:
        raise LaunchError(f"cannot read --arg {text}: {error}") from None
    return make_tensor(dtype, shape, parts[2], rng)


def make_tensor(dtype: DType, shape: tuple[int, ...], fill: str, rng: np.random.Generator) -> Any:
    """A CPU tensor of `dtype`; of bytes, packed, where torch has no such dtype."""
    codes = dtype.encode(_numbers(dtype, shape, fill, rng))
    if dtype.name not in TORCH_NAMES:
        return as_tensor(torch().from_numpy(pack_bits(codes, dtype.bits)), dtype, shape)
    signed = np.ascontiguousarray(codes).view(f"i{codes.itemsize}")
    return torch().from_numpy(signed).view(torch_dtype(dtype)).reshape(shape)


def _numbers(dtype: DType, shape: tuple[int, ...], fill: str, rng: np.random.Generator) -> Any:
    match fill:
        case "randn" if dtype.is_float:
            return rng.standard_normal(shape)
        case "randn" | "randint":
            low = -8 if dtype.signed else 0
            return np.clip(rng.integers(low, 8, shape), dtype.min, dtype.max)
        case "ones":
            return np.ones(shape, np.int64)
        case "arange":
            return np.arange(int(np.prod(shape))).reshape(shape)
        case "nan" if dtype.is_float:
            return np.full(shape, np.nan)
    return np.zeros(shape, np.int64)


def describe(value: Any) -> str:
    """One line about a tensor's contents."""
    if isinstance(value, PackedTensor):
        return f"{value.dtype.name}{list(value.shape)}, {value.storage.numel()} bytes"
    wide = value.double()
    if not value.numel():
        return f"{value.dtype}{list(value.shape)}, empty"
    return (
        f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}: "
        f"min {wide.min():.6g}, max {wide.max():.6g}, mean {wide.mean():.6g}, "
        f"{int(wide.isnan().sum())} NaN"
    )
