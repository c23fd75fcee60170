"""The CUDA C++ language as NVRTC compiles it: control flow, objects, memory, warp functions, and the
hard ends of the math library.
"""

# ruff: noqa: E501  (lines of CUDA C++ stay whole)

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]
Array = np.ndarray[Any, Any]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def run(ptx: str, entry: str, grid: int, block: Any, *args: Any, **how: Any) -> vm.Report:
    report = vm.run(ptx, entry, grid, block, list(args), **how)
    assert report.races == [] and report.warnings == []
    return report


DIVERGENCE = r"""
__device__ __noinline__ int collatz(unsigned x) { int n = 0; while (x != 1) { x = x & 1 ? 3 * x + 1 : x / 2; n++; } return n; }
__device__ __noinline__ int gcd(int a, int b) { for (;;) { if (!b) return a; int t = a % b; a = b; b = t; } }
__device__ __noinline__ int nested(int x) { return x & 4 ? collatz(x | 1) + gcd(x, 36) : gcd(x + 60, 48); }
extern "C" __global__ void paths(const int* x, int* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int v = x[i], r = 0;
  for (int j = 0; j < v % 7; j++) {
    if (j == v % 5) continue;
    if (j > 4) break;
    r += nested(v + j);
  }
  switch (v % 16) {
    case 0: r += 1; case 1: r *= 3; break;
    case 2: case 3: case 4: r -= collatz(v); break;
    case 5: r = gcd(r, 30); break;
    case 6: r ^= 77; break; case 7: r <<= 2; break; case 8: r = -r; break;
    case 9: do { r = r * 5 % 1013; } while (r & 3); break;
    case 10: goto out; case 11: return;
    default: r += v; }
  r = r > 100 ? r - 100 : r < -100 ? r + 100 : r;
out:
  o[i] = r;
}"""


def collatz(x: int) -> int:
    n = 0
    while x != 1:
        x, n = (3 * x + 1 if x & 1 else x // 2), n + 1
    return n


def gcd(a: int, b: int) -> int:
    while b:
        a, b = b, math.fmod(a, b)
        b = int(b)
    return a


def path(v: int) -> int | None:
    r = 0
    for j in range(v % 7):
        if j == v % 5:
            continue
        if j > 4:
            break
        w = v + j
        r += collatz(w | 1) + gcd(w, 36) if w & 4 else gcd(w + 60, 48)
    match v % 16:
        case 0:
            r = (r + 1) * 3
        case 1:
            r *= 3
        case 2 | 3 | 4:
            r -= collatz(v)
        case 5:
            r = gcd(r, 30)
        case 6:
            r ^= 77
        case 7:
            r <<= 2
        case 8:
            r = -r
        case 9:
            r = int(math.fmod(r * 5, 1013))
            while r & 3:
                r = int(math.fmod(r * 5, 1013))
        case 10:
            return r
        case 11:
            return None
        case _:
            r += v
    return r - 100 if r > 100 else r + 100 if r < -100 else r


def test_every_kind_of_branch_and_call(compile_ptx: Compile, rng: np.random.Generator) -> None:
    n = 307
    x = rng.integers(1, 5000, n).astype("i4")
    o = np.full(n, -7777, "i4")
    run(compile_ptx(DIVERGENCE), "paths", 4, 96, x, o, n)
    want = [-7777 if (r := path(v)) is None else r for v in x.tolist()]
    np.testing.assert_array_equal(o, want)


OBJECTS = r"""
struct Flags { unsigned kind : 3; int offset : 11; unsigned mode : 5; signed char tail : 7; };
union Word { float f; unsigned u; unsigned char b[4]; struct { unsigned short low, high; } h; };
template <class T, int N> struct Ring {
  T data[N]; int head = 0;
  __device__ void push(T v) { data[head++ % N] = v; }
  __device__ T operator[](int i) const { return data[(head + i) % N]; }
};
struct Shape { float w; __device__ virtual float area() const { return w * w; } __device__ Shape(float w) : w(w) {} };
struct Circle : Shape { __device__ Circle(float r) : Shape(r) {} __device__ float area() const override { return 3.f * w * w; } };
struct Big { double d[3]; char c[5]; short s; };
__device__ __noinline__ Big turn(Big b, int k) { Big r = b; r.d[k % 3] = b.d[(k + 1) % 3] * 2; r.c[k % 5] = b.s; r.s = b.c[1]; return r; }
template <class F> __device__ int apply(F f, int n) { int s = 0; for (int i = 0; i < n; i++) s += f(i); return s; }
__constant__ int powers[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
__device__ int counter = 5;
extern "C" __global__ void objects(const unsigned* x, int* o, float* f, double* d, Big big) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x; unsigned v = x[i];
  Flags g; g.kind = v; g.offset = v >> 3; g.mode = v >> 14; g.tail = v >> 19;
  o[i] = g.kind * 100000 + g.offset * 50 + g.mode; o[n + i] = g.tail;
  Word w; w.u = v; w.b[v & 3] = 0x40; w.h.high ^= w.h.low; o[2 * n + i] = w.u;
  Ring<int, 5> ring; for (int j = 0; j < 7 + (v & 7); j++) ring.push(j * v);
  o[3 * n + i] = ring[v % 5];
  Shape plain(v % 10); Circle circle(v % 7); const Shape* both[2] = {&plain, &circle};
  f[i] = both[v & 1]->area();
  big.s += i; Big t = turn(turn(big, v), v + 1); d[i] = t.d[0] + t.d[1] + t.d[2]; o[4 * n + i] = t.c[0] + t.c[1] + t.c[2] + t.c[3] + t.c[4] + t.s;
  int scale = v & 15; o[5 * n + i] = apply([=](int j) { return j * scale + powers[j]; }, v % 6);
  o[6 * n + i] = atomicAdd(&counter, 1) >= 5;
}"""


def bits(value: int, low: int, count: int, *, signed: bool = False) -> int:
    found = value >> low & ((1 << count) - 1)
    return found - (1 << count) if signed and found >> (count - 1) else found


def test_objects_of_all_kinds(compile_ptx: Compile, rng: np.random.Generator) -> None:
    n = 128
    x = rng.integers(0, 2**32, n, dtype="u4")
    o, f, d = np.full((7, n), 77, "i4"), np.full(n, np.nan, "f4"), np.full(n, np.nan)
    big = struct.pack("<3d5bxh", 1.5, -2.25, 4.0, 1, -2, 3, -4, 5, 100)
    run(compile_ptx(OBJECTS), "objects", 2, 64, x, o, f, d, big.ljust(32, b"\0"))
    for i, v in enumerate(x.tolist()):
        assert o[0, i] == bits(v, 0, 3) * 100000 + bits(v, 3, 11, signed=True) * 50 + bits(v, 14, 5)
        assert o[1, i] == bits(v, 19, 7, signed=True)
        word = bytearray(v.to_bytes(4, "little"))
        word[v & 3] = 0x40
        u = int.from_bytes(word, "little")
        assert int(o[2, i]) % 2**32 == u ^ (u & 0xFFFF) << 16
        pushed = [j * v for j in range(7 + (v & 7))]
        head, place = len(pushed), (len(pushed) + v % 5) % 5
        assert (
            int(o[3, i]) % 2**32 == [p for j, p in enumerate(pushed) if j % 5 == place][-1] % 2**32
        ), head
        assert f[i] == (3 * (v % 7) ** 2 if v & 1 else (v % 10) ** 2)
        dd, c, s = [1.5, -2.25, 4.0], [1, -2, 3, -4, 5], 100 + i
        for k in (v, (v + 1) % 2**32):
            signed_k = k - 2**32 if k >= 2**31 else k
            if signed_k < 0:
                break
            dd2, c2 = dd.copy(), c.copy()
            dd2[k % 3] = dd[(k + 1) % 3] * 2
            c2[k % 5] = (s + 128) % 256 - 128
            dd, c, s = dd2, c2, c[1]
        else:
            assert d[i] == sum(dd) and o[4, i] == sum(c) + s
        assert o[5, i] == sum(j * (v & 15) + 10**j for j in range(v % 6))
    assert (o[6] == 1).all()


WARPS = r"""
extern "C" __global__ void warps(const int* x, int* o) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x, lane = threadIdx.x & 31, v = x[i];
  o[i] = __shfl_sync(~0u, v, v & 31); o[n + i] = __shfl_up_sync(~0u, v, 3, 8); o[2 * n + i] = __shfl_xor_sync(~0u, v, 5, 16);
  o[3 * n + i] = __shfl_down_sync(~0u, (long long)v << 20, 2, 4) >> 20;
  o[4 * n + i] = __all_sync(~0u, v > -90) * 2 + __any_sync(~0u, v > 90); o[5 * n + i] = __ballot_sync(~0u, v & 1);
  int all; o[6 * n + i] = __match_any_sync(~0u, v % 4); unsigned m = __match_all_sync(~0u, v / 1000, &all); o[7 * n + i] = m ? all : -1;
  o[8 * n + i] = __reduce_add_sync(~0u, v); o[9 * n + i] = __reduce_max_sync(~0u, v); o[10 * n + i] = __reduce_xor_sync(~0u, (unsigned)v);
  int part = 0; unsigned some = __ballot_sync(~0u, v > 0);
  if (v > 0) part = __reduce_min_sync(some, v) * 100 + __popc(some & ((1u << lane) - 1)) + (__ffs(some) - 1 == lane);
  __syncwarp(); o[11 * n + i] = part; o[12 * n + i] = __activemask() == ~0u;
  __shared__ int s[128]; s[threadIdx.x] = v; o[13 * n + i] = __syncthreads_count(v & 1); int k = __syncthreads_and(v > -100), a = __syncthreads_or(v == 7);
  o[14 * n + i] = k * 2 + !!a; o[15 * n + i] = s[127 - threadIdx.x];
}"""


def test_functions_of_warps_and_blocks(compile_ptx: Compile, rng: np.random.Generator) -> None:
    n = 256
    x = rng.integers(-99, 99, n).astype("i4")
    o = np.full((16, n), 7777, "i4")
    run(compile_ptx(WARPS), "warps", 2, 128, x, o)
    lane, warp, i = np.arange(n) % 32, np.arange(n) // 32 * 32, np.arange(n)
    rows = x.reshape(-1, 32)
    spread = lambda values: np.repeat(values, 32)  # noqa: E731
    bit = np.int64(1) << np.arange(32)
    mod = np.fmod(x, 4)
    same = (mod[:, None] == mod[warp[:, None] + np.arange(32)]) @ bit
    positive = x > 0
    before = np.array([positive[w : w + k].sum() for w, k in zip(warp, lane, strict=True)])
    least = spread([r[r > 0].min(initial=10**6) for r in rows])
    blocks = x.reshape(2, 128)
    want = [
        x[warp + (x & 31)], np.where(i % 8 < 3, x, x[i - 3]), x[i ^ 5], np.where(i % 4 < 2, x[np.minimum(i + 2, n - 1)], x),
        spread((rows > -90).all(1) * 2 + (rows > 90).any(1)), spread((rows & 1) @ bit), same, np.ones(n),
        spread(rows.sum(1)), spread(rows.max(1)), spread(np.bitwise_xor.reduce(rows, axis=1)),
        np.where(positive, least * 100 + before + (before == 0), 0), np.ones(n),
        (blocks & 1).sum(1).repeat(128), ((blocks > -100).all(1) * 2 + (blocks == 7).any(1)).repeat(128), blocks[:, ::-1].ravel(),
    ]  # fmt: skip
    for row, values in enumerate(want):
        np.testing.assert_array_equal(
            o[row], np.asarray(values).astype("i8").astype("i4"), err_msg=str(row)
        )


DIVISION = r"""
typedef long long ll; typedef unsigned long long ull; typedef unsigned char uc;
extern "C" __global__ void divide(const ll* a, const ll* b, ll* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return;
  ll x = a[i], y = b[i];
  ll r[] = {x / y, x % y, (ll)((ull)x / (ull)y), (ll)((ull)x % (ull)y), (int)x / (int)(y | 1), (int)x % (int)(y | 1),
    (unsigned)x / (unsigned)(y | 1), (unsigned)x % (unsigned)(y | 1), (short)x / (short)(y | 1), (uc)x % (uc)(y | 1), x / 7, x % 1000003,
    (ll)((ull)x / 10), (int)x / -3, (unsigned)x % 641u, (ll)((ull)x >> (y & 63)), x >> (y & 63), x << (y & 63)};
  for (int j = 0; j < 18; j++) o[j * n + i] = r[j];
}"""


def test_divisions_of_all_widths(compile_ptx: Compile, rng: np.random.Generator) -> None:
    n = 301
    a = rng.integers(-(2**63), 2**63, n) >> rng.integers(0, 62, n)
    b = rng.integers(-(2**63), 2**63, n) >> rng.integers(0, 62, n)
    b[b == 0] = 3
    a[:3], b[:3] = -(2**63), (1, 2**62, -3)
    o = np.full((18, n), 77)
    run(compile_ptx(DIVISION), "divide", 4, 96, a, b, o, n)

    def quotient(x: int, y: int) -> int:
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

    def rest(x: int, y: int) -> int:
        return x - quotient(x, y) * y

    for i, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        u, v, z, by = x % 2**64, y % 2**64, y | 1, y & 63
        xi, zi, xs, zs = (
            bits(x, 0, 32, signed=True),
            bits(z, 0, 32, signed=True),
            bits(x, 0, 16, signed=True),
            bits(z, 0, 16, signed=True),
        )
        xu, zu = x % 2**32, z % 2**32
        want = [
            quotient(x, y), rest(x, y), u // v, u % v, quotient(xi, zi), rest(xi, zi), xu // zu, xu % zu, quotient(xs, zs),
            (x % 256) % (z % 256), quotient(x, 7), rest(x, 1000003), u // 10, quotient(xi, -3), xu % 641, u >> by, x >> by, u << by,
        ]  # fmt: skip
        for row, value in enumerate(want):
            assert int(o[row, i]) == bits(value, 0, 64, signed=True), (row, x, y)


HARD = r"""
extern "C" __global__ void hard(const {T}* x, const {T}* y, {T}* o, int n) {{
  int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return;
  {T} a = x[i], b = y[i];
  {T} r[] = {{ {calls} }};
  for (int j = 0; j < sizeof(r) / sizeof(r[0]); j++) o[j * n + i] = r[j];
}}"""


def _pi_digits(count: int) -> int:
    """π · 10^count by Machin's formula."""
    unit = 10 ** (count + 10)

    def arctan(inverse: int) -> int:
        total = term = unit // inverse
        square, k, sign = inverse * inverse, 3, -1
        while term:
            term //= square
            total += sign * (term // k)
            k, sign = k + 2, -sign
        return total

    return 4 * (4 * arctan(5) - arctan(239)) // 10**10


PI = Fraction(_pi_digits(400), 10**400)


def exact_sin(x: float, quarters: int = 0) -> float:
    """The sine of x + quarters · π/2, of any size: what is left after whole quarters of a turn has
    all its digits.
    """
    quarter = round(Fraction(x) / (PI / 2))
    left = float(Fraction(x) - quarter * PI / 2)
    return [math.sin, math.cos, lambda v: -math.sin(v), lambda v: -math.cos(v)][
        (quarter + quarters) % 4
    ](left)


@pytest.mark.parametrize("kind", ["float", "double"])
def test_angles_of_any_size(compile_ptx: Compile, rng: np.random.Generator, kind: str) -> None:
    n = 101
    dtype, suffix, top = ("f4", "f", 120) if kind == "float" else ("f8", "", 1000)
    x = np.ldexp(rng.uniform(0.5, 1, n), rng.integers(-5, top, n)).astype(dtype) * rng.choice(
        [-1, 1], n
    ).astype(dtype)
    o = np.full((3, n), np.nan, dtype)
    calls = f"sin{suffix}(a), cos{suffix}(a), tan{suffix}(a)"
    run(compile_ptx(HARD.format(T=kind, calls=calls)), "hard", 2, 64, x, x, o, n)
    sine = np.array([exact_sin(float(v)) for v in x])
    cosine = np.array([exact_sin(float(v), 1) for v in x])
    for got, want in ((o[0], sine), (o[1], cosine), (o[2], sine / cosine)):
        error = np.abs(got - want) / np.spacing(np.abs(want).astype(dtype))
        assert error.max() <= 5  # documented: 2, 2 and 4


def test_functions_of_two_arguments_and_their_special_cases(
    compile_ptx: Compile, rng: np.random.Generator
) -> None:
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, math.inf, -math.inf, math.nan, 5e-324, 1e308]
    grid = np.array(np.meshgrid(special, special)).reshape(2, -1)
    plain = rng.uniform(-9, 9, (2, 100)) * 10.0 ** rng.integers(-5, 5, (2, 100))
    x, y = np.ascontiguousarray(np.concatenate([grid, plain], axis=1))
    n = x.shape[0]
    names = [
        "pow",
        "atan2",
        "fmod",
        "hypot",
        "remainder",
        "fmin",
        "fmax",
        "fdim",
        "copysign",
        "nextafter",
    ]
    o = np.full((len(names), n), 77.0)
    calls = ", ".join(f"{name}(a, b)" for name in names)
    report = vm.run(
        compile_ptx(HARD.format(T="double", calls=calls)), "hard", -(-n // 64), 64, [x, y, o, n]
    )
    assert report.races == []
    with np.errstate(all="ignore"):
        want = [
            np.power(x, y), np.arctan2(x, y), np.fmod(x, y), np.hypot(x, y), [ieee_remainder(*p) for p in zip(x, y, strict=True)],
            np.fmin(x, y), np.fmax(x, y), np.where(np.isnan(x + y) & (np.isnan(x) | np.isnan(y)), np.nan, np.where(x > y, x - y, 0)),
            np.copysign(x, y), np.nextafter(x, y),
        ]  # fmt: skip
        for name, got, value in zip(names, o, want, strict=True):
            value = np.asarray(value)
            units = {"pow": 3, "atan2": 3, "hypot": 3}.get(name, 0)
            finite = np.isfinite(value)
            np.testing.assert_array_equal(got[~finite], value[~finite], err_msg=name)
            error = np.abs(got - value)[finite]
            bound = units * np.spacing(np.abs(value[finite])) if units else 0
            assert (error <= bound).all(), (
                name,
                x[finite][error > bound],
                y[finite][error > bound],
            )


def ieee_remainder(x: float, y: float) -> float:
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0:
        return math.nan
    return math.remainder(x, y)


def test_double_precision_over_the_whole_range(
    compile_ptx: Compile, rng: np.random.Generator
) -> None:
    n = 203
    x = np.ldexp(rng.uniform(0.5, 1, n), rng.integers(-1060, 1020, n))
    y = rng.uniform(-740, 709, n)
    y[:4] = (-744.4, -708.5, 709.7, 1e-9)
    calls = {
        "log(a)": [math.log(v) for v in x], "log2(a)": [math.log2(v) for v in x], "sqrt(a)": np.sqrt(x), "cbrt(a)": np.cbrt(x),
        "1.0 / a": 1 / np.maximum(x, 1e-307), "exp(b)": [math.exp(v) for v in y], "expm1(b)": [math.expm1(v) for v in y],
        "exp2(b)": [2.0**v for v in y], "sinh(b / 2)": [math.sinh(v / 2) for v in y], "log1p(a)": [math.log1p(v) for v in x],
        "erfc(b / 40)": [math.erfc(v / 40) for v in y], "rsqrt(a)": [1 / math.sqrt(v) for v in x], "b * b + a": y * y + x,
        "fma(b, b, -a)": [float(Fraction(w) ** 2 - Fraction(v)) for v, w in zip(x.tolist(), y.tolist(), strict=True)],
        "__drcp_ru(b)": [float(1 / Fraction(v)) for v in y], "__dsqrt_rz(a)": np.sqrt(x), "ldexp(b, 3)": 8 * y, "frexp_part(a)": np.frexp(x)[0],
    }  # fmt: skip
    source = (
        "__device__ double frexp_part(double v) { int e; return frexp(v, &e); }\n"
        + HARD.format(T="double", calls=", ".join(calls))
    )
    o = np.full((len(calls), n), np.nan)
    run(compile_ptx(source.replace("1.0 / a", "1.0 / fmax(a, 1e-307)")), "hard", 4, 64, x, y, o, n)
    for (name, want), got in zip(calls.items(), o, strict=True):
        value = np.asarray(want, "f8")
        error = np.abs(got - value) / np.spacing(np.abs(value))
        # fma(b, b, a) is what b * b + a becomes; the library's bounds are 1 or 2, erfc 5.
        assert error.max() <= (5 if "erfc" in name else 3), (name, error.max())


def test_faults_of_the_program(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
#define assert(e) ((e) ? (void)0 : __assertfail(#e, "k.cu", 7, "check", 1))
extern "C" __device__ void __assertfail(const char*, const char*, unsigned, const char*, size_t);
extern "C" __global__ void check(const int* x, int* o) { assert(x[threadIdx.x] != 13); o[threadIdx.x] = clock64() > 0; }
extern "C" __global__ void stop(const int* x) { if (x[threadIdx.x] == 13) __trap(); }
extern "C" __device__ __noinline__ int deep(int n, int* o) { return n < 2 ? n : deep(n - 1, o) + deep(n - 2, o + 1); }
extern "C" __global__ void recurse(int* o, int n) { o[threadIdx.x] = deep(n + threadIdx.x % 3, o); }""")
    x, o = np.arange(12, dtype="i4"), np.zeros(12, "i4")
    run(ptx, "check", 1, 12, x, o)
    assert (o == 1).all()
    x[5] = 13
    with pytest.raises(vm.Fault, match=r"x\[threadIdx.x\] != 13"):
        vm.run(ptx, "check", 1, 12, [x, o])
    with pytest.raises(vm.Fault, match="trap"):
        vm.run(ptx, "stop", 1, 12, [x])
    with pytest.raises(vm.Fault, match="recurs"):
        vm.run(ptx, "recurse", 1, 12, [o, 7])
