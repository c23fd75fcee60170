# ruff: noqa: E501 (lines of IR text)
"""Elementwise chains, loads and stores: equal to the interpreter at odd sizes, strides and edges."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import parse_dtype
from tilewright.tests.codegen.cpu.harness import ISAS, check_equal, memory, output, run_cpu

INDEX = """
  %b0: i32 = const value=16, dtype=i32
  %b1: i32 = const value=24, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %m: i32 = extent %y, axis=0, dtype=i32
  %n: i32 = extent %y, axis=1, dtype=i32
  %m1: i32 = add %m, %b0
  %m2: i32 = sub %m1, %one
  %gm: i32 = floordiv %m2, %b0
  %n1: i32 = add %n, %b1
  %n2: i32 = sub %n1, %one
  %gn: i32 = floordiv %n2, %b1
  for_tiles [%gm, %gn] (%i: i32, %j: i32) {
    %r: i32 = mul %i, %b0
    %c: i32 = mul %j, %b1
"""
END = """
    store %y, [%r, %c], %out
    yield []
  }
  yield []
}
"""


def kernel(source: str, target: str, body: str, *, strides: str = "any, 1", more: str = "") -> str:
    """A kernel that maps a tile %x of `source` to %out of `target`."""
    kind = "tensor<{}, strides=[{}], extents=[any, any]>"
    head = f"kernel @map(%x: {kind.format(source, strides)}, %y: {kind.format(target, strides)}"
    return (
        f"{head}{more}), phase=tile {{{INDEX}"
        f"    %t: tile<[16, 24], {source}> = load %x, [%r, %c], shape=[16, 24]\n{body}{END}"
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("form", ["row", "column", "strided"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 24), (37, 53), (15, 100)])
def test_a_chain_is_exact_for_any_strides_and_sizes(
    isa: str, form: str, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng()
    strides = {"row": "any, 1", "column": "1, any", "strided": "any, any"}[form]
    text = kernel(
        "f32",
        "f32",
        """
    %a: tile<[16, 24], f32> = mul %t, %t
    %b: tile<[16, 24], f32> = add %a, %t
    %out: tile<[16, 24], f32> = sub %b, %a
""",
        strides=strides,
    )
    x = rng.standard_normal(shape).astype(np.float32)
    check_equal(text, [memory(x, "f32", form), output(shape, "f32", form)], isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "tf32", "f64", "f8e4m3", "f8e5m2"])
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "min", "max", "floordiv", "mod"])
def test_binary_operations_round_once(isa: str, dtype: str, op: str) -> None:
    rng = np.random.default_rng()
    text = kernel(
        dtype,
        dtype,
        f"""
    %k: tile<[16, 24], {dtype}> = transpose %q, axes=[1, 0]
    %out: tile<[16, 24], {dtype}> = {op} %t, %k
""".replace("%k:", "%q0: i32 = const value=0, dtype=i32\n    %q:").replace(
            f"%q: tile<[16, 24], {dtype}> = transpose %q, axes=[1, 0]",
            f"%q: tile<[24, 16], {dtype}> = load %x, [%q0, %q0], shape=[24, 16]\n"
            f"    %k: tile<[16, 24], {dtype}> = transpose %q, axes=[1, 0]",
        ),
    )
    x = rng.standard_normal((37, 53)) * 4.0 ** rng.integers(-3, 4, (37, 53))
    check_equal(text, [memory(x, dtype), output((37, 53), dtype)], isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"])
@pytest.mark.parametrize(
    "op",
    ["add", "sub", "mul", "min", "max", "and", "or", "xor", "shl", "shr", "floordiv", "mod"],
)
def test_integers_wrap_and_divide_downwards(isa: str, dtype: str, op: str) -> None:
    rng = np.random.default_rng()
    bits = int(dtype[1:])
    codes = rng.integers(0, 2**63, (19, 30), dtype=np.uint64) >> np.uint64(64 - bits)
    y = rng.integers(1, 9, (19, 30))
    text = kernel(
        dtype,
        dtype,
        f"""
    %k: tile<[16, 24], {dtype}> = load %z, [%r, %c], shape=[16, 24]
    %out: tile<[16, 24], {dtype}> = {op} %t, %k
""",
        more=f", %z: tensor<{dtype}, strides=[any, 1], extents=[any, any]>",
    )
    args = [memory(codes, dtype), output((19, 30), dtype), memory(y, dtype)]
    check_equal(text, args, isa)


UNARY = {
    "neg": 0.0, "abs": 0.0, "floor": 0.0, "ceil": 0.0, "round": 0.0, "sqrt": 0.0,
    "exp": 4.0, "exp2": 4.0, "log": 4.0, "log2": 4.0, "sin": 4.0, "cos": 4.0, "tanh": 4.0,
    "erf": 4.0, "sigmoid": 4.0, "rsqrt": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", UNARY)
def test_functions_are_within_units_of_the_last_place(isa: str, op: str) -> None:
    rng = np.random.default_rng()
    text = kernel("f32", "f32", f"    %out: tile<[16, 24], f32> = {op} %t\n")
    x = (rng.standard_normal((40, 50)) * 3).astype(np.float32)
    x[0, :6] = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.0]
    if op in ("log", "log2", "sqrt", "rsqrt"):
        x[1:] = np.abs(x[1:])
    args = [memory(x, "f32"), output((40, 50), "f32")]
    tiny = 2.0**-23 if op in ("sin", "cos") else 0.0
    check_equal(text, args, isa, relative=UNARY[op] * 2.0**-23, absolute=tiny)


TYPES = [
    "f32", "f16", "bf16", "tf32", "f64", "f8e4m3", "f8e5m2", "f4e2m1", "f6e3m2", "f5_e2m2", "f3_e1m1",
    "e8m0", "nf4", "i8", "u8", "i16", "u32", "i64", "u64", "bool", "u1", "u3", "u4", "i5", "i2", "u7",
]  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("source", TYPES)
def test_casts_agree_on_all_codes(isa: str, source: str) -> None:
    rng = np.random.default_rng()
    dtype = parse_dtype(source)
    count = 2 ** min(dtype.bits, 8)
    codes = np.concatenate([np.arange(count), rng.integers(0, 2**63, 512 - count)])
    codes = (codes.astype(np.uint64) & np.uint64(2**dtype.bits - 1)).astype(dtype.container)
    x = dtype.decode(codes).reshape(16, 32)
    if source == "bool":
        x = codes.reshape(16, 32) % 2
    for target in rng.choice(TYPES, 8, replace=False):
        if target == source:
            continue
        text = kernel(
            source,
            str(target),
            f"    %out: tile<[16, 24], {target}> = cast %t, dtype={target}\n",
            strides="any, 1",
        )
        check_equal(text, [memory(x, source), output((16, 32), str(target))], isa)


@pytest.mark.parametrize("isa", ISAS)
def test_a_scalar_argument_and_comparisons_select(isa: str) -> None:
    rng = np.random.default_rng()
    text = kernel(
        "f32",
        "i32",
        """
    %s0: tile<[16, 24], f32> = full %s, shape=[16, 24]
    %less: tile<[16, 24], bool> = lt %t, %s0
    %row: tile<[16], i32> = arange %r, size=16
    %row2: tile<[16, 1], i32> = reshape %row, shape=[16, 1]
    %rows: tile<[16, 24], i32> = broadcast %row2, shape=[16, 24]
    %k: tile<[16, 24], i32> = full %n, shape=[16, 24]
    %out: tile<[16, 24], i32> = select %less, %rows, %k
""",
        more=", %s: f32, %n0: i32",
    )
    x = rng.standard_normal((50, 31)).astype(np.float32)
    check_equal(text, [memory(x, "f32"), output((50, 31), "i32"), 0.25, 3], isa)


@pytest.mark.parametrize("isa", ISAS)
def test_offsets_outside_the_tensor_read_other_and_store_nothing(isa: str) -> None:
    text = """
kernel @shift(%x: tensor<f32, strides=[any, 1], extents=[any, any]>, %y: tensor<f32, strides=[any, 1], extents=[any, any]>, %dr: i32, %dc: i32), phase=tile {
  %one: i32 = const value=1, dtype=i32
  for_tiles [%one] (%i: i32) {
    %o: f32 = const value=-5.0, dtype=f32
    %t: tile<[8, 16], f32> = load %x, [%dr, %dc], other=%o, shape=[8, 16]
    %u: tile<[8, 16], f32> = add %t, %t
    store %y, [%dc, %dr], %u
    yield []
  }
  yield []
}
"""
    rng = np.random.default_rng()
    x = rng.integers(-9, 9, (10, 20))
    for dr, dc in [(0, 0), (-3, -5), (7, 15), (-8, 0), (100, 3), (-100, -100), (3, -20)]:
        check_equal(text, [memory(x, "f32"), output((9, 13), "f32"), dr, dc], isa)


def test_one_block_starts_no_threads_and_threads_follow_the_argument() -> None:
    import ctypes

    from tilewright.runtime.openmp import find_openmp

    text = kernel("f32", "f32", "    %out: tile<[16, 24], f32> = add %t, %t\n")
    for shape, threads in [((16, 24), 8), ((160, 240), 1), ((160, 240), 3)]:
        x = np.ones(shape)
        run_cpu(text, [memory(x, "f32"), output(shape, "f32")], ISAS[-1], threads)
    assert find_openmp() is None or ctypes.CDLL(str(find_openmp()))
