"""How a kernel's arguments become machine words, the same for every target.

A tensor is its pointer, then its extents and strides in elements, except those that its type fixes
(an extent of class "1", a stride of class "0" or "1"). A scalar is one word. The launcher packs
words in this order; generated code declares them in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tilewright.ir.kernel import Kernel
from tilewright.ir.types import DType, i64, u64
from tilewright.ir.values import ScalarType, TensorType, Value


@dataclass(frozen=True)
class Parameter:
    """One word: what it holds, of which argument, along which axis, and as which dtype."""

    kind: Literal["pointer", "extent", "stride", "scalar"]
    argument: int
    axis: int
    dtype: DType
    name: str


def list_parameters(kernel: Kernel) -> tuple[Parameter, ...]:
    """All words of a launch of `kernel`, in order."""
    found: list[Parameter] = []
    for argument, value in enumerate(kernel.params):
        found.extend(_words(value, argument))
    return tuple(found)


def _words(value: Value, argument: int) -> list[Parameter]:
    name = value.name or f"arg{argument}"
    match value.type:
        case ScalarType(dtype):
            return [Parameter("scalar", argument, 0, dtype, name)]
        case TensorType(strides=strides, extents=extents):
            words = [Parameter("pointer", argument, 0, u64, name)]
            for axis, extent in enumerate(extents):
                if extent != "1":
                    words.append(Parameter("extent", argument, axis, i64, f"{name}_extent{axis}"))
            for axis, stride in enumerate(strides):
                if stride not in ("0", "1"):
                    words.append(Parameter("stride", argument, axis, i64, f"{name}_stride{axis}"))
            return words
    raise TypeError(f"{value!r} cannot be an argument of a kernel")
