"""Reductions: every operator, axis and shape, in lanes, warps and across warps."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import bool_, f16, f32, parse_dtype
from tilewright.tests.codegen.cuda.harness import Tensor, run_both, tensor_text


def reduction(op: str, name: str, shape: tuple[int, int], axis: int) -> str:
    kept = [1 if d == axis else n for d, n in enumerate(shape)]
    params = ", ".join(tensor_text(n, name, ("any", "1")) for n in ("x", "y"))
    return f"""kernel @reduction({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<{list(shape)}, {name}> = load %x, [%zero, %zero], shape={list(shape)}
    %s: tile<{kept}, {name}> = {op} %t, axis={axis}
    store %y, [%zero, %zero], %s
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize("warps", [1, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_sums_of_small_integers_are_exact(warps: int, axis: int, rng: np.random.Generator) -> None:
    for shape in ((1, 1000), (7, 100), (64, 64), (33, 5)):
        kept = tuple(1 if d == axis else n for d, n in enumerate(shape))
        x, y = Tensor(f32, rng.integers(-9, 9, shape)), Tensor(f32, np.full(kept, np.nan))
        run_both(reduction("sum", "f32", shape, axis), [x, y], warps=warps)


@pytest.mark.parametrize("op", ["sum", "prod", "reduce_max", "reduce_min"])
@pytest.mark.parametrize("name", ["f16", "f64", "i8", "u16", "i32", "u64"])
def test_operators_and_types(op: str, name: str, rng: np.random.Generator) -> None:
    dtype = parse_dtype(name)
    for shape, axis in (((3, 200), 1),) if dtype.bits % 32 else (((40, 6), 0),):
        kept = tuple(1 if d == axis else n for d, n in enumerate(shape))
        values = rng.integers(0 if not dtype.signed else -3, 4, shape)
        if op == "prod" and dtype.is_float:
            values = np.where(rng.random(shape) < 0.05, 2, 1)
        x, y = Tensor(dtype, values), Tensor(dtype, np.ones(kept))
        run_both(reduction(op, name, shape, axis), [x, y])


@pytest.mark.parametrize("op", ["any", "all"])
def test_bools(op: str, rng: np.random.Generator) -> None:
    x = Tensor(bool_, rng.random((6, 70)) < (0.01 if op == "any" else 0.99))
    run_both(reduction(op, "bool", (6, 70), 1), [x, Tensor(bool_, np.zeros((6, 1)))])


def test_a_maximum_with_nan_is_nan(rng: np.random.Generator) -> None:
    values = rng.standard_normal((4, 300)).astype(np.float32)
    values[1, 7] = np.nan
    x, y = Tensor(f32, values), Tensor(f32, np.zeros((4, 1)))
    run_both(reduction("reduce_max", "f32", (4, 300), 1), [x, y])


def softmax(rows: int, columns: int) -> str:
    params = ", ".join(tensor_text(n, "f32", ("x16B", "1"), aligned=True) for n in ("x", "y"))
    shape, kept = [rows, columns], [rows, 1]
    return f"""kernel @softmax({params}), phase=tile {{
  %b: i32 = const value={rows}, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  %c: i32 = const value={rows - 1}, dtype=i32
  %low: f32 = const value=-inf, dtype=f32
  %m: i32 = extent %x, axis=0, dtype=i32
  %m1: i32 = add %m, %c
  %g: i32 = floordiv %m1, %b
  for_tiles [%g] (%i: i32) {{
    %o: i32 = mul %i, %b
    %t: tile<{shape}, f32> = load %x, [%o, %zero], other=%low, shape={shape}
    %top: tile<{kept}, f32> = reduce_max %t, axis=1
    %tops: tile<{shape}, f32> = broadcast %top, shape={shape}
    %d: tile<{shape}, f32> = sub %t, %tops
    %e: tile<{shape}, f32> = exp %d
    %s: tile<{kept}, f32> = sum %e, axis=1
    %ss: tile<{shape}, f32> = broadcast %s, shape={shape}
    %r: tile<{shape}, f32> = div %e, %ss
    store %y, [%o, %zero], %r
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize(("rows", "columns"), [(1, 1024), (4, 128), (3, 50)])
def test_softmax_rows(rows: int, columns: int, rng: np.random.Generator) -> None:
    width = columns - columns % 4 - 4
    x = Tensor(f32, rng.standard_normal((10, width)).astype(np.float32))
    y = Tensor(f32, np.zeros((10, width)))
    # exp is within 2 ulp, the sum of n terms within n/2 ulp in any order, the quotient 1.
    run_both(
        softmax(rows, columns), [x, y], relative=(columns / 2 + 5) * 2.0**-24, tolerance=2.0**-126
    )


def test_f16_sums_round_once(rng: np.random.Generator) -> None:
    x = Tensor(f16, np.where(rng.random((2, 600)) < 0.5, 1.0, 0.25))
    run_both(reduction("sum", "f16", (2, 600), 1), [x, Tensor(f16, np.zeros((2, 1)))])
