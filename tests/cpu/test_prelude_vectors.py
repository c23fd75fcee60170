"""Vector functions of the cpu prelude against float64, conversions and tables against ml_dtypes
bit by bit, reductions against their bound. Compiled once per instruction set."""

from __future__ import annotations

import ctypes
import functools
import math
import subprocess
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.isa import ISAS, cpu_features, find_isas

HERE = Path(__file__).parent
PRELUDE = HERE.parents[1] / "codegen" / "cpu" / "prelude"
HERE_RUNS = [isa for isa in ("avx512", "avx2") if isa in find_isas(cpu_features())]
TABLES = ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


# name: float64 meaning, range to sample evenly, bound in units of the last place
FUNCTIONS = {
    "exp2": (np.exp2, -152, 129, 2),
    "exp": (np.exp, -105, 90, 2),
    "log": (np.log, 1e-3, 3, 2),
    "log2": (np.log2, 1e-3, 3, 2),
    "sigmoid": (sigmoid, -105, 30, 3),
    "tanh": (np.tanh, -10, 10, 3),
    "erf": (np.vectorize(math.erf), -5, 5, 2),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1e-3, 9, 2),
    "sin": (np.sin, -1e4, 1e4, 2),
    "cos": (np.cos, -1e4, 1e4, 2),
}


@functools.cache
def build(isa: str) -> ctypes.CDLL:
    library = Path(tempfile.mkdtemp(prefix="tw-prelude-")) / "vector.so"
    command = ["c++", "-O3", "-std=c++17", "-fno-exceptions", "-shared", "-fPIC", *ISAS[isa].flags]
    command += [
        "-ffp-contract=off",
        f"-I{PRELUDE}",
        str(HERE / "vector_example.cpp"),
        "-o",
        str(library),
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def call(isa: str, name: str, x: np.ndarray, dtype: type) -> np.ndarray:
    y = np.full(x.size + 1, 99, dtype)
    pointers = [ctypes.c_void_p(a.__array_interface__["data"][0]) for a in (x, y)]
    getattr(build(isa), name)(*pointers, ctypes.c_int64(x.size))
    assert y[-1] == 99, "wrote past the end"
    return y[:-1]


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance in units of the last place of f32 at the exact value; 0 where both overflow."""
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    equal = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    with np.errstate(invalid="ignore"):
        unit = np.abs(np.spacing(np.minimum(np.abs(nearest), np.float32(3e38)))).astype(np.float64)
        return np.where(equal, 0, np.abs(got.astype(np.float64) - exact) / unit)


@pytest.mark.parametrize("isa", HERE_RUNS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_stay_within_their_bound(isa: str, name: str) -> None:
    meaning, low, high, bound = FUNCTIONS[name]
    rng = np.random.default_rng()
    even = rng.uniform(low, high, 60_001)
    near = rng.standard_normal(20_000) * 10.0 ** rng.integers(-30, 1, 20_000)
    every = rng.integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32)
    edges = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3e38, -3e38])
    x = np.concatenate([even, near, every, edges]).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = meaning(x.astype(np.float64))
    error = ulps(call(isa, f"f_{name}", x, np.float32), exact)
    worst = int(np.nanargmax(np.where(np.isnan(error), np.inf, error)))
    assert error[worst] <= bound, (x[worst], exact[worst], error[worst])


@pytest.mark.parametrize("isa", HERE_RUNS)
@pytest.mark.parametrize(("name", "dtype"), [("bf16", ml_dtypes.bfloat16), ("f16", np.float16)])
def test_conversions_are_exact_or_nearest_even(isa: str, name: str, dtype: type) -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    wide = call(isa, f"from_{name}", codes.view(dtype), np.float32)
    assert np.array_equal(wide, codes.view(dtype).astype(np.float32), equal_nan=True)
    rng = np.random.default_rng()
    some = rng.integers(0, 1 << 32, 100_003, dtype=np.uint32)
    some[:16384] = np.arange(16384, dtype=np.uint32) << 16 | 0x8000  # ties
    some[-5:] = 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0x00000001, 0x7FBF8000
    x = some.view(np.float32)
    with np.errstate(all="ignore"):
        assert np.array_equal(call(isa, f"to_{name}", x, dtype), x.astype(dtype), equal_nan=True)


@pytest.mark.parametrize("isa", HERE_RUNS)
def test_reductions(isa: str) -> None:
    rng = np.random.default_rng()
    for n in (1, 7, 16, 65, 1000, 4099):
        x = rng.standard_normal(n).astype(np.float32)
        y = np.full(3, np.nan, np.float32)
        pointers = [ctypes.c_void_p(a.__array_interface__["data"][0]) for a in (x, y)]
        build(isa).reductions(*pointers, ctypes.c_int64(n))
        assert (y[1], y[2]) == (x.max(), x.min())
        bound = (n / 32 + 16) * 2.0**-24 * np.abs(x).astype(np.float64).sum()
        assert abs(y[0] - x.astype(np.float64).sum()) <= bound


@pytest.mark.parametrize("isa", HERE_RUNS)
def test_tables_hold_every_code_exactly(isa: str) -> None:
    y = np.full((5, 256), 99, np.float32)
    build(isa).tables(ctypes.c_void_p(y.__array_interface__["data"][0]))
    for row, name in zip(y, TABLES, strict=True):
        dtype = np.dtype(getattr(ml_dtypes, name))
        count = {"float8": 256, "float6": 64, "float4": 16}[name.split("_")[0]]
        expected = np.arange(count, dtype=np.uint8).view(dtype).astype(np.float32)
        assert np.array_equal(row[:count], expected, equal_nan=True), name
        assert np.array_equal(np.signbit(row[:count]), np.signbit(expected)), name
