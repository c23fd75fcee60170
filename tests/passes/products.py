"""The matmul of the design's section 5 as IR, what passes need to run on it, and golden texts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import numpy_class
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, same_kernel
from tilewright.ir.targets import CUDA_TARGETS, Device, default_device
from tilewright.ir.values import tensor_type
from tilewright.ir.verifier import verify
from tilewright.passes.order import CUDA
from tilewright.passes.runner import Context, run_passes

GOLDEN = Path(__file__).with_name("golden")
SM_80 = CUDA_TARGETS["sm_80"]
A100 = default_device(SM_80)

PARAMETER = "%{name}: tensor<{dtype}, strides=[{strides}], extents=[{extents}], aligned>"
TEXT = """
kernel @matmul({parameters}), phase=tile {{
  %bm: i32 = const value={bm}, dtype=i32
  %bn: i32 = const value={bn}, dtype=i32
  %bk: i32 = const value={bk}, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %m: i32 = extent %a, axis=0, dtype=i32
  %n: i32 = extent %b, axis=0, dtype=i32
  %k: i32 = extent %a, axis=1, dtype=i32
  %m1: i32 = add %m, %bm
  %m2: i32 = sub %m1, %one
  %gm: i32 = floordiv %m2, %bm
  %n1: i32 = add %n, %bn
  %n2: i32 = sub %n1, %one
  %gn: i32 = floordiv %n2, %bn
  for_tiles [%gm, %gn] (%i: i32, %j: i32) {{
    %f: {acc} = const value={nothing}, dtype={acc}
    %acc: {sums} = full %f, shape=[{bm}, {bn}]
    %im: i32 = mul %i, %bm
    %jn: i32 = mul %j, %bn
    %out: {sums} = for %zero, %k, %bk, [%acc]{loop} (%kk: i32, %acc.1: {sums}) {{
      %x: tile<[{bm}, {bk}], {operand}> = load %a, [%im, %kk], shape=[{bm}, {bk}]
      %y: tile<[{bn}, {bk}], {operand}> = load %b, [%jn, %kk], shape=[{bn}, {bk}]
      %yt: tile<[{bk}, {bn}], {operand}> = transpose %y, axes=[1, 0]
      %acc.2: {sums} = mma %x, %yt, %acc.1{precision}
      yield [%acc.2]
    }}
    %r: tile<[{bm}, {bn}], {result}> = cast %out, dtype={result}
    store %c, [%im, %jn], %r
    yield []
  }}
  yield []
}}
"""


def matmul(
    *,
    operand: str = "f16",
    result: str = "f16",
    acc: str = "f32",
    tile: tuple[int, int, int] = (32, 32, 32),
    a: str = "x16B, 1",
    b: str = "x16B, 1",
    extents: str = "any, any",
    stages: int = 3,
    exactly: bool = False,
    tf32: bool = False,
) -> Kernel:
    """c[i, j] = sum over k of a[i, k] * b[j, k]; `a` and `b` are classes of strides."""
    bm, bn, bk = tile
    loop = (f", stages={stages}" if stages > 1 else "") + (", exactly=true" if exactly else "")
    tensors = (("a", operand, a), ("b", operand, b), ("c", result, "x16B, 1"))
    parameters = (
        PARAMETER.format(name=name, dtype=dtype, strides=strides, extents=extents)
        for name, dtype, strides in tensors
    )
    text = TEXT.format(
        parameters=", ".join(parameters),
        sums=f"tile<[{bm}, {bn}], {acc}>",
        operand=operand,
        result=result,
        acc=acc,
        bm=bm,
        bn=bn,
        bk=bk,
        loop=loop,
        precision=', precision="tf32"' if tf32 else "",
        nothing="0" if acc == "i32" else "0.0",
    )
    return parse_kernel(text)


def context(device: Device = A100, **config: Any) -> Context:
    """The context of an sm_80 compilation."""
    return Context(SM_80, device, config)


def with_shared(size: int) -> Device:
    """A device like the A100 with `size` bytes of shared memory per block."""
    return replace(A100, name="a small device", shared_bytes_per_block=size)


def lower(kernel: Kernel, until: str, made: Context | None = None) -> Kernel:
    """`kernel` after the CUDA passes up to and including `until`, verified after each."""
    return run_passes(kernel, CUDA, made or context(), check=True, stop_after=until)


def operands(
    kernel: Kernel, m: int, n: int, k: int, rng: np.random.Generator
) -> tuple[list[TensorView], np.ndarray[Any, Any]]:
    """Small integers, exact in every order of summation; a poisoned output; the result."""
    kinds = [tensor_type(p).dtype for p in kernel.params]
    low = -3 if not kinds[0].is_integer or kinds[0].signed else 0
    x, y = rng.integers(low, 4, (m, k)), rng.integers(low, 4, (n, k))
    poison = np.full((m, n), 77, numpy_class(kinds[2]))
    arrays = (x.astype(numpy_class(kinds[0])), y.astype(numpy_class(kinds[1])), poison)
    views = [TensorView(array, kind) for array, kind in zip(arrays, kinds, strict=True)]
    return views, x @ y.T


def check_meaning(
    kernel: Kernel, rng: np.random.Generator, shapes: tuple[tuple[int, int, int], ...] | None = None
) -> None:
    """The kernel computes the product, bit by bit, for odd sizes, short and empty sums."""
    for m, n, k in shapes or ((37, 45, 53), (5, 33, 1), (33, 3, 0), (1, 1, 130)):
        views, want = operands(kernel, m, n, k, rng)
        interpret(kernel, views)
        np.testing.assert_array_equal(views[2].values, want)


def check_golden(kernel: Kernel, name: str) -> None:
    """The kernel prints as the file says, and what it prints parses back to it.

    TILEWRIGHT_UPDATE_GOLDEN=1 writes the file.
    """
    verify(kernel)
    text = print_kernel(kernel)
    assert same_kernel(parse_kernel(text), kernel)
    path = GOLDEN / f"{name}.tile"
    if os.environ.get("TILEWRIGHT_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} changed: rerun with TILEWRIGHT_UPDATE_GOLDEN=1"
