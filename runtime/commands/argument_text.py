"""Arguments on the command line: `a=f16:128x64:randn`, `n=7`, `eps=1e-5`.

A tensor is `dtype:extents:fill`; fills are randn, randint (-8 to 7, exact in every dtype that has
them), zeros, ones, arange, and nan (an output that nobody wrote is then visible). `read_value` is
the one reader of a value, for kernels of ours (torch tensors, by name) and for PTX (NumPy arrays,
by position: `vm_values`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.ir.packing import pack_bits
from tilewright.ir.types import DType, parse_dtype
from tilewright.runtime.bindings import torch
from tilewright.runtime.errors import UsageError
from tilewright.runtime.tensors import TORCH_NAMES, PackedTensor, as_tensor, torch_dtype

FILLS = ("randn", "randint", "zeros", "ones", "arange", "nan")


@dataclass(frozen=True)
class TensorText:
    """A tensor as the command line describes it."""

    dtype: DType
    shape: tuple[int, ...]
    fill: str

    def codes(self, rng: np.random.Generator) -> Any:
        """The elements as codes of the dtype, in the smallest unsigned container."""
        try:
            return self.dtype.encode(_numbers(self.dtype, self.shape, self.fill, rng))
        except (MemoryError, ValueError):  # a ValueError where not even the size is a number
            shape = "x".join(map(str, self.shape))
            raise UsageError(f"there is no memory for {self.dtype.name}:{shape}") from None


def parse_arguments(texts: Sequence[str], seed: int) -> dict[str, Any]:
    """Name → tensor or number, in the order given."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"cannot read --arg {text}", "write --arg a=f16:128x64:randn")
        read = read_value(value, text)
        found[name] = make_tensor(read, rng) if isinstance(read, TensorText) else read
    return found


def read_value(value: str, text: str) -> TensorText | int | float:
    """A number, or `dtype:extents:fill`; `text` is the whole option, for messages."""
    parts = value.split(":")
    if len(parts) == 1:
        return read_number(value, text)
    if len(parts) != 3 or parts[2] not in FILLS:
        raise UsageError(
            f"cannot read --arg {text}", f"write dtype:128x64:fill, fill one of {', '.join(FILLS)}"
        )
    return TensorText(read_dtype(parts[0], text), read_extents(parts[1], text), parts[2])


def read_number(value: str, text: str) -> int | float:
    """`7`, `0x1f`, `-2.5`, `1e-5`, `inf`."""
    try:
        return int(value, 16 if value.lower().lstrip("+-").startswith("0x") else 10)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"cannot read --arg {text}", "a scalar is a number") from None


def read_dtype(name: str, text: str) -> DType:
    """A dtype by our name."""
    try:
        return parse_dtype(name)
    except ValueError as error:
        raise UsageError(f"cannot read --arg {text}: {error}") from None


def read_extents(extents: str, text: str) -> tuple[int, ...]:
    """`128x64`; each part is a whole number, 0 allowed."""
    parts = extents.split("x")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(
            f"cannot read --arg {text}: {extents!r} is no shape", "write extents as 128x64"
        )
    return tuple(int(part) for part in parts)


def make_tensor(wanted: TensorText, rng: np.random.Generator) -> Any:
    """A CPU tensor of the dtype; of bytes, packed, where torch has no such dtype."""
    dtype, codes = wanted.dtype, wanted.codes(rng)
    if dtype.name not in TORCH_NAMES:
        return as_tensor(torch().from_numpy(pack_bits(codes, dtype.bits)), dtype, wanted.shape)
    signed = np.ascontiguousarray(codes).view(f"i{codes.itemsize}")
    return torch().from_numpy(signed).view(torch_dtype(dtype)).reshape(wanted.shape)


def _numbers(dtype: DType, shape: tuple[int, ...], fill: str, rng: np.random.Generator) -> Any:
    match fill:
        case "randn" if dtype.is_float or dtype.kind == "codebook":
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
