"""CUDA's device functions, as NVRTC inlines them, against Python's math: long straight-line code of all kinds."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]
UNARY = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "exp2": lambda x: 2.0**x,
    "log": math.log, "log2": math.log2, "log10": math.log10, "log1p": math.log1p, "expm1": math.expm1,
    "sqrt": math.sqrt, "cbrt": math.cbrt, "rsqrt": lambda x: 1 / math.sqrt(x), "erf": math.erf,
    "erfc": math.erfc, "tgamma": math.gamma, "lgamma": math.lgamma, "tanh": math.tanh, "sinh": math.sinh,
    "asin": lambda x: math.asin(min(x, 1)), "atan": math.atan, "asinh": math.asinh, "floor": math.floor,
    "rint": round, "trunc": math.trunc,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["float", "double"])
def test_the_math_library_is_accurate(compile_ptx: Compile, kind: str) -> None:
    suffix = "f" if kind == "float" else ""
    x = np.random.default_rng().uniform(0.05, 0.99, 64).astype("f4" if suffix else "f8")
    lines = "\n".join(
        f"o[{index} * 64 + threadIdx.x] = {name}{suffix}(v);" for index, name in enumerate(UNARY)
    )
    ptx = compile_ptx(
        f'extern "C" __global__ void k(const {kind}* x, {kind}* o) {{ {kind} v = x[threadIdx.x]; {lines} }}'
    )
    o = np.zeros((len(UNARY), 64), x.dtype)
    report = vm.run(ptx, "k", 1, 64, [x, o])
    for row, (name, function) in zip(o, UNARY.items(), strict=True):
        want = np.array([function(float(v)) for v in x])
        # The library promises a few units in the last place (tgamma about 10), lgamma only absolutely.
        scale = np.maximum(np.abs(want), 1) if name == "lgamma" else np.abs(want)
        error = np.abs(row - want) / np.spacing(scale.astype(x.dtype))
        assert error.max() <= 12, (name, error.max())
    assert report.warnings == []


BITS = r"""
typedef unsigned u; typedef unsigned long long ull; typedef long long ll;
extern "C" __global__ void k(const u* a, const u* b, ull* o) {
  int i = threadIdx.x, n = blockDim.x; u x = a[i], y = b[i]; ull p = (ull)x << 32 | y, q = (ull)y << 32 | (x | 1);
  ull r[16] = {
    (ull)__popc(x), (ull)__clz(x), (ull)__ffs(x), __brev(x), __byte_perm(x, y, 0x5140), __funnelshift_l(x, y, y & 31),
    __umulhi(x, y), (ull)(ll)__mulhi((int)x, (int)y), __umul64hi(p, q), p / q, p % (q >> 20), (ull)((ll)p / (ll)(q | 1)),
    (ull)__dp4a((int)x, (int)y, 5), (ull)__sad((int)x, (int)y, 1u), p * q, (ull)__mul64hi((ll)p, (ll)q)};
  for (int j = 0; j < 16; j++) o[j * n + i] = r[j];
}"""


def signed(x: int, bits: int) -> int:
    return x - (1 << bits) if x >> (bits - 1) else x


def test_integer_intrinsics(compile_ptx: Compile) -> None:
    rng = np.random.default_rng()
    a, b = (rng.integers(0, 1 << 32, 96, dtype=np.uint32) for _ in range(2))
    a[:3], b[1:4] = 0, 0xFFFFFFFF
    o = np.zeros((16, 96), np.uint64)
    vm.run(compile_ptx(BITS), "k", 1, 96, [a, b, o])
    mask = (1 << 64) - 1
    for lane in range(96):
        x, y = int(a[lane]), int(b[lane])
        p, q = x << 32 | y, y << 32 | (x | 1)
        sx, sy, sp, sq = signed(x, 32), signed(y, 32), signed(p, 64), signed(q, 64)
        both = x.to_bytes(4, "little") + y.to_bytes(4, "little")
        bytes_ = [np.array([v], np.uint32).view(np.int8).astype(int) for v in (x, y)]
        by = y & 31
        want = [
            x.bit_count(), 32 - x.bit_length(), (x & -x).bit_length(), int(f"{x:032b}"[::-1], 2),
            int.from_bytes(bytes(both[i] for i in (0, 4, 1, 5)), "little"), (((y << 32 | x) << by) >> 32) & 0xFFFFFFFF,
            x * y >> 32, sx * sy >> 32, p * q >> 64, p // q, p % (q >> 20) if q >> 20 else None,
            abs(sp) // abs(sq) * (1 if (sp < 0) == (sq < 0) else -1),
            int((bytes_[0] * bytes_[1]).sum()) + 5, abs(sx - sy) + 1, p * q, sp * sq >> 64,
        ]  # fmt: skip
        for index, value in enumerate(want):
            if value is not None:
                assert int(o[index, lane]) == value & mask, (index, lane)


def test_tables_pointers_and_indirect_calls(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
typedef int (*F)(int);
__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int square(int x) { return x * x; }
__device__ __noinline__ int minus(int x) { return -x; }
__device__ F table[3] = {twice, square, minus};
__device__ const char words[3][4] = {"abc", "def", "ghi"};
__constant__ double weights[3] = {0.5, 0.25, 0.125};
__device__ int shared_count;
struct Pair { double d; int i; };
__device__ __noinline__ Pair make(Pair p, int k) { p.d *= weights[k]; p.i += words[k][k]; return p; }
extern "C" __global__ void k(int* o, double* d) {
  int i = threadIdx.x, j = i % 3;
  Pair p = make({(double)i, i}, j);
  o[i] = table[j](p.i); d[i] = p.d;
  atomicAdd(&shared_count, 1); __syncthreads();
  if (i == 0) o[64] = *(volatile int*)&shared_count;
}""")
    o, d = np.zeros(65, np.int32), np.zeros(64)
    vm.run(ptx, "k", 1, 64, [o, d])
    i = np.arange(64)
    p = i + np.array([ord("a"), ord("e"), ord("i")])[i % 3]
    want = np.select([i % 3 == 0, i % 3 == 1], [2 * p, p * p], -p)
    np.testing.assert_array_equal(o[:64], want)
    np.testing.assert_array_equal(d, i * np.array([0.5, 0.25, 0.125])[i % 3])
    assert o[64] == 64
