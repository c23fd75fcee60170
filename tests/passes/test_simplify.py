"""`simplify` keeps the meaning, folds what it can, and proves bounds where they hold."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.interpreter import interpret
from tilewright.ir.memory import TensorView
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel
from tilewright.ir.types import f32
from tilewright.ir.verifier import verify
from tilewright.passes.simplify import simplify

HEAD = (
    "kernel @scale(%a: tensor<f32, strides=[1], extents=[{extent}]>, "
    "%c: tensor<f32, strides=[1], extents=[{extent}]>), phase=tile {{\n"
)
BODY = """
  %n: i32 = extent %a, axis=0, dtype=i32
  %size: i32 = const value={size}, dtype=i32
  %less: i32 = const value={less}, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  {assume}
  %up: i32 = add %n, %less
  %tiles: i32 = floordiv %up, %size
  for_tiles [%tiles] (%i: i32) {{
    %row: i32 = mul %i, %size
    %at: i32 = add %row, %zero
    %x: tile<[{size}], f32> = load %a, [%at], shape=[{size}]
    %one: f32 = const value=1.0, dtype=f32
    %ones: tile<[{size}], f32> = full %one, shape=[{size}]
    %same: tile<[{size}], f32> = mul %x, %ones
    %two: tile<[{size}], f32> = add %same, %x
    %dead: tile<[{size}], f32> = mul %two, %two
    %row2: i32 = mul %i, %size
    store %c, [%row2], %two
    yield []
  }}
  yield []
}}
"""
ASSUME = """%rest: i32 = mod %n, %size
  %fact: bool = eq %rest, %zero
  assume %fact"""


def make(extent="any", size=24, assume=""):
    text = (HEAD + BODY).format(extent=extent, size=size, less=size - 1, assume=assume)
    return parse_kernel(text)


def bounds_of(kernel):
    return [item.bounds for item in kernel.walk() if item.mnemonic in ("load", "store")]


@pytest.mark.parametrize("count", [0, 1, 23, 24, 25, 100])
def test_meaning_is_kept(count):
    kernel = make()
    simple = simplify(kernel, None)
    verify(simple)
    a = np.random.default_rng().integers(-8, 8, count).astype(np.float64)
    results = []
    for each in (kernel, simple):
        c = np.full(count, np.nan)
        interpret(each, [TensorView(a, f32), TensorView(c, f32)])
        results.append(c)
    np.testing.assert_array_equal(results[0], 2 * a)
    np.testing.assert_array_equal(results[1], 2 * a)


def test_rules_sharing_and_dead_code_leave_what_is_needed():
    left = [item.mnemonic for item in simplify(make(), None).walk()]
    assert left.count("mul") == 1
    assert left.count("add") == 2
    assert "full" not in left


def test_bounds_are_proved_from_the_extent_class_and_from_assume():
    assert bounds_of(simplify(make("any", 24), None)) == [(True,), (True,)]
    assert bounds_of(simplify(make("x16", 16), None))[0] == (False,)
    assert bounds_of(simplify(make("x16", 24), None))[0] == (True,)
    assumed = simplify(make("any", 24, ASSUME), None)
    assert bounds_of(assumed) == [(False,), (True,)]
    assert "assume" in print_kernel(assumed)


def test_scalars_leave_loops():
    text = """
kernel @sum(%a: tensor<f32, strides=[1], extents=[any]>), phase=tile {
  %n: i32 = extent %a, axis=0, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  for_tiles [%one] (%i: i32) {
    for %zero, %n, %one, [] (%k: i32) {
      %last: i32 = sub %n, %one
      %at: i32 = min %k, %last
      %x: tile<[1], f32> = load %a, [%at], shape=[1]
      store %a, [%at], %x
      yield []
    }
    yield []
  }
  yield []
}
"""
    simple = simplify(parse_kernel(text), None)
    verify(simple)
    (loop,) = (item for item in simple.walk() if item.mnemonic == "for")
    assert [i.mnemonic for i in loop.body.instructions] == ["min", "load", "store", "yield"]
