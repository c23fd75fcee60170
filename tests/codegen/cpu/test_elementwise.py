# ruff: noqa: E501 (lines of IR text)
"""Elementwise chains, loads and stores: equal to the interpreter at odd sizes, strides and edges."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tilewright.ir.types import parse_dtype
from tilewright.runtime.cxx import find_compiler
from tilewright.tests.codegen.cpu.harness import (
    ISAS,
    check_equal,
    memory,
    output,
    run_cpu,
    run_interpreter,
)

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


def operations(dtype: str, ops: Sequence[str], *, unary: bool = False) -> str:
    """%y[k] = op_k(%x, %z) for every operation: one kernel, an output plane per operation."""
    plane = f"tensor<{dtype}, strides=[any, 1], extents=[any, any]>"
    cube = f"tensor<{dtype}, strides=[any, any, 1], extents=[any, any, any]>"
    body = ""
    for k, op in enumerate(ops):
        operands = "%t" if unary else "%t, %u"
        body += f"""
    %k{k}: i32 = const value={k}, dtype=i32
    %y{k}: {plane} = subview %y, %k{k}, axis=0
    %v{k}: tile<[16, 24], {dtype}> = {op} {operands}
    store %y{k}, [%r, %c], %v{k}
"""
    index = INDEX.replace("extent %y", "extent %x")
    return f"""
kernel @operations(%x: {plane}, %z: {plane}, %y: {cube}), phase=tile {{{index}
    %t: tile<[16, 24], {dtype}> = load %x, [%r, %c], shape=[16, 24]
    %u: tile<[16, 24], {dtype}> = load %z, [%r, %c], shape=[16, 24]
{body}
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "tf32", "f64", "f8e4m3", "f8e5m2"])
def test_binary_operations_round_once(isa: str, dtype: str) -> None:
    rng = np.random.default_rng()
    ops = ["add", "sub", "mul", "div", "min", "max", "floordiv", "mod"]
    x, z = (rng.standard_normal((37, 53)) * 4.0 ** rng.integers(-3, 4, (37, 53)) for _ in "xz")
    args = [memory(x, dtype), memory(z, dtype), output((len(ops), 37, 53), dtype)]
    check_equal(operations(dtype, ops), args, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"])
def test_integers_wrap_and_divide_downwards(isa: str, dtype: str) -> None:
    rng = np.random.default_rng()
    bits = int(dtype[1:])
    ops = ["add", "sub", "mul", "min", "max", "and", "or", "xor", "shl", "shr", "floordiv", "mod"]
    codes = rng.integers(0, 2**63, (19, 30), dtype=np.uint64) >> np.uint64(64 - bits)
    small = rng.integers(1, 9, (19, 30))
    args = [memory(codes, dtype), memory(small, dtype), output((len(ops), 19, 30), dtype)]
    check_equal(operations(dtype, ops), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_functions_are_within_units_of_the_last_place(isa: str) -> None:
    rng = np.random.default_rng()
    exact = ["neg", "abs", "floor", "ceil", "round"]
    near = ["exp", "exp2", "sin", "cos", "tanh", "erf", "sigmoid", "log", "log2", "sqrt", "rsqrt"]
    x = (rng.standard_normal((40, 50)) * 3).astype(np.float32)
    x[0, :7] = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.0, -95.0]
    for ops, values in ((exact + near[:7], x), (near[7:], np.abs(x))):
        args = [memory(values, "f32"), memory(values, "f32"), output((len(ops), 40, 50), "f32")]
        text = operations("f32", ops, unary=True)
        expected = run_interpreter(text, args)[2]
        assert run_cpu(text, args, isa) is None
        for op, found, wanted in zip(ops, args[2].values(), expected, strict=True):
            units = 0.0 if op in (*exact, "sqrt") else 4.0
            # A sine near its zero is off by the argument's last place; a sigmoid may flush.
            tiny = {"sin": 2.0**-23, "cos": 2.0**-23, "sigmoid": 2.0**-126}.get(op, 0.0)
            # Subnormal results are off by their last place, 2^-149.
            np.testing.assert_allclose(
                found, wanted, rtol=units * 2.0**-23, atol=tiny + units * 2.0**-149, err_msg=op
            )


TYPES = [
    *("f32", "f16", "bf16", "tf32", "f64", "f8e4m3", "f8e5m2", "f4e2m1", "f6e3m2", "f5_e2m2"),
    *("f3_e1m1", "e8m0", "nf4", "i8", "u8", "i16", "u32", "i64", "u64", "bool"),
    *("u1", "u3", "u4", "i5", "i2", "u7"),
]


@pytest.mark.parametrize(
    ("isa", "source"),
    [
        *((ISAS[-1], source) for source in TYPES),
        *((ISAS[0], source) for source in ("f32", "f16", "f8e5m2", "u3", "nf4", "i64")),
    ],
)
def test_casts_agree_on_all_codes(isa: str, source: str) -> None:
    rng = np.random.default_rng()
    dtype = parse_dtype(source)
    count = 2 ** min(dtype.bits, 8)
    codes = np.concatenate([np.arange(count), rng.integers(0, 2**63, 512 - count)])
    codes = (codes.astype(np.uint64) & np.uint64(2**dtype.bits - 1)).astype(dtype.container)
    if source == "bool":
        codes %= 2
    x = dtype.decode(codes).reshape(16, 32)
    targets = [str(t) for t in rng.choice(TYPES, 6, replace=False) if t != source]
    params = "".join(
        f", %y{k}: tensor<{t}, strides=[any, 1], extents=[any, any]>" for k, t in enumerate(targets)
    )
    body = "".join(
        f"    %v{k}: tile<[16, 24], {t}> = cast %t, dtype={t}\n    store %y{k}, [%r, %c], %v{k}\n"
        for k, t in enumerate(targets)
    )
    text = kernel(
        source,
        source,
        body + f"    %out: tile<[16, 24], {source}> = load %x, [%r, %c], shape=[16, 24]\n",
        more=params,
    )
    args = [memory(x, source), output((16, 32), source)]
    check_equal(text, [*args, *(output((16, 32), t) for t in targets)], isa)


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


COUNT_TEAMS = """
#include <omp.h>
#include <atomic>
static std::atomic<int> teams{0};
static std::atomic<int> last{0};
extern "C" int opened(void) { return teams.exchange(0); }
extern "C" int asked(void) { return last.load(); }
extern "C" void GOMP_parallel(void (*run)(void*), void* data, unsigned threads, unsigned) {
  ++teams;
  last = (int)threads;
  run(data);
}
"""


def test_one_block_starts_no_region_and_the_team_follows_the_argument(tmp_path: Path) -> None:
    """In a process whose GOMP_parallel counts its calls; there blocks run on one thread."""
    (tmp_path / "teams.cpp").write_text(COUNT_TEAMS)
    library = tmp_path / "teams.so"
    build = [*find_compiler().command, "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*build, str(tmp_path / "teams.cpp")], check=True)
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHES, str(library)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", "1", "3", "1", "2"]


LAUNCHES = """
import ctypes, sys
import numpy as np
from tilewright.tests.codegen.cpu.harness import ISAS, memory, output, run_cpu
from tilewright.tests.codegen.cpu.test_elementwise import kernel
text = kernel("f32", "f32", "    %out: tile<[16, 24], f32> = add %t, %t\\n")
teams = ctypes.CDLL(sys.argv[1])
for shape, threads in [((16, 24), 8), ((160, 240), 1), ((160, 240), 3), ((17, 24), 3)]:
    args = [memory(np.ones(shape), "f32"), output(shape, "f32")]
    run_cpu(text, args, ISAS[-1], threads)
    found = teams.opened()
    print(found, *([teams.asked()] if found else []))
"""
