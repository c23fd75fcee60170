"""The parameters of a PTX entry, as the command line names and checks them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tilewright.ir.types import DType
from tilewright.runtime.commands.argument_text import read_dtype
from tilewright.runtime.errors import UsageError
from tilewright.runtime.vm.records import Function, Variable

POINTER_BYTES, MAP_BYTES = 8, 128
_PTX_KINDS = {"s": "i", "b": "u"}
_NAMED = re.compile(r"([A-Za-z_$%][\w$%]*)=(.*)", re.S)


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
        tensor_map = param.size == MAP_BYTES and param.align >= 64
        return f"{param.size} bytes" + (" (a tensor map?)" if tensor_map else " (by value)")
    pointer = param.size == POINTER_BYTES and param.type in ("u64", "b64", "s64")
    return f".{param.type}" + (" (a pointer, or a number)" if pointer else "")


def _example(param: Variable) -> str:
    if param.is_array:
        if param.size == MAP_BYTES and param.align >= 64:
            return "tensormap:f16:128x64:randn:box=64x64:swizzle=128"
        return f"bytes:{'00' * min(param.size, 4)}{'…' if param.size > 4 else ''}"
    if param.size == POINTER_BYTES and param.type in ("u64", "b64", "s64"):
        return "f32:128x64:randn"
    return "2.5" if param.type.startswith(("f", "bf")) else "5"


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
        elif match and not _is_dtype(match[1]):
            raise UsageError(
                f"--arg {text}: {entry.name} has no parameter {match[1]!r}",
                f"it has {', '.join(names) or 'none'}",
            )
        else:
            plain.append((text, text))
    rest = [name for name in names if name not in named]
    if len(plain) != len(rest):
        got = f"got {len(texts)} --arg for {len(names)} parameters"
        raise UsageError(f"{got}\n{describe_parameters(entry)}")
    named.update(zip(rest, plain, strict=True))
    return [named[name] for name in names]


def _is_dtype(name: str) -> bool:
    try:
        read_type(name, "")
    except UsageError:
        return False
    return True


def read_type(name: str, text: str) -> DType:
    """A dtype by our name or PTX's."""
    if name[:1] in _PTX_KINDS and name[1:] in ("8", "16", "32", "64"):
        name = _PTX_KINDS[name[0]] + name[1:]
    return read_dtype(name, text)


def check_bytes(param: Variable, text: str, size: int, what: str) -> None:
    """Raise UsageError unless the parameter has `size` bytes."""
    if param.size != size:
        raise UsageError(
            f"--arg {text}: {what} has {size} bytes, parameter {display(param)} is "
            f"{describe_type(param)}",
            f"write --arg {_example(param)}",
        )


def check_kind(param: Variable, text: str, dtype: DType) -> None:
    """Integers do not become floats by their bits; `.bN` and structs take any bits."""
    if not param.is_array and param.type[0] != "b" and dtype.is_float != (param.type[0] == "f"):
        raise UsageError(
            f"--arg {text}: {dtype.name} is not what parameter {display(param)} holds: "
            f"{describe_type(param)}",
            f"write --arg {_example(param)}",
        )


def encode_number(dtype: DType, value: int | float, text: str) -> bytes:
    """A number of a stated type as bytes."""
    if not dtype.is_float:
        _check_range(value, dtype.bits, text, dtype.name)
        return (int(value) & ((1 << dtype.bits) - 1)).to_bytes(-(-dtype.bits // 8), "little")
    return bytes(np.ascontiguousarray(dtype.encode(np.asarray(float(value)))).tobytes())


def _check_range(value: int | float, bits: int, text: str, what: str) -> None:
    if not isinstance(value, int):
        raise UsageError(f"--arg {text}: {what} takes a whole number, not {value}")
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise UsageError(f"--arg {text}: {value} does not fit in the {bits} bits of {what}")


def fit_number(param: Variable, value: int | float, text: str) -> int | float:
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
