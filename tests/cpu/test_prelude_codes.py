"""Packed weights on the cpu: every width reads its device order right, in every product. The
reference takes the same codes, scales and zero points in float64; sums are bounded as in
test_prelude_matmul."""

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
FOUND = [isa for isa in find_isas(cpu_features()) if isa != "amx" or request_amx()]
TYPES = {"float": (np.float32, 2.0**-24), "bf16": (ml_dtypes.bfloat16, 2.0**-8)}


@functools.cache
def build(isa: str, bits: int, element: str) -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="tw-prelude-"))
    command = ["c++", "-O3", "-std=c++17", "-fno-exceptions", "-fopenmp", "-shared", "-fPIC"]
    command += [
        "-ffp-contract=off",
        *ISAS[isa].flags,
        f"-I{PRELUDE}",
        f"-DWIDTH={bits}",
        f"-DELEMENT={element}",
    ]
    library = folder / "linear.so"
    subprocess.run([*command, str(HERE / "linear_example.cpp"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes[n, k] in the order [n / 16][k / 8][n % 16] of `bits` bytes, little-endian."""
    n, k = codes.shape
    full = np.zeros((-(-n // 16) * 16, -(-k // 8) * 8), np.uint64)
    full[:n, :k] = codes
    units = full.reshape(full.shape[0] // 16, 16, -1, 8)
    words = (units << (np.arange(8, dtype=np.uint64) * np.uint64(bits))).sum(-1, dtype=np.uint64)
    pieces = words[..., None].view(np.uint8)[..., :bits]
    return np.ascontiguousarray(pieces.transpose(0, 2, 1, 3)).reshape(-1)


def by_panel(values: np.ndarray) -> np.ndarray:
    """values[n, g] in the order [n / 16][g][n % 16]."""
    full = np.zeros((-(-values.shape[0] // 16) * 16, values.shape[1]), values.dtype)
    full[: values.shape[0]] = values
    return np.ascontiguousarray(full.reshape(-1, 16, values.shape[1]).transpose(0, 2, 1))


def pointer(x: np.ndarray | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.__array_interface__["data"][0])


def check(isa: str, bits: int, element: str, shape: tuple[int, int, int, int], zeros: bool) -> None:
    m, n, k, group = shape
    dtype, unit = TYPES[element]
    rng = np.random.default_rng()
    groups = -(-k // group)
    codes = rng.integers(0, 1 << bits, (n, k))
    scale = rng.uniform(0.5, 2, (n, groups)).astype(dtype)
    zero = rng.integers(0, 1 << bits, (n, groups)).astype(np.uint8)
    x = rng.standard_normal((m, k)).astype(dtype)
    y = np.full((m + 1, n), np.nan).astype(dtype)
    size = (ctypes.c_int64 * 4)(m, n, k, group)
    rows, sums = np.empty((m, k + 8), np.float32), np.empty((m, groups), np.float32)
    amx = np.empty(64 * (k + 32), np.uint32)
    packed = (pack(codes, bits), by_panel(scale), by_panel(zero) if zeros else None)
    build(isa, bits, element).linear(
        pointer(x),
        *map(pointer, packed),
        ctypes.c_float(1 << (bits - 1)),
        pointer(y),
        size,
        *map(pointer, (rows, sums, amx)),
        ctypes.c_int(2),
    )
    offset = zero.repeat(group, 1)[:, :k] if zeros else 1 << (bits - 1)
    step = scale.astype(np.float64).repeat(group, 1)[:, :k]
    x64 = x.astype(np.float64)
    exact = x64 @ ((codes - offset.astype(float) if zeros else codes - float(offset)) * step).T
    bound = (k + 8) * 2.0**-23 * (np.abs(x64) @ ((codes + offset) * step).T)
    error = np.abs(y[:m].astype(np.float64) - exact)
    assert (error <= bound + unit * np.abs(exact) * 1.001).all(), (isa, bits, shape)
    assert np.isnan(y[m].astype(np.float32)).all(), "wrote past the last row"


RUNS = [(isa, "bf16") for isa in FOUND]
RUNS += [(isa, "float") for isa in ("avx512", "avx2") if isa in FOUND]


@pytest.mark.parametrize(("isa", "element"), RUNS)
@pytest.mark.parametrize("zeros", [False, True])
def test_four_bits(isa: str, element: str, zeros: bool) -> None:
    for m in (1, 2, 3, 4, 5, 16, 17, 70):
        for n, k, group in ((33, 129, 32), (16, 8, 128), (100, 300, 64)):
            check(isa, 4, element, (m, n, k, group), zeros)


@pytest.mark.parametrize("isa", [isa for isa in ("avx512vnni", "avx512", "avx2") if isa in FOUND])
@pytest.mark.parametrize("bits", [1, 2, 3, 5, 6, 7, 8])
def test_other_widths(isa: str, bits: int) -> None:
    for m in (1, 6):
        check(isa, bits, "float", (m, 33, 77, 24), True)
