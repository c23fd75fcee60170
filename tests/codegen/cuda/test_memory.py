"""Loads and stores: odd sizes, strides, views, gathers of rows, elements of every width."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.types import f16, f32, i32, parse_dtype
from tilewright.tests.codegen.cuda.harness import (
    Tensor,
    compile_kernel,
    lower,
    run_both,
    tensor_text,
)


def copy_kernel(name: str, shape: tuple[int, int], strides: tuple[str, str], aligned: bool) -> str:
    """Copies a matrix tile by tile, plus 0 so that something happens on the way."""
    params = ", ".join(tensor_text(n, name, strides, aligned=aligned) for n in ("x", "y"))
    m, n = shape
    return f"""kernel @copy({params}), phase=tile {{
  %bm: i32 = const value={m}, dtype=i32
  %bn: i32 = const value={n}, dtype=i32
  %m: i32 = extent %x, axis=0, dtype=i32
  %n: i32 = extent %x, axis=1, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %m1: i32 = add %m, %bm
  %m2: i32 = sub %m1, %one
  %gm: i32 = floordiv %m2, %bm
  %n1: i32 = add %n, %bn
  %n2: i32 = sub %n1, %one
  %gn: i32 = floordiv %n2, %bn
  for_tiles [%gm, %gn] (%i: i32, %j: i32) {{
    %row: i32 = mul %i, %bm
    %col: i32 = mul %j, %bn
    %t: tile<[{m}, {n}], {name}> = load %x, [%row, %col], shape=[{m}, {n}]
    store %y, [%row, %col], %t
    yield []
  }}
  yield []
}}
"""


def codes_as_values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    dtype = parse_dtype(name)
    bits = min(dtype.bits, 12)
    codes = rng.integers(0, 1 << bits, shape).astype(dtype.container)
    return np.asarray(dtype.decode(codes))


@pytest.mark.parametrize("name", ["u8", "f16", "f32", "f64"])
@pytest.mark.parametrize(
    ("tile", "strides", "aligned"),
    [
        ((16, 32), ("x16B", "1"), True),
        ((5, 7), ("any", "1"), False),
        ((3, 24), ("x16B", "1"), True),
        ((1, 100), ("any", "1"), False),
        ((33, 1), ("any", "1"), False),
    ],
)
def test_any_tile_and_any_matrix(
    name: str,
    tile: tuple[int, int],
    strides: tuple[str, str],
    aligned: bool,
    rng: np.random.Generator,
) -> None:
    size = parse_dtype(name).bits // 8
    rows, columns = int(rng.integers(1, 70)), int(rng.integers(1, 70))
    pitch = -columns % (16 // size) if aligned else 3
    x = Tensor(parse_dtype(name), codes_as_values(name, (rows, columns), rng), pitch)
    y = Tensor(parse_dtype(name), np.ones((rows, columns)), pitch)
    run_both(copy_kernel(name, tile, strides, aligned), [x, y])


@pytest.mark.parametrize("name", ["u1", "u2", "i3", "u4", "u5", "f6e3m2", "i7"])
def test_sub_byte_rows_of_any_length(name: str, rng: np.random.Generator) -> None:
    dtype = parse_dtype(name)
    for columns in (8, 13, 41):
        values = codes_as_values(name, (9, columns), rng)
        x, y = Tensor(dtype, values, 2), Tensor(dtype, np.zeros((9, columns)) + values[0, 0], 5)
        run_both(copy_kernel(name, (4, 16), ("any", "1"), False), [x, y])


def test_wide_sub_byte_accesses(rng: np.random.Generator) -> None:
    for name, bytes_per_row in (("u4", 32), ("u2", 16), ("i3", 48)):
        dtype = parse_dtype(name)
        columns = bytes_per_row * 8 // dtype.bits
        values = codes_as_values(name, (8, columns), rng)
        x, y = Tensor(dtype, values), Tensor(dtype, np.zeros((8, columns)) + values[0, 0])
        text = copy_kernel(name, (8, columns), ("x16B", "1"), True)
        run_both(text, [x, y])


def test_bits_behind_the_end_of_a_row_are_zero(rng: np.random.Generator) -> None:
    u4 = parse_dtype("u4")
    x, y = (Tensor(u4, codes_as_values("u4", (3, 5), rng)) for _ in range(2))
    run_both(copy_kernel("u4", (2, 8), ("any", "1"), False), [x, y])
    assert (y.memory[:, -1] >> 4 == 0).all()


def test_a_store_that_splits_a_byte_is_refused() -> None:
    text = copy_kernel("u4", (4, 3), ("any", "1"), False)
    with pytest.raises(ShapeError, match="splits a byte"):
        lower(text)


def test_aligned_accesses_are_16_bytes_wide() -> None:
    for name in ("u8", "f16", "f32"):
        text = copy_kernel(name, (64, 128), ("x16B", "1"), True)
        _, ptx = compile_kernel(lower(text))
        assert "ld.global.nc.v4" in ptx
        assert re.search(r"st\.global\.(v4\.[ub]32|v2\.[ub]64)", ptx)


def test_a_column_major_view_is_read_along_its_columns(rng: np.random.Generator) -> None:
    """The tile's fast axis is 0: coalesced for the load, through shared memory for the store."""
    x_text = tensor_text("x", "f32", ("1", "x16B"), aligned=True)
    params = f"{x_text}, {tensor_text('y', 'f32', ('x16B', '1'), aligned=True)}"
    text = f"""kernel @turn({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[64, 48], f32> = load %x, [%zero, %zero], shape=[64, 48]
    store %y, [%zero, %zero], %t
    yield []
  }}
  yield []
}}
"""
    x = Turned(f32, rng.integers(-9, 9, (64, 48)))
    run_both(text, [x, Tensor(f32, np.zeros((64, 48)))])


class Turned(Tensor):
    """A matrix whose first axis is the fast one."""

    def place(self) -> None:
        codes = np.asarray(self.dtype.encode(self.values))
        self.memory = np.ascontiguousarray(codes.T)
        self.strides = (1, codes.shape[0])

    def read(self) -> np.ndarray:
        return np.asarray(self.dtype.decode(np.ascontiguousarray(self.memory.T)))


def test_rows_by_index_tile_and_other_values(rng: np.random.Generator) -> None:
    params = ", ".join(
        (
            tensor_text("x", "f16", ("x16B", "1"), aligned=True),
            tensor_text("rows", "i32"),
            tensor_text("y", "f16", ("x16B", "1"), aligned=True),
        )
    )
    text = f"""kernel @embed({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %seven: f16 = const value=7.0, dtype=f16
  for_tiles [] {{
    %r: tile<[11], i32> = load %rows, [%zero], shape=[11]
    %t: tile<[11, 64], f16> = load %x, [%r, %zero], other=%seven, shape=[11, 64]
    store %y, [%zero, %zero], %t
    yield []
  }}
  yield []
}}
"""
    x = Tensor(f16, rng.integers(-9, 9, (20, 56)))
    rows = Tensor(i32, rng.integers(-2, 23, 11))
    run_both(text, [x, rows, Tensor(f16, np.zeros((11, 64)))])


def test_views_have_bounds_of_their_own(rng: np.random.Generator) -> None:
    x_text = tensor_text("x", "f32", ("any", "any", "1"))
    params = f"{x_text}, {tensor_text('y', 'f32', ('any', '1'))}, %low: i32, %high: i32"
    text = f"""kernel @views({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %page: i32 = const value=1, dtype=i32
  for_tiles [] {{
    %p: tensor<f32, strides=[any, 1], extents=[any, any]> = subview %x, %page
    %v: tensor<f32, strides=[any, 1], extents=[any, any]> = rows %p, %low, %high
    %t: tile<[6, 8], f32> = load %v, [%zero, %zero], shape=[6, 8]
    %n: i32 = extent %v, axis=0, dtype=i32
    %m: f32 = cast %n, dtype=f32
    %mt: tile<[6, 8], f32> = full %m, shape=[6, 8]
    %s: tile<[6, 8], f32> = add %t, %mt
    store %y, [%zero, %zero], %s
    yield []
  }}
  yield []
}}
"""
    x = Tensor(f32, rng.integers(-9, 9, (3, 10, 8)), 1)
    for low, high in ((2, 6), (5, 5), (4, 2), (7, 10), (8, 14), (12, 15)):
        run_both(text, [x, Tensor(f32, np.zeros((6, 8))), low, high])


def test_extents_of_class_x16_need_one_check_per_vector(rng: np.random.Generator) -> None:
    kind = "tensor<f16, strides=[x16B, 1], extents=[any, x16], aligned>"
    text = f"""kernel @copy(%x: {kind}, %y: {kind}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[6, 64], f16> = load %x, [%zero, %zero], shape=[6, 64]
    store %y, [%zero, %zero], %t
    yield []
  }}
  yield []
}}
"""
    run_both(text, [Tensor(f16, rng.integers(-9, 9, (5, 48))), Tensor(f16, np.zeros((5, 48)))])
    source, _ = compile_kernel(lower(text))
    assert "+ 7" not in source.text  # no look at the last element of a vector
