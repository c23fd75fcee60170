"""The f32 path of the cpu prelude: packing, micro-kernels and stores, compiled and run through the
example that shows the shape of generated code. Checked against float64 with the bound of a sum of
K rounded products: |error| <= (K + 8) * 2^-24 * sum |a| |b|, plus one rounding to the output."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.isa import ISAS, cpu_features, find_isas, request_amx

HERE = Path(__file__).parent
PRELUDE = HERE.parents[1] / "codegen" / "cpu" / "prelude"
TYPES = {
    "float": (np.float32, 2.0**-24),
    "bf16": (ml_dtypes.bfloat16, 2.0**-8),
    "f16": (np.float16, 2.0**-11),
}
FOUND = find_isas(cpu_features())
HERE_RUNS = [isa for isa in ("avx2", "avx512") if isa in FOUND]
MATRIX_RUNS = [
    isa for isa in FOUND if isa != "avx512vnni" and (isa != "amx" or request_amx())
]  # avx512vnni has the matrix path of avx512


@functools.cache
def build(isa: str, tile: str, element: str, *options: str) -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="tw-prelude-"))
    command = ["c++", "-O3", "-std=c++17", "-fno-exceptions", "-fopenmp", "-shared", "-fPIC"]
    command += ["-ffp-contract=off"]
    command += [
        *ISAS[isa].flags,
        f"-I{PRELUDE}",
        f"-DTILE={tile}",
        f"-DELEMENT={element}",
        *options,
    ]
    command += [
        "-Wall",
        "-Werror",
        "-Wno-uninitialized",
        "-Wno-maybe-uninitialized",
    ]  # g++ 12 headers
    library = folder / "matmul.so"
    subprocess.run([*command, str(HERE / "matmul_example.cpp"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def run(library: ctypes.CDLL, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    strides = [s // x.itemsize for x in (a, b, c) for s in x.strides]
    library.matmul(
        *(ctypes.c_void_p(x.__array_interface__["data"][0]) for x in (a, b, c)),
        (ctypes.c_int64 * 3)(a.shape[0], b.shape[0], a.shape[1]),
        (ctypes.c_int64 * 6)(*strides),
        ctypes.c_int(2),
    )


def operand(rng: np.random.Generator, rows: int, cols: int, form: str, dtype: type) -> np.ndarray:
    """A rows × cols operand: row-major, column-major, every second element, or reversed."""
    match form:
        case "row":
            return rng.standard_normal((rows, cols)).astype(dtype)
        case "column":
            return rng.standard_normal((cols, rows)).astype(dtype).T
        case "strided":
            return rng.standard_normal((2 * rows, 2 * cols)).astype(dtype)[::2, ::2]
        case _:
            return rng.standard_normal((rows, cols)).astype(dtype)[::-1, ::-1]


def check(
    library: ctypes.CDLL, shape: tuple[int, int, int], forms: str, element: str, rounds: int = 1
) -> None:
    m, n, k = shape
    dtype, unit = TYPES[element]
    rng = np.random.default_rng()
    left, right, out = forms.split()
    a, b = operand(rng, m, k, left, dtype), operand(rng, n, k, right, dtype)
    frame = np.full((m + 2, n + 2) if out == "row" else (n + 2, m + 2), np.nan).astype(dtype)
    c = (frame if out == "row" else frame.T)[1:-1, 1:-1]
    run(library, a, b, c)
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64).T
    error = np.abs(c.astype(np.float64) - exact)
    bound = (
        (rounds * k + 8) * 2.0**-24 * scale
        + unit * np.abs(exact) * 1.001
        + 2.0**-24 * (unit > 2.0**-24)
    )
    assert (error <= bound).all(), (shape, forms, element, float((error / bound).max()))
    assert np.isnan(frame.astype(np.float32)).sum() == frame.size - m * n, "wrote outside the view"


@pytest.mark.parametrize("isa", HERE_RUNS)
@pytest.mark.parametrize("tile", ["128,128,64", "37,41,19", "16,48,256", "1,5,3"])
def test_odd_sizes_and_strides_agree_with_float64(isa: str, tile: str) -> None:
    library = build(isa, tile, "float")
    for shape in [(1, 1, 1), (16, 33, 17), (129, 131, 67), (14, 32, 300), (3, 200, 1)]:
        for forms in ["row row row", "row column column", "column row row", "column column row"]:
            check(library, shape, forms, "float")
        check(library, shape, "strided reversed row", "float")
        check(library, shape, "reversed strided column", "float")


@pytest.mark.parametrize("isa", MATRIX_RUNS)
@pytest.mark.parametrize(
    ("element", "tile"),
    [("bf16", "60,64,32"), ("bf16", "37,41,19"), ("bf16", "64,33,70"), ("f16", "60,64,32")],
)
def test_half_types_accumulate_in_f32(isa: str, element: str, tile: str) -> None:
    library = build(isa, tile, element)
    for shape in [(61, 65, 33), (7, 9, 100), (1, 17, 31), (130, 70, 257)]:
        for forms in ["row row row", "column column column", "column row row", "row column row"]:
            check(library, shape, forms, element)
        check(library, shape, "strided reversed row", element)


@pytest.mark.parametrize("isa", MATRIX_RUNS)
@pytest.mark.parametrize("element", ["float", "bf16"])
def test_padding_of_the_contraction_does_not_make_nan_of_infinity(isa: str, element: str) -> None:
    library = build(isa, "37,41,19", element)
    dtype = TYPES[element][0]
    a, b = np.ones((5, 20), dtype), np.ones((6, 20), dtype)
    a[2, 19] = np.inf
    c = np.full((5, 6), np.nan, dtype)
    run(library, a, b, c)
    assert np.isinf(c[2]).all() and (np.delete(c, 2, 0) == 20).all()


with_amx = pytest.mark.skipif("amx" not in MATRIX_RUNS, reason="this CPU or system has no AMX")


@with_amx
@pytest.mark.parametrize("tile", ["128,128,64", "37,41,19", "16,48,256", "1,5,3"])
def test_f32_on_amx_is_as_accurate_as_its_six_products(tile: str) -> None:
    library = build("amx", tile, "float", "-DSPLIT")
    for shape in [(1, 1, 1), (16, 33, 17), (129, 131, 67), (14, 32, 300), (3, 200, 1)]:
        for forms in ["row row row", "column column column", "column row row", "row column row"]:
            check(library, shape, forms, "float", rounds=6)
        check(library, shape, "strided reversed row", "float", rounds=6)


@with_amx
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-25, 1e-12, 1e12, 1e17])
def test_f32_on_amx_keeps_small_and_large_numbers(scale: float) -> None:
    library = build("amx", "37,41,19", "float", "-DSPLIT")
    rng = np.random.default_rng()
    a = (rng.standard_normal((40, 70)) * scale).astype(np.float32)
    b = rng.standard_normal((45, 70)).astype(np.float32)
    b[:, ::3] = 0
    c = np.full((40, 45), np.nan, np.float32)
    run(library, a, b, c)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    bound = (6 * 70 + 8) * 2.0**-24 * (np.abs(a64) @ np.abs(b64).T) + 70 * 2.0**-149
    assert (np.abs(c - a64 @ b64.T) <= bound).all()


@with_amx
def test_f32_on_amx_passes_infinity_and_nan_on() -> None:
    library = build("amx", "37,41,19", "float", "-DSPLIT")
    a, b = np.ones((50, 60), np.float32), np.ones((20, 60), np.float32)
    a[3, 5], a[41, 59], a[44, 0], b[7, 30] = np.inf, -np.inf, np.nan, 3e38
    a[9, 9:10].view(np.uint32)[:] = 0x7F800001  # a NaN whose upper half looks like infinity
    expected = (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.float32)
    c = np.full((50, 20), 99, np.float32)
    run(library, a, b, c)
    assert np.allclose(c, expected, rtol=1e-5, equal_nan=True)
