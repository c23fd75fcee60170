"""Single elements: gathers, scatters, atomics on tiles and scalars, signals between blocks."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.types import f32, i32, parse_dtype
from tilewright.tests.codegen.cuda.harness import (
    Tensor,
    compile_kernel,
    lower,
    run_both,
    tensor_text,
)


@pytest.mark.parametrize("name", ["f32", "f16", "u8", "i3", "u4"])
def test_gather_with_mask_and_other(name: str, rng: np.random.Generator) -> None:
    dtype = parse_dtype(name)
    params = ", ".join(
        (
            tensor_text("x", name, ("any", "1")),
            *(tensor_text(n, "i32") for n in ("p", "q")),
            tensor_text("y", name),
        )
    )
    text = f"""kernel @gather({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %three: {name} = const value=3, dtype={name}
  for_tiles [] {{
    %pt: tile<[72], i32> = load %p, [%zero], shape=[72]
    %qt: tile<[72], i32> = load %q, [%zero], shape=[72]
    %m: tile<[72], bool> = lt %pt, %qt
    %o: tile<[72], {name}> = full %three, shape=[72]
    %t: tile<[72], {name}> = gather %x, [%pt, %qt], mask=%m, other=%o
    store %y, [%zero], %t
    yield []
  }}
  yield []
}}
"""
    x = Tensor(dtype, rng.integers(0, 4 if dtype.bits == 3 else 7, (9, 30)))
    p, q = Tensor(i32, rng.integers(-1, 11, 72)), Tensor(i32, rng.integers(-2, 33, 72))
    run_both(text, [x, p, q, Tensor(dtype, np.zeros(72))])


def test_scatter_writes_each_element_once(rng: np.random.Generator) -> None:
    text = f"""kernel @scatter({tensor_text("p", "i32")}, {tensor_text("y", "f32")}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %pt: tile<[40], i32> = load %p, [%zero], shape=[40]
    %v: tile<[40], f32> = cast %pt, dtype=f32
    scatter %y, [%pt], %v
    yield []
  }}
  yield []
}}
"""
    p = Tensor(i32, rng.permutation(60)[:40] - 5)
    run_both(text, [p, Tensor(f32, np.zeros(50))])


@pytest.mark.parametrize("op", ["add", "max", "min", "or", "and", "exchange"])
@pytest.mark.parametrize("name", ["i32", "u64", "i64", "f32", "f64", "f16", "bf16", "i8", "u16"])
def test_atomics_on_tiles(op: str, name: str, rng: np.random.Generator) -> None:
    """Places differ where old values are read back, because their order is free; sums may meet."""
    dtype = parse_dtype(name)
    if dtype.is_float and op in ("or", "and"):
        return
    params = ", ".join((tensor_text("p", "i32"), tensor_text("y", name), tensor_text("z", name)))
    text = f"""kernel @atomics({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %pt: tile<[48], i32> = load %p, [%zero], shape=[48]
    %v: tile<[48], {name}> = cast %pt, dtype={name}
    %old: tile<[48], {name}> = atomic.{op} %y, [%pt], %v
    store %z, [%zero], %old
    yield []
  }}
  yield []
}}
"""
    p = Tensor(i32, rng.permutation(70)[:48] - 3)
    y = Tensor(dtype, rng.integers(0, 50, 60))
    run_both(text, [p, y, Tensor(dtype, np.zeros(48))])


@pytest.mark.parametrize("name", ["i32", "f32", "f16", "u8"])
def test_histograms(name: str, rng: np.random.Generator) -> None:
    """Many elements meet in one place, from many blocks; scalars count each block once."""
    dtype = parse_dtype(name)
    params = ", ".join((tensor_text("p", "i32"), tensor_text("h", name), tensor_text("c", "i32")))
    text = f"""kernel @histogram({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %b: i32 = const value=50, dtype=i32
  %five: i32 = const value=5, dtype=i32
  for_tiles [%five] (%i: i32) {{
    %o: i32 = mul %i, %b
    %pt: tile<[50], i32> = load %p, [%o], shape=[50]
    %u: {name} = const value=1, dtype={name}
    %v: tile<[50], {name}> = full %u, shape=[50]
    %old: tile<[50], {name}> = atomic.add %h, [%pt], %v
    %ticket: i32 = atomic.add %c, [%zero], %one
    %slot: i32 = add %ticket, %one
    element.store %c, [%slot], %one
    yield []
  }}
  yield []
}}
"""
    p = Tensor(i32, rng.integers(0, 6, 250))
    run_both(text, [p, Tensor(dtype, np.zeros(6)), Tensor(i32, np.zeros(6))])


def test_blocks_wait_for_signals(rng: np.random.Generator) -> None:
    """Block i waits for block i - 1, adds its number to what it left, and signals."""
    params = ", ".join((tensor_text("y", "f32"), tensor_text("s", "i32")))
    text = f"""kernel @chain({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %four: i32 = const value=4, dtype=i32
  for_tiles [%four] (%i: i32) {{
    %o: i32 = mul %i, %zero
    signal.wait %s, [%zero], %i
    %t: tile<[100], f32> = load %y, [%o], shape=[100]
    %u: tile<[100], f32> = add %t, %t
    %if: f32 = cast %i, dtype=f32
    %v: tile<[100], f32> = full %if, shape=[100]
    %w: tile<[100], f32> = add %u, %v
    store %y, [%o], %w
    signal %s, [%zero], %one
    yield []
  }}
  yield []
}}
"""
    run_both(text, [Tensor(f32, rng.integers(-5, 5, 100)), Tensor(i32, np.zeros(1))])


def test_single_elements_that_share_a_byte_are_refused() -> None:
    text = f"""kernel @one({tensor_text("y", "u4")}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %v: u4 = const value=3, dtype=u4
  for_tiles [] {{
    BODY
    yield []
  }}
  yield []
}}
"""
    with pytest.raises(ShapeError, match="splits a byte"):
        compile_kernel(lower(text.replace("BODY", "element.store %y, [%zero], %v")))
    with pytest.raises(TypeMismatch, match="split a byte"):
        compile_kernel(lower(text.replace("BODY", "%o: u4 = atomic.add %y, [%zero], %v")))
