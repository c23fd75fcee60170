"""Arguments of PTX entries on the command line, checked against the entry's parameters.

    f16:128x64:randn                                     a tensor: a device pointer to it
    data.npy                                             the same, from a file
    tensormap:f16:128x64:randn:box=64x64:swizzle=128     a TMA descriptor, by value
    5, 0x1f, 2.5                                         a number, as the parameter declares it
    i32=5, bf16=0.5                                      a number of a stated type
    bytes:00ff…                                          a struct by value, in hexadecimal
    n=…                                                  any of these for the parameter n

Values without a name take the parameters in order. Types are ours (`ir.types`); PTX's `s32` and
`b32` are understood as `i32` and `u32`. No torch: everything lies in NumPy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.ir.packing import pack_bits, unpack_bits
from tilewright.ir.types import DType
from tilewright.runtime import vm
from tilewright.runtime.commands.argument_text import (
    TensorText,
    read_extents,
    read_number,
    read_value,
)
from tilewright.runtime.commands.vm_parameters import (
    MAP_BYTES,
    POINTER_BYTES,
    assign,
    check_bytes,
    check_kind,
    encode_number,
    fit_number,
    read_type,
)
from tilewright.runtime.errors import UsageError
from tilewright.runtime.vm.records import Function, Variable
from tilewright.runtime.vm.tensor_map import KINDS

_NUMPY = {
    "f16": "f2", "f32": "f4", "f64": "f8", "bool": "?",
    **{f"{k}{n}": f"{k}{n // 8}" for k in "iu" for n in (8, 16, 32, 64)},
}  # fmt: skip
_TYPED = re.compile(r"([a-z]\w*)=([^:=]+)")


@dataclass(frozen=True, eq=False)
class Memory:
    """An array that the kernel may change: the bytes as NumPy holds them, and what they mean."""

    array: Any
    dtype: DType | None = None
    shape: tuple[int, ...] = ()

    def values(self) -> Any:
        """The elements as numbers."""
        if self.dtype is None or self.dtype.name in _NUMPY:
            return self.array
        codes = self.array
        if self.dtype.bits < 8:
            codes = unpack_bits(codes, self.dtype.bits, self.shape[-1])
        return self.dtype.decode(codes)

    def __str__(self) -> str:
        """The contents in one line."""
        name = self.dtype.name if self.dtype else str(self.array.dtype)
        shape = list(self.shape if self.dtype else self.array.shape)
        values = self.values()
        if not values.size:
            return f"{name}{shape}, empty"
        wide = values.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            low, high, mean = wide.min(), wide.max(), wide.mean()
        missing = int(np.isnan(wide).sum())
        return f"{name}{shape}: min {low:.6g}, max {high:.6g}, mean {mean:.6g}, {missing} NaN"


@dataclass(frozen=True, eq=False)
class Made:
    """One argument: what `vm.run` takes, and its memory if it has any."""

    value: Any
    memory: Memory | None = None


def make_values(texts: Sequence[str], entry: Function, seed: int) -> list[Made]:
    """One argument per parameter; UsageError where they do not fit."""
    rng = np.random.default_rng(seed)
    ordered = assign(texts, entry)
    return [
        _make(param, text, value, rng)
        for param, (text, value) in zip(entry.params, ordered, strict=True)
    ]


def _make(param: Variable, text: str, value: str, rng: np.random.Generator) -> Made:
    """One argument, and whether the parameter can hold it."""
    if value.startswith("tensormap:"):
        made = _make_map(value.removeprefix("tensormap:"), text, rng)
        check_bytes(param, text, MAP_BYTES, "a tensor map")
        return made
    if value.startswith("bytes:"):
        raw = _read_bytes(value.removeprefix("bytes:"), text)
        check_bytes(param, text, len(raw), "the value")
        return Made(raw)
    if match := _TYPED.fullmatch(value):
        dtype = read_type(match[1], text)
        raw = encode_number(dtype, read_number(match[2], text), text)
        check_bytes(param, text, len(raw), dtype.name)
        check_kind(param, text, dtype)
        return Made(raw)
    if value.endswith(".npy") or ":" in value:
        check_bytes(param, text, POINTER_BYTES, "a pointer")
        memory = _make_memory(value, text, rng)
        return Made(memory.array, memory)
    return Made(fit_number(param, read_number(value, text), text))


def _make_memory(value: str, text: str, rng: np.random.Generator) -> Memory:
    if value.endswith(".npy"):
        return Memory(_load(value, text))
    kind, colon, rest = value.partition(":")
    read = read_value(f"{read_type(kind, text).name}{colon}{rest}", text)
    assert isinstance(read, TensorText)
    dtype, codes = read.dtype, np.ascontiguousarray(read.codes(rng))
    if dtype.bits < 8 and not read.shape[-1:]:
        raise UsageError(f"cannot read --arg {text}: no extents")
    array = pack_bits(codes, dtype.bits) if dtype.bits < 8 else codes
    if dtype.name in _NUMPY:
        array = codes.view(_NUMPY[dtype.name])
    return Memory(np.ascontiguousarray(array), dtype, read.shape)


def _load(file: str, text: str) -> Any:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"--arg {text}: cannot read {file}: {error}") from None
    if array.dtype.kind not in "biufcV":
        raise UsageError(f"--arg {text}: {file} holds {array.dtype}, not numbers")
    return np.ascontiguousarray(array)


def _make_map(value: str, text: str, rng: np.random.Generator) -> Made:
    """`f16:128x64:randn:box=64x64[:swizzle=128][:fill=nan][:strides=2x1]`, or a file in front."""
    parts = value.split(":")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    source = ":".join(part for part in parts if "=" not in part)
    unknown = set(options) - {"box", "swizzle", "fill", "strides"}
    if unknown or "box" not in options:
        wrong = f"unknown {', '.join(sorted(unknown))}" if unknown else "no box"
        raise UsageError(
            f"cannot read --arg {text}: {wrong}",
            "write tensormap:f16:128x64:randn:box=64x64[:swizzle=128][:fill=nan][:strides=1x1]",
        )
    memory = _make_memory(source, text, rng)
    strides = options.get("strides")
    try:
        made = vm.TensorMap(
            memory.array,
            read_extents(options["box"], text),
            swizzle=int(read_number(options.get("swizzle", "0"), text)),
            element_strides=read_extents(strides, text) if strides else None,
            fill=options.get("fill", "zeros"),
        )
    except ValueError as error:
        raise UsageError(f"--arg {text}: {error}") from None
    if memory.dtype is not None and memory.dtype.name == "bf16":
        made.descriptor = replace(made.descriptor, kind=KINDS.index("bf"))
    return Made(made, memory)


def _read_bytes(digits: str, text: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise UsageError(
            f"cannot read --arg {text}", "write pairs of hexadecimal digits: bytes:0001ff"
        ) from None


def save(memory: Memory, file: Path) -> None:
    """Write an argument's array as .npy; types that NumPy lacks as their codes."""
    try:
        with file.open("wb") as out:
            np.save(out, memory.array)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error}") from None
