"""Loops, branches, grids: carried scalars and tiles, break, continue, every order of tiles."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f32, i32
from tilewright.tests.codegen.cuda.harness import Tensor, run_both, tensor_text

LOOPS = {
    "swapped values": """
    %a0: TILE = load %x, [%zero], shape=[50]
    %b0: TILE = load %x, [%one], shape=[50]
    %a: TILE, %b: TILE = for %zero, %n, %one, [%a0, %b0] (%k: i32, %p: TILE, %q: TILE) {
      %kt: TILE = full %k, shape=[50]
      %s: TILE = add %p, %kt
      yield [%q, %s]
    }
    %r: TILE = sub %a, %b
""",
    "break and continue": """
    %a0: TILE = load %x, [%zero], shape=[50]
    %a: TILE, %c: i32 = for %zero, %n, %one, [%a0, %zero] (%k: i32, %p: TILE, %t: i32) {
      %even: i32 = mod %k, %two
      %skip: bool = eq %even, %zero
      if %skip {
        continue [%p, %t]
      } {
        yield []
      }
      %far: bool = gt %k, %five
      if %far {
        break [%p, %k]
      } {
        yield []
      }
      %kt: TILE = full %k, shape=[50]
      %s: TILE = add %p, %kt
      %u: i32 = add %t, %k
      yield [%s, %u]
    }
    %ct: TILE = full %c, shape=[50]
    %r: TILE = mul %a, %ct
""",
    "while": """
    %a0: TILE = load %x, [%zero], shape=[50]
    %a: TILE, %c: i32 = while [%a0, %n] (%p: TILE, %t: i32) {
      %more: bool = gt %t, %zero
      condition %more
    } (%p2: TILE, %t2: i32) {
      %s: TILE = add %p2, %p2
      %u: i32 = sub %t2, %two
      yield [%s, %u]
    }
    %ct: TILE = full %c, shape=[50]
    %r: TILE = add %a, %ct
""",
    "branches": """
    %a0: TILE = load %x, [%zero], shape=[50]
    %big: bool = gt %n, %five
    %r: TILE = if %big {
      %y: TILE = neg %a0
      yield [%y]
    } {
      yield [%a0]
    }
""",
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str, rng: np.random.Generator) -> None:
    params = f"{tensor_text('x', 'i32')}, {tensor_text('out', 'i32')}, %n: i32"
    text = f"""kernel @loops({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %two: i32 = const value=2, dtype=i32
  %five: i32 = const value=5, dtype=i32
  for_tiles [] {{
{LOOPS[name].replace("TILE", "tile<[50], i32>")}
    store %out, [%zero], %r
    yield []
  }}
  yield []
}}
"""
    for n in (0, 1, 4, 11):
        x = Tensor(i32, rng.integers(-9, 9, 51))
        run_both(text, [x, Tensor(i32, np.zeros(50)), n])


@pytest.mark.parametrize("order", ["row_major", "column_major", "grouped"])
@pytest.mark.parametrize("persistent", ["false", "true"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_tile_of_a_grid_runs_once(
    order: str, persistent: str, rank: int, rng: np.random.Generator
) -> None:
    names = ["i", "j", "k"][:rank]
    extents = [int(n) for n in rng.integers(1, 20, rank)]
    extents[0] = min(extents[0], 9)
    params = ", ".join(
        (tensor_text("out", "i32", (*("any",) * (rank - 1), "1")), *(f"%n{a}: i32" for a in names))
    )
    grid = ", ".join(f"%n{a}" for a in names)
    args = ", ".join(f"%{a}: i32" for a in names)
    places = ", ".join(f"%{a}" for a in names)
    text = f"""kernel @grid({params}), phase=tile {{
  %one: i32 = const value=1, dtype=i32
  for_tiles [{grid}], order="{order}", persistent={persistent} ({args}) {{
    %old: i32 = element %out, [{places}]
    %new: i32 = add %old, %one
    element.store %out, [{places}], %new
    yield []
  }}
  yield []
}}
"""
    out = Tensor(i32, np.zeros(extents))
    run_both(text, [out, *extents])
    assert (out.read() == 1).all()


def test_scalar_arguments_and_arithmetic(rng: np.random.Generator) -> None:
    params = f"{tensor_text('out', 'f32')}, %a: f32, %b: i64, %c: f16, %d: bool"
    text = f"""kernel @scalars({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %bf: f32 = cast %b, dtype=f32
    %cf: f32 = cast %c, dtype=f32
    %s: f32 = mul %a, %bf
    %t: f32 = select %d, %s, %cf
    %u: f32 = exp2 %cf
    %v: f32 = add %t, %u
    element.store %out, [%zero], %v
    yield []
  }}
  yield []
}}
"""
    for flag in (True, False):
        run_both(text, [Tensor(f32, np.zeros(1)), 1.5, 7, 2.5, flag])
