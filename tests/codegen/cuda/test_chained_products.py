"""Two products in a row, as in attention: sums become operands where they are."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.instructions.control import For
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.kernel import walk
from tilewright.ir.types import parse_dtype
from tilewright.tests.codegen.cuda.harness import Tensor, lower, run_both, tensor_text

ROW = ("x16B", "1")
SUMS = "tile<[64, 32], f32>"


def chain(dtype: str) -> str:
    """o = sum over blocks of (q · kᵀ) · v, with the inner product rounded to `dtype`."""
    tensors = [tensor_text(name, dtype, ROW, aligned=True) for name in "qkv"]
    parameters = ", ".join((*tensors, tensor_text("o", "f32", ROW, aligned=True)))
    return f"""kernel @chain({parameters}), phase=tile {{
  %bm: i32 = const value=64, dtype=i32
  %bn: i32 = const value=32, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %m: i32 = extent %q, axis=0, dtype=i32
  %n: i32 = extent %k, axis=0, dtype=i32
  %m1: i32 = add %m, %bm
  %m2: i32 = sub %m1, %one
  %gm: i32 = floordiv %m2, %bm
  for_tiles [%gm] (%i: i32) {{
    %f: f32 = const value=0.0, dtype=f32
    %acc: tile<[64, 32], f32> = full %f, shape=[64, 32]
    %im: i32 = mul %i, %bm
    %qt: tile<[64, 32], {dtype}> = load %q, [%im, %zero], shape=[64, 32]
    %out: {SUMS} = for %zero, %n, %bn, [%acc], stages=2 (%j: i32, %sum: {SUMS}) {{
      %kt: tile<[32, 32], {dtype}> = load %k, [%j, %zero], shape=[32, 32]
      %vt: tile<[32, 32], {dtype}> = load %v, [%j, %zero], shape=[32, 32]
      %kk: tile<[32, 32], {dtype}> = transpose %kt, axes=[1, 0]
      %none: tile<[64, 32], f32> = full %f, shape=[64, 32]
      %s: tile<[64, 32], f32> = mma %qt, %kk, %none
      %p: tile<[64, 32], {dtype}> = cast %s, dtype={dtype}
      %next: tile<[64, 32], f32> = mma %p, %vt, %sum
      yield [%next]
    }}
    store %o, [%im, %zero], %out
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_chained_products_are_right(dtype: str, rng: np.random.Generator) -> None:
    m, n = 70, 75
    args = [Tensor(parse_dtype(dtype), rng.integers(-1, 2, (rows, 32))) for rows in (m, n, n)]
    report = run_both(chain(dtype), [*args, Tensor(parse_dtype("f32"), np.full((m, 32), 77.0))])
    assert not report.races and not report.warnings
    assert report.counters["shared"]["bank_conflicts"] == 0


def test_sums_become_operands_without_moving() -> None:
    kernel = lower(chain("f16"))
    loop = next(item for item in kernel.walk() if isinstance(item, For))
    inside = list(walk(loop.body))
    assert {item.warp_grid for item in inside if isinstance(item, Mma)} == {(4, 1)}
    assert not any(isinstance(item, (Convert, Alloc)) for item in inside)
