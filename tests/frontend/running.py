"""Capture a function, print and parse it, verify it, and interpret it on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tilewright.frontend.capture import capture
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import numpy_class, round_to
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, same_kernel
from tilewright.ir.types import DType, i32, i64
from tilewright.ir.values import ScalarType, TensorType
from tilewright.ir.verifier import verify


def tensor(dtype: DType, rank: int = 1, **facts: Any) -> TensorType:
    """The type of a row-major tensor of any size."""
    strides = ("any",) * (rank - 1) + ("1",) if rank else ()
    return TensorType(dtype, facts.get("strides", strides), facts.get("extents", ("any",) * rank))


def captured(function: Callable[..., Any], index_dtype: DType = i32, /, **arguments: Any) -> Kernel:
    """The kernel of `function`: verified, and equal to what its text parses to."""
    kernel = capture(function, arguments, index_dtype=index_dtype)
    verify(kernel)
    text = print_kernel(kernel)
    assert same_kernel(parse_kernel(text), kernel), text
    return kernel


def run(function: Callable[..., Any], /, **arguments: Any) -> dict[str, np.ndarray]:
    """Interpret `function` on (dtype, array) tensors, (dtype, number) scalars, and statics.

    Gives the tensors' values afterwards, by parameter name. It is run with indices of 32 and of 64
    bits, which must not make a difference.
    """
    narrow, wide = (_run(function, index, arguments) for index in (i32, i64))
    for name, values in narrow.items():
        np.testing.assert_array_equal(values, wide[name])
    return narrow


def _run(
    function: Callable[..., Any], index: DType, arguments: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    specs: dict[str, Any] = {}
    views: dict[str, Any] = {}
    for name, held in arguments.items():
        specs[name] = _spec(name, held, views)
    kernel = captured(function, index, **specs)
    interpret(kernel, [views[p.name] for p in kernel.params])
    return {n: v.values for n, v in views.items() if isinstance(v, TensorView)}


def _spec(name: str, held: Any, views: dict[str, Any]) -> Any:
    if isinstance(held, Mapping):
        return {f: _spec(f"{name}_{f}", h, views) for f, h in held.items()}
    if isinstance(held, tuple) and len(held) == 2 and isinstance(held[0], DType):
        dtype, data = held
        values = round_to(dtype, np.asarray(data, numpy_class(dtype)))
        if values.ndim == 0:
            views[name] = values
            return ScalarType(dtype)
        views[name] = TensorView(values.copy(), dtype)
        return tensor(dtype, values.ndim)
    return held


def poisoned(*shape: int) -> np.ndarray:
    """An output of NaN: what a kernel does not write shows."""
    return np.full(shape, np.nan)
