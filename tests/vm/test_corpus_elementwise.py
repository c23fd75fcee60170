"""Programs of the Triton corpus without products, on fresh inputs, against NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

Launch = Callable[..., vm.Report]
Array = np.ndarray[Any, Any]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def clean(report: vm.Report) -> None:
    assert report.races == [] and report.warnings == []


def poisoned(shape: Any, dtype: Any, fill: float = np.nan) -> Array:
    return np.full(shape, fill, dtype)


@pytest.mark.parametrize(
    ("name", "dtype", "n", "block"),
    [
        ("add", "f4", 1003, 256),
        ("add_vectors", "f4", 5008, 1024),
        ("add_f16_scalar", "f2", 777, 512),
        ("add_overlapped", "f4", 999, 256),
    ],
)
def test_sums_leave_what_is_outside_alone(
    run_corpus: Launch, rng: np.random.Generator, name: str, dtype: str, n: int, block: int
) -> None:
    x, y = rng.standard_normal((2, n)).astype(dtype)
    z = poisoned(n + 5, dtype)
    clean(run_corpus(name, -(-n // block), x, y, z, n))
    np.testing.assert_array_equal(z[:n], x + y)
    assert np.isnan(z[n:]).all()


def test_bytes_wrap_around(run_corpus: Launch, rng: np.random.Generator) -> None:
    n = 4112
    x, y = rng.integers(-128, 128, (2, n)).astype("i1")
    z = poisoned(n, "i1", 77)
    clean(run_corpus("add_i8", 3, x, y, z, n))
    np.testing.assert_array_equal(z, x + y)


def test_a_fault_names_the_line_of_the_triton_source(run_corpus: Launch) -> None:
    x, y, z = np.zeros((3, 300), "f4")
    with pytest.raises(vm.Fault, match=r"elementwise\.py:\d+") as fault:
        run_corpus("add", 2, x, y[:256], z, 300)
    assert "ld.global" in str(fault.value)


UNARY: list[tuple[str, Callable[[float], float], float]] = [
    # error in units of 2^-24 of the result, from the library's documentation; `.approx` functions
    # have 2 to 4, and exp and log carry the rounding of their arguments times 4 at most.
    ("sigmoid", lambda x: 1 / (1 + math.exp(-x)), 24),
    ("tanh", math.tanh, 8),
    ("erf", math.erf, 8),
    ("exp", math.exp, 20),
    ("log", lambda x: math.log(abs(x)), 0),
    ("sin", math.sin, 4),
    ("cos", math.cos, 4),
    ("rsqrt", lambda x: abs(x) ** -0.5, 6),
    ("sqrt_rn", lambda x: abs(x) ** 0.5, 1),
    ("div_rn", lambda x: 1 / x, 1),
    ("div", lambda x: 3 / x, 4),
    ("exp2", lambda x: 2**x, 4),
    ("log2", lambda x: math.log2(abs(x)), 0),
    ("floor", math.floor, 0.5),
    ("ceil", math.ceil, 0.5),
    ("fma", lambda x: float(np.float32(x * x - 1)), 0.5),
    ("pow", lambda x: abs(x) ** x, 16),
    ("log1p", lambda x: math.log1p(abs(x)), 4),
    ("expm1", math.expm1, 4),
    ("lgamma", lambda x: math.lgamma(abs(x)), 0),
    ("atan2", lambda x: math.atan2(x, 0.5), 6),
    ("fmod", lambda x: math.fmod(x, 0.75), 0.5),
    ("clamp", lambda x: min(max(x, -0.5), 0.5), 0.5),
    ("nearbyint", lambda x: float(np.rint(np.float32(x * 2.5))), 0.5),
]


def test_functions_are_within_the_documented_error(
    run_corpus: Launch, rng: np.random.Generator
) -> None:
    n = 301
    x = (rng.uniform(0.01, 4, n) * rng.choice([-1, 1], n)).astype("f4")
    z = poisoned((len(UNARY), n), "f4")
    report = run_corpus("functions", 3, x, z, n)
    assert report.races == []
    for row, (name, function, units) in zip(z, UNARY, strict=True):
        want = np.array([function(float(v)) for v in x])
        # Logarithms promise an absolute error near 1.
        bound = units * 2.0**-24 * np.abs(want) if units else 2.0**-20 * np.maximum(abs(want), 1)
        error = np.abs(row - want)
        assert (error <= bound).all(), (name, x[np.argmax(error - bound)], (error / bound).max())


def test_functions_of_doubles(run_corpus: Launch, rng: np.random.Generator) -> None:
    n = 203
    x = rng.uniform(0.01, 20, n) * rng.choice([-1, 1], n)
    z = poisoned((8, n), "f8")
    assert run_corpus("functions64", 2, x, z, n).races == []
    functions = [
        math.exp, lambda v: math.log(abs(v)), math.sin, math.erf, lambda v: 1 / v,
        lambda v: math.sqrt(abs(v)), math.tanh, lambda v: abs(v) ** v,
    ]  # fmt: skip
    for row, function in zip(z, functions, strict=True):
        want = np.array([function(v) for v in x])
        # The documented bounds are 2 units in the last place, 1 for exp, log, 4 for Python's own.
        np.testing.assert_array_less(np.abs(row - want), 4 * np.spacing(np.abs(want)) + 5e-324)


def test_integers_of_all_widths(run_corpus: Launch, rng: np.random.Generator) -> None:
    n = 503
    a = rng.integers(-(2**31) + 1, 2**31, n).astype("i4")
    b = rng.integers(1, 1 << rng.integers(1, 31, n)).astype("i4") * rng.choice([-1, 1], n)
    b = b.astype("i4")
    z = poisoned((22, n), "i8", 77)
    clean(run_corpus("integers", 2, a, b, z, n))
    for i, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        u, v, by = x % 2**32, y % 2**32, y & 31
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        wide = abs(x * x) // abs(y) * (1 if y > 0 else -1)
        want = [
            quotient, x - quotient * y, signed(u * v >> 32), u // v, u % v, x >> by, u >> by,
            signed(u << by), signed(x * y * 0x9E3779B97F4A7C1, 64), wide, u.bit_count(),
            32 - u.bit_length(), signed(int(f"{u:032b}"[::-1], 2)), min(x, y), max(u, v),
            (x ^ y) | (~x & y), abs(x), signed(x, 8), u & 0xFFFF, int(np.float32(x)),
            x if u > v else -1, u,
        ]  # fmt: skip
        # The high half and what is unsigned come back as the unsigned 32 bits that they are.
        want[2] %= 2**32
        np.testing.assert_array_equal(z[:, i], want, err_msg=f"{x}, {y}")


def signed(value: int, bits: int = 32) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


def philox(seed: int, offset: Array) -> list[Array]:
    """Philox 4x32-10 (Salmon et al., 2011), as 32-bit words in 64 bits."""
    low, c = np.uint64(0xFFFFFFFF), [offset.astype("u8"), *np.zeros((3, len(offset)), "u8")]
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [q >> np.uint64(32) ^ c[1] ^ np.uint64(key[0]), q & low,
             p >> np.uint64(32) ^ c[3] ^ np.uint64(key[1]), p & low]  # fmt: skip
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(words: Array) -> Array:
    x = words.astype("u4").view("i4").astype("f8")
    return np.where(x < 0, -x - 1, x).astype("f4") * np.float32(4.6566127342e-10)


def test_dropout_keeps_what_philox_says(run_corpus: Launch, rng: np.random.Generator) -> None:
    n, seed, keep = 1501, int(rng.integers(0, 2**31)), np.float32(0.7)
    x = rng.standard_normal(n).astype("f4")
    z = poisoned(n, "f4")
    clean(run_corpus("dropout", 3, x, z, n, float(keep), seed))
    kept = uniform(philox(seed, np.arange(n))[0]) < keep
    assert 0.6 < kept.mean() < 0.8
    np.testing.assert_allclose(z, np.where(kept, x / keep, 0), rtol=2**-22, atol=0)


def test_normals_follow_from_two_uniforms(run_corpus: Launch, rng: np.random.Generator) -> None:
    n, seed = 901, int(rng.integers(0, 2**31))
    z = poisoned(n, "f4")
    clean(run_corpus("normals", 4, z, n, seed))
    u, v = (uniform(w).astype("f8") for w in philox(seed, np.arange(n))[:2])
    want = np.sqrt(-2 * np.log(np.maximum(u, 1e-7))) * np.cos(2 * np.pi * v)
    # The angle, up to 2π, is rounded to f32 twice; the logarithm is good to 2^-20 near 1.
    np.testing.assert_allclose(z, want, rtol=2**-19, atol=5 * 2 * np.pi * 2**-23)


@pytest.mark.parametrize("arch", ["sm80", "sm89", "sm90"])
def test_narrow_types_round_as_they_should(
    run_corpus: Launch, rng: np.random.Generator, arch: str
) -> None:
    n = 1201
    x = (rng.standard_normal(n) * 2.0 ** rng.integers(-12, 7, n)).astype("f4")
    e4, e5 = poisoned((2, n), "u1", 0x7F)
    h, b, w = poisoned(n, "f2"), poisoned(n, "u2", 0x7FC0), poisoned((5, n), "f4")
    report = run_corpus(f"narrow_{arch}", 3, x, e4, e5, h, b, w, n)
    assert report.races == []
    # For sm_80 Triton converts four values where it has one: the others are undefined and unused.
    assert {w.kind for w in report.warnings} <= ({"uninitialised"} if arch == "sm80" else set())
    np.testing.assert_array_equal(h, x.astype("f2"))
    np.testing.assert_array_equal(b.view(ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16))
    toward_zero = x.astype("f2")
    over = np.abs(toward_zero.astype("f4")) > np.abs(x)
    toward_zero = np.where(over, np.nextafter(toward_zero, np.float16(0)), toward_zero)
    np.testing.assert_array_equal(w[2], toward_zero.astype("f4"))
    np.testing.assert_array_equal(w[1], e5.view(ml_dtypes.float8_e5m2).astype("f4"))
    np.testing.assert_array_equal(w[3], w[1])
    np.testing.assert_array_equal(w[4], w[0])
    cut = toward_zero.view("u2")
    if arch == "sm80":  # Triton's own e4b15: f16 of two exponent bits fewer, rounded half up
        small = np.minimum(cut & 0x7FFF, 0x3F00)
        np.testing.assert_array_equal(e4, (cut & 0x8000 | small * 2 + 0x80) >> 8)
        wide = (e4.astype("u2") & 0x80) << 8 | (e4.astype("u2") & 0x7F) << 7
        np.testing.assert_array_equal(w[0], wide.view("f2").astype("f4"))
    else:
        fp8: Any = ml_dtypes.float8_e4m3fn
        exact = toward_zero if arch == "sm89" else x  # Triton cuts to f16 first there
        np.testing.assert_array_equal(e4.view(fp8), np.clip(exact, -448, 448).astype(fp8))
        np.testing.assert_array_equal(w[0], e4.view(fp8).astype("f4"))
    if arch == "sm90":
        np.testing.assert_array_equal(
            e5.view(ml_dtypes.float8_e5m2), x.astype(ml_dtypes.float8_e5m2)
        )
    else:  # in software, half up
        np.testing.assert_array_equal(e5, ((cut & 0xFFFE) + 0x80) >> 8)


@pytest.mark.parametrize("name", ["f16", "bf16_sm80", "bf16_sm90"])
def test_arithmetic_within_a_narrow_type(
    run_corpus: Launch, rng: np.random.Generator, name: str
) -> None:
    n = 905
    dtype: Any = np.float16 if name == "f16" else ml_dtypes.bfloat16
    a, b = rng.standard_normal((2, n)).astype(dtype)
    b[::7] = np.nan
    z = poisoned((7, n), dtype, 7)
    clean(run_corpus(f"halves_{name}", 2, a, b, z, n))
    x, y = a.astype("f8"), b.astype("f8")
    fused = (x * y + x).astype("f4").astype(dtype)
    apart = ((x * y).astype(dtype).astype("f8") + x).astype(dtype)
    assert ((z[0] == fused) | (z[0] == apart) | np.isnan(y)).all()
    want = [
        np.maximum(x, y),
        np.fmin(x, y),
        np.where(x < y, x - y, -x),
        x / y,
        np.abs(y),
        np.clip(x, -1, 1),
    ]
    for row, value in zip(z[1:], want, strict=True):
        np.testing.assert_array_equal(
            row.astype("f4"), value.astype("f4").astype(dtype).astype("f4")
        )


def test_histogram_counts(run_corpus: Launch, rng: np.random.Generator) -> None:
    n = 1307
    x = rng.integers(0, 64, n).astype("i4")
    counts = rng.integers(0, 9, 64).astype("i4")
    want = counts + np.bincount(x, minlength=64)
    clean(run_corpus("histogram", 3, x, counts, n))
    np.testing.assert_array_equal(counts, want)


@pytest.mark.parametrize("arch", ["sm80", "sm90"])
def test_atomics_of_all_kinds(run_corpus: Launch, rng: np.random.Generator, arch: str) -> None:
    n, places = 707, 23
    x = (rng.integers(-64, 65, n) / 8).astype("f4")  # their sums are exact, in f16 too
    at = rng.integers(0, places, n).astype("i4")
    sums, halves = np.zeros(places, "f4"), np.zeros(places, "f2")
    most, least = np.full(places, -np.inf, "f4"), np.full(places, 10**6, "i4")
    bits = np.zeros(places, "i4")
    report = run_corpus(f"scatter_atomics_{arch}", 3, x, at, sums, halves, most, least, bits, n)
    for place in range(places):
        mine = x[at == place]
        assert sums[place] == halves[place] == mine.sum()
        assert most[place] == mine.max(initial=-np.inf)
        assert least[place] == min((mine * 64).tolist(), default=10**6)
        index = np.flatnonzero(at == place)
        assert bits[place] == np.bitwise_or.reduce(1 << (index % 31), initial=0)
    assert report.warnings == []


@pytest.mark.parametrize("seed", range(2))
def test_a_spin_lock_serializes_blocks(
    run_corpus: Launch, rng: np.random.Generator, seed: int
) -> None:
    n = 1111
    x = rng.integers(-50, 50, n).astype("f4")
    total, lock = np.zeros(1, "f4"), np.zeros(1, "i4")
    run_corpus("locked_sum", 9, x, total, lock, n, seed=seed)
    assert total[0] == x.sum() and lock[0] == 0


def test_gather_and_permute_columns(run_corpus: Launch, rng: np.random.Generator) -> None:
    columns = 53
    x = rng.standard_normal((40, columns)).astype("f4")
    where = rng.integers(0, 40, 48).astype("i4")
    z = poisoned((48, columns), "f4")
    clean(run_corpus("gather", 3, x, where, z, columns))
    np.testing.assert_array_equal(z, x[where][:, ::-1])


def test_transpose(run_corpus: Launch, rng: np.random.Generator) -> None:
    m, n = 101, 75
    x = rng.standard_normal((m, n)).astype("f2")
    z = poisoned((n, m), "f2")
    clean(run_corpus("transpose", (2, 3), x, z, m, n))
    np.testing.assert_array_equal(z, x.T)


def test_shuffles_within_a_block(run_corpus: Launch, rng: np.random.Generator) -> None:
    x = rng.integers(-999, 999, 256).astype("i4")
    z = poisoned((4, 256), "i4", 7777)
    clean(run_corpus("shuffles", 1, x, z))
    np.testing.assert_array_equal(z[0], x.reshape(-1, 2)[:, ::-1].ravel())
    np.testing.assert_array_equal(z[1], x[::-1])
    np.testing.assert_array_equal(z[2], x.reshape(16, 4, 4).transpose(1, 2, 0).ravel())
    np.testing.assert_array_equal(z[3], x.reshape(-1, 2).T.ravel())


def test_inline_assembly_over_packed_bytes(run_corpus: Launch, rng: np.random.Generator) -> None:
    n = 1030
    x = rng.integers(-128, 128, n).astype("i1")
    z = poisoned(n, "i1", 77)
    clean(run_corpus("assembly", 3, x, z, n))
    word = np.concatenate([x, np.zeros(-n % 4, "i1")]).view("u4")
    doubled = word << np.uint32(1) & np.uint32(0xFEFEFEFE)
    # lop3 0x6A of (a, b, 3): c xor (a and b)
    want = (np.uint32(3) ^ (doubled & word)).view("i1")[:n]
    np.testing.assert_array_equal(z, want)


def test_prints_and_asserts(run_corpus: Launch) -> None:
    x = np.arange(32, dtype="i4")
    report = run_corpus("talkative", 1, x, 32)
    assert sorted(report.output) == sorted(f"pid (0, 0, 0) idx ({i:2}) seen: {i}\n" for i in x)
    x[5] = -1
    with pytest.raises(vm.Fault, match="negative"):
        run_corpus("talkative", 1, x, 32)
