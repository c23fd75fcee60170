"""Meanings of loads, stores, views, shapes and products against NumPy indexing."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.interpreter import interpret
from tilewright.ir.memory import TensorView
from tilewright.ir.parser import parse_kernel
from tilewright.ir.types import f16, f32, i32, u4, u8

SHAPE = (9, 7)
HEAD = """\
layout #0 = [8, 4]{8:4@lane, 4:1@lane | bits 16}
layout #1 = [8, 8]{8:4@lane, 4:1@lane 2:1@reg | bits 8}
layout #2 = [8, 16]{8:4@lane, 4:1@lane 2:1@reg 2:2@reg | bits 4}
kernel @k(%t: tensor<f32, strides=[any, 1], extents=[any, any]>, %out: tensor<f32, \
strides=[any, 1], extents=[any, any]>, %rows: tensor<i32, strides=[1], extents=[any]>, %i: i32, \
%j: i32), phase=scheduled {
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %fill: f32 = const value=-5.0, dtype=f32
"""


@pytest.fixture
def rng() -> np.random.Generator:
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def run(t, *lines, out=(4, 4), i=0, j=0, rows=(0,)):
    """What `lines` leave in %out, which is poisoned before."""
    body = "".join(f"  {line}\n" for line in (*lines, "yield []"))
    result = np.full(out, np.nan)
    index = TensorView(np.asarray(rows, np.int64), i32)
    args = [TensorView(t, f32), TensorView(result, f32), index, i, j]
    interpret(parse_kernel(f"{HEAD}{body}}}\n"), args)
    return result


def padded(t, i, j, fill=0.0):
    """The 4 x 4 tile of `t` at (i, j), `fill` outside."""
    around = np.pad(t, 8, constant_values=fill)
    return around[i + 8 : i + 12, j + 8 : j + 12]


LOAD = "%v: tile<[4, 4], f32> = load %t, [%i, %j], shape=[4, 4]"
STORE = "store %out, [%zero, %zero], %v"
CORNERS = [(0, 0), (7, 5), (-2, 3), (2, -3), (9, 0)]


@pytest.mark.parametrize(("i", "j"), CORNERS)
def test_load(rng, i, j):
    t = rng.standard_normal(SHAPE)
    np.testing.assert_array_equal(run(t, LOAD, STORE, i=i, j=j), padded(t, i, j))
    other = LOAD.replace("shape", "other=%fill, shape")
    np.testing.assert_array_equal(run(t, other, STORE, i=i, j=j), padded(t, i, j, -5.0))


@pytest.mark.parametrize(("i", "j"), CORNERS)
def test_store_drops_what_lies_outside(rng, i, j):
    t = rng.standard_normal((4, 4))
    load = LOAD.replace("[%i, %j]", "[%zero, %zero]")
    got = run(t, load, "store %out, [%i, %j], %v", out=SHAPE, i=i, j=j)
    want = np.full((25, 23), np.nan)
    want[i + 8 : i + 12, j + 8 : j + 12] = t
    np.testing.assert_array_equal(got, want[8:17, 8:15])


def test_rows_are_a_view_with_its_own_bounds(rng):
    """Zero and drop refer to the view, not to the tensor."""
    t = rng.standard_normal(SHAPE)
    view = "%r: tensor<f32, strides=[any, 1], extents=[any, any]> = rows %t, %i, %j"
    load = "%v: tile<[4, 4], f32> = load %r, [%one, %zero], shape=[4, 4]"
    want = np.zeros((4, 4))
    want[:2] = t[3:5, :4]
    np.testing.assert_array_equal(run(t, view, load, STORE, i=2, j=5), want)
    assert (run(t, view, load, STORE, i=5, j=2) == 0).all(), "an empty view"


@pytest.mark.parametrize("axis", [0, 1])
def test_subview(rng, axis):
    t = rng.standard_normal(SHAPE)
    stride = "1" if axis == 0 else "any"
    view = f"%r: tensor<f32, strides=[{stride}], extents=[any]> = subview %t, %i, axis={axis}"
    load = "%l: tile<[4], f32> = load %r, [%one], shape=[4]"
    shape = "%v: tile<[4, 1], f32> = reshape %l, shape=[4, 1]"
    got = run(t, view, load, shape, STORE, out=(4, 1), i=2)
    np.testing.assert_array_equal(got[:, 0], np.take(t, 2, axis)[1:5])


def test_rows_by_an_index_tile(rng):
    """Indices outside of the tensor gather zeros."""
    t, rows = rng.standard_normal(SHAPE), [8, -1, 3, 9]
    lines = (
        "%r: tile<[4], i32> = load %rows, [%zero], shape=[4]",
        "%v: tile<[4, 4], f32> = load %t, [%r, %j], shape=[4, 4]",
    )
    want = np.stack([t[r, 1:5] if 0 <= r < 9 else np.zeros(4) for r in rows])
    np.testing.assert_array_equal(run(t, *lines, STORE, j=1, rows=rows), want)


def test_gather_and_scatter_with_masks(rng):
    t, rows = rng.standard_normal(SHAPE), [8, 0, 3, 9]
    lines = (
        "%r: tile<[4], i32> = load %rows, [%zero], shape=[4]",
        "%a: tile<[4], i32> = arange %zero, size=4",
        "%o: tile<[4], i32> = full %one, shape=[4]",
        "%m: tile<[4], bool> = ne %a, %o",
        "%v: tile<[4], f32> = gather %t, [%r, %o], mask=%m, other=%fill",
        "scatter %out, [%a, %a], %v, mask=%m",
    )
    want = np.full((4, 4), np.nan)
    want[0, 0], want[2, 2], want[3, 3] = t[8, 1], t[3, 1], -5.0
    np.testing.assert_array_equal(run(t, *lines, rows=rows), want)


def test_elements_and_extents(rng):
    t = rng.standard_normal(SHAPE)
    lines = (
        "%e: f32 = element %t, [%i, %j]",
        "element.store %out, [%zero, %zero], %e",
        "%n: i32 = extent %t, axis=1, dtype=i32",
        "%s: i32 = stride %t, axis=0, dtype=i32",
        "%p: i32 = add %n, %s",
        "%q: f32 = cast %p, dtype=f32",
        "element.store %out, [%zero, %one], %q",
        "element.store %out, [%n, %one], %q",
    )
    assert run(t, *lines, out=(1, 2), i=3, j=2).tolist() == [[t[3, 2], 14.0]]
    assert run(t, *lines, out=(1, 2), i=3, j=7)[0, 0] == 0


def test_shapes(rng):
    t = rng.standard_normal(SHAPE)
    lines = (
        LOAD,
        "%a: tile<[2, 8], f32> = reshape %v, shape=[2, 8]",
        "%b: tile<[8, 2], f32> = transpose %a, axes=[1, 0]",
        "%c: tile<[4, 1], f32> = slice %b, start=[3, 1], shape=[4, 1]",
        "%d: tile<[4, 4], f32> = broadcast %c, shape=[4, 4]",
        "store %out, [%zero, %zero], %d",
    )
    want = np.broadcast_to(t[:4, :4].reshape(2, 8).T[3:7, 1:], (4, 4))
    np.testing.assert_array_equal(run(t, *lines), want)


def test_a_view_keeps_every_lanes_bits(rng):
    """f16 seen as bytes, and bytes as pairs of codes in another order."""
    t = rng.standard_normal((8, 4)).astype(np.float16)
    kinds = {
        "%x": ("f16", "[8, 4]", "#0"),
        "%b": ("u8", "[8, 8]", "#1"),
        "%c": ("u4", "[8, 16]", "#2"),
    }
    types = {name: f"{name}: tile<{shape}, {kind}, {ref}>" for name, (kind, shape, ref) in
             kinds.items()}  # fmt: skip
    head = HEAD.split("kernel")[0]
    text = (
        f"{head}kernel @k(%t: tensor<f16, strides=[any, 1], extents=[any, any]>, %y: tensor<u8, "
        "strides=[any, 1], extents=[any, any]>, %z: tensor<u4, strides=[any, 1], "
        "extents=[any, any]>), phase=scheduled {\n  %o: i32 = const value=0, dtype=i32\n"
        f"  {types['%x']} = load %t, [%o, %o], shape=[8, 4]\n"
        f"  {types['%b']} = view %x, dtype=u8, layout=#1\n  store %y, [%o, %o], %b\n"
        f"  {types['%c']} = view %b, dtype=u4, layout=#2\n  store %z, [%o, %o], %c\n"
        "  yield []\n}\n"
    )
    y, z = np.zeros((8, 8), np.int64), np.zeros((8, 16), np.int64)
    views = [TensorView(t.astype(np.float64), f16), TensorView(y, u8), TensorView(z, u4)]
    interpret(parse_kernel(text), views)
    stored = t.view(np.uint8)
    np.testing.assert_array_equal(y, stored)
    nibbles = np.stack([stored & 15, stored >> 4], -1).reshape(8, 4, 2, 2)
    np.testing.assert_array_equal(z, nibbles.transpose(0, 1, 3, 2).reshape(8, 16))


@pytest.mark.parametrize("zero", [False, True])
def test_scaled_products(rng, zero):
    """Groups along k share a scale, and a zero point."""
    t = rng.integers(-4, 5, SHAPE).astype(np.float64)
    lines = [
        "%x: tile<[2, 4], f32> = load %t, [%zero, %zero], shape=[2, 4]",
        "%w: tile<[4, 3], f32> = load %t, [%i, %zero], shape=[4, 3]",
        "%y: tile<[4, 3], i8> = cast %w, dtype=i8",
        "%s: tile<[2, 3], f32> = load %t, [%j, %zero], shape=[2, 3]",
        "%f: f32 = const value=1.0, dtype=f32",
        "%a: tile<[2, 3], f32> = full %f, shape=[2, 3]",
        f"%v: tile<[2, 3], f32> = mma.scaled %x, %y, %s, %a{', zero=%s' if zero else ''}",
    ]
    scale = np.repeat(t[7:9, :3], 2, axis=0)
    weights = (t[2:6, :3] - (scale if zero else 0)) * scale
    got = run(t, *lines, STORE, out=(2, 3), i=2, j=7)
    np.testing.assert_array_equal(got, t[:2, :4] @ weights + 1)


def test_tf32_products_round_their_operands():
    t = np.full((4, 4), 1 + 2.0**-12)
    for precision, want in (("exact", 4 * (1 + 2.0**-12) ** 2), ("tf32", 4.0)):
        product = f'%v: tile<[4, 4], f32> = mma %x, %x, %z, precision="{precision}"'
        lines = (LOAD.replace("%v", "%x"), "%g: f32 = const value=0.0, dtype=f32",
                 "%z: tile<[4, 4], f32> = full %g, shape=[4, 4]", product)  # fmt: skip
        np.testing.assert_array_equal(run(t, *lines, STORE), np.float32(want))


def test_print_shows_values(capsys):
    run(np.eye(4), LOAD, 'print [%i, %v], text="i is {}: {}"', i=1)
    assert capsys.readouterr().out == f"i is 1: {padded(np.eye(4), 1, 0)}\n"
