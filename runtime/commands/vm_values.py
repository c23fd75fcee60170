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
    read_dtype,
    read_extents,
    read_number,
    read_value,
)
from tilewright.runtime.errors import UsageError
from tilewright.runtime.vm.records import Function, Variable
from tilewright.runtime.vm.tensor_map import KINDS

_NUMPY = {
    "f16": "f2", "f32": "f4", "f64": "f8", "bool": "?",
    **{f"{k}{n}": f"{k}{n // 8}" for k in "iu" for n in (8, 16, 32, 64)},
}  # fmt: skip
_PTX_KINDS = {"s": "i", "b": "u"}
_NAMED = re.compile(r"([A-Za-z_$%][\w$%]*)=(.*)", re.S)
_TYPED = re.compile(r"([a-z]\w*)=([^:=]+)")
_POINTER_BYTES, _MAP_BYTES = 8, 128


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


def display(param: Variable) -> str:
    """A parameter's name as written."""
    return param.name.split("#")[0]


def describe_parameters(entry: Function) -> str:
    """The entry's parameters with their types and an option that would fit each."""
    rows = [
        (str(index), display(param), describe_type(param), f"--arg {_example(param)}")
        for index, param in enumerate(entry.params)
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [
        "  " + "  ".join([*(f"{x:<{w}}" for x, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    number = f"{len(rows)} argument{'' if len(rows) == 1 else 's'}"
    return "\n".join([f"{entry.name} takes {number}{':' if rows else ''}", *lines])


def describe_type(param: Variable) -> str:
    """A parameter's type as users think of it."""
    if param.is_array:
        tensor_map = param.size == _MAP_BYTES and param.align >= 64
        return f"{param.size} bytes" + (" (a tensor map?)" if tensor_map else " (by value)")
    pointer = param.size == _POINTER_BYTES and param.type in ("u64", "b64", "s64")
    return f".{param.type}" + (" (a pointer, or a number)" if pointer else "")


def _example(param: Variable) -> str:
    if param.is_array:
        if param.size == _MAP_BYTES and param.align >= 64:
            return "tensormap:f16:128x64:randn:box=64x64:swizzle=128"
        return f"bytes:{'00' * min(param.size, 4)}{'…' if param.size > 4 else ''}"
    if param.size == _POINTER_BYTES and param.type in ("u64", "b64", "s64"):
        return "f32:128x64:randn"
    return "2.5" if param.type.startswith(("f", "bf")) else "5"


def make_values(texts: Sequence[str], entry: Function, seed: int) -> list[Made]:
    """One argument per parameter; UsageError where they do not fit."""
    rng = np.random.default_rng(seed)
    ordered = assign(texts, entry)
    return [
        _make(param, text, value, rng)
        for param, (text, value) in zip(entry.params, ordered, strict=True)
    ]


def assign(texts: Sequence[str], entry: Function) -> list[tuple[str, str]]:
    """(option, value) of each parameter in order; values with a name go to its parameter."""
    names = [display(param) for param in entry.params]
    named: dict[str, tuple[str, str]] = {}
    plain: list[tuple[str, str]] = []
    for text in texts:
        match = _NAMED.fullmatch(text)
        if match and match[1] in names:
            if match[1] in named:
                raise UsageError(f"two values for {match[1]}: --arg {text}")
            named[match[1]] = (text, match[2])
        else:
            plain.append((text, text))
    rest = [name for name in names if name not in named]
    if len(plain) != len(rest):
        got = f"got {len(texts)} --arg for {len(names)} parameters"
        raise UsageError(f"{got}\n{describe_parameters(entry)}")
    named.update(zip(rest, plain, strict=True))
    return [named[name] for name in names]


def _make(param: Variable, text: str, value: str, rng: np.random.Generator) -> Made:
    """One argument, and whether the parameter can hold it."""
    if value.startswith("tensormap:"):
        made = _make_map(value.removeprefix("tensormap:"), text, rng)
        _check_bytes(param, text, _MAP_BYTES, "a tensor map")
        return made
    if value.startswith("bytes:"):
        raw = _read_bytes(value.removeprefix("bytes:"), text)
        _check_bytes(param, text, len(raw), "the value")
        return Made(raw)
    if match := _TYPED.fullmatch(value):
        dtype = _dtype(match[1], text)
        raw = _typed_bytes(dtype, read_number(match[2], text), text)
        _check_bytes(param, text, len(raw), dtype.name)
        _check_kind(param, text, dtype)
        return Made(raw)
    if value.endswith(".npy") or ":" in value:
        _check_bytes(param, text, _POINTER_BYTES, "a pointer")
        memory = _make_memory(value, text, rng)
        return Made(memory.array, memory)
    return Made(_fit_number(param, read_number(value, text), text))


def _check_bytes(param: Variable, text: str, size: int, what: str) -> None:
    if param.size != size:
        raise UsageError(
            f"--arg {text}: {what} has {size} bytes, parameter {display(param)} is "
            f"{describe_type(param)}",
            f"write --arg {_example(param)}",
        )


def _check_kind(param: Variable, text: str, dtype: DType) -> None:
    """Integers do not become floats by their bits; `.bN` and structs take any bits."""
    if not param.is_array and param.type[0] != "b" and dtype.is_float != (param.type[0] == "f"):
        raise UsageError(
            f"--arg {text}: {dtype.name} is not what parameter {display(param)} holds: "
            f"{describe_type(param)}",
            f"write --arg {_example(param)}",
        )


def _dtype(name: str, text: str) -> DType:
    if name[:1] in _PTX_KINDS and name[1:] in ("8", "16", "32", "64"):
        name = _PTX_KINDS[name[0]] + name[1:]
    return read_dtype(name, text)


def _make_memory(value: str, text: str, rng: np.random.Generator) -> Memory:
    if value.endswith(".npy"):
        return Memory(_load(value, text))
    kind, colon, rest = value.partition(":")
    read = read_value(f"{_dtype(kind, text).name}{colon}{rest}", text)
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
    """`f16:128x64:randn:box=64x64[:swizzle=128][:fill=nan][:strides=1x2]`, or a file in front."""
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


def _typed_bytes(dtype: DType, value: int | float, text: str) -> bytes:
    if not dtype.is_float:
        _check_range(value, dtype.bits, text, dtype.name)
        return (int(value) & ((1 << dtype.bits) - 1)).to_bytes(-(-dtype.bits // 8), "little")
    return bytes(np.ascontiguousarray(dtype.encode(np.asarray(float(value)))).tobytes())


def _check_range(value: int | float, bits: int, text: str, what: str) -> None:
    if not isinstance(value, int):
        raise UsageError(f"--arg {text}: {what} takes a whole number, not {value}")
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise UsageError(f"--arg {text}: {value} does not fit in the {bits} bits of {what}")


def _fit_number(param: Variable, value: int | float, text: str) -> Any:
    """A number without a type, in the parameter's."""
    if param.is_array:
        raise UsageError(
            f"--arg {text}: parameter {display(param)} is {describe_type(param)}, not a number",
            f"write --arg {_example(param)}",
        )
    if isinstance(value, float) and not param.type.startswith(("f", "b")):
        raise UsageError(
            f"--arg {text}: parameter {display(param)} is .{param.type}, not a float",
            f"write --arg {_example(param)}",
        )
    if isinstance(value, int):
        if param.type.startswith(("f", "bf")):
            return float(value)
        _check_range(value, 8 * param.size, text, f"parameter {display(param)}")
    return value


def save(memory: Memory, file: Path) -> None:
    """Write an argument's array as .npy; types that NumPy lacks as their codes."""
    try:
        with file.open("wb") as out:
            np.save(out, memory.array)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error}") from None
