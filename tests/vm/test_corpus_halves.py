"""CUDA's headers for narrow types (`cuda_fp16.h`, `cuda_bf16.h`, `cuda_fp8.h` and its like) as NVRTC
compiles them, against exact arithmetic rounded once.
"""

# ruff: noqa: E501  (rows of programs stay one line each)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

Text = Callable[[str], str]
Array = np.ndarray[Any, Any]
BF16 = ml_dtypes.bfloat16


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def run(ptx: str, entry: str, n: int, *args: Any) -> vm.Report:
    report = vm.run(ptx, entry, -(-n // 96), 96, [*args, n])
    assert report.races == [] and report.warnings == []
    return report


def same(got: Array, want: Array) -> None:
    """Bit by bit, but for the payload of NaNs; the sign of zero counts."""
    x, y = got.astype("f4"), want.astype("f4")
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(np.signbit(x) & ~np.isnan(x), np.signbit(y) & ~np.isnan(y))


def spaced(values: Array, dtype: Any) -> Array:
    """The distance of neighbours in a narrow type around some values."""
    digits, least = (11, -14) if dtype == np.float16 else (8, -126)
    exponents = np.maximum(np.frexp(np.abs(values))[1] - 1, least)
    return np.ldexp(1.0, exponents - digits + 1)


@pytest.mark.parametrize("arch", ["sm80", "sm90"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_arithmetic_in_pairs(
    corpus_ptx: Text, rng: np.random.Generator, arch: str, kind: str
) -> None:
    n = 301
    dtype: Any = np.float16 if kind == "f16" else BF16
    x, y, z = (rng.standard_normal((3, n, 2)) * 2.0 ** rng.integers(-6, 6, (3, n, 2))).astype(dtype)
    for values in (x, y, z):
        values.reshape(-1)[rng.integers(0, 2 * n, 40)] = rng.choice(
            [np.nan, np.inf, -np.inf, 0.0, -0.0], 40
        )
    x[::5] = y[::5]
    o = np.full((24, n, 2), 77, dtype)
    run(corpus_ptx(f"halves_{arch}"), f"pairs_{kind}", n, x, y, z, o)
    with np.errstate(all="ignore"):
        a, b, c = (v.astype("f8") for v in (x, y, z))
        fused = a * b + c
        unit = lambda v: np.where(np.isnan(v), 0, np.clip(v, 0, 1)) + 0.0  # noqa: E731
        want = [
            a + b, a - b, a * b, fused, unit(a + b), unit(a * b), unit(fused),
            np.where(np.isnan(fused), fused, np.where(fused > 0, fused, 0)), np.fmin(a, b), np.maximum(a, b), np.abs(a), -a,
            a / b, a + b, a < b, a >= b, (a != b) | np.isnan(a) | np.isnan(b), np.isnan(c),
            np.floor(a), np.ceil(a), np.trunc(a), np.rint(a), a[:, ::-1], np.stack([a[:, 0], b[:, 0]], 1),
        ]  # fmt: skip
        for row, (got, exact) in enumerate(zip(o, want, strict=True)):
            if row == 12:  # the quotient is documented to be rounded but not correctly
                rounded = exact.astype("f4").astype(dtype).astype("f8")
                close = np.abs(got.astype("f8") - exact) <= 1.01 * spaced(exact, dtype)
                assert (close | (got.astype("f8") == rounded) | np.isnan(exact)).all()
            elif row in (8, 9):  # -0 < +0 for both
                np.testing.assert_array_equal(got.astype("f4"), exact.astype("f4"))
            else:
                same(got, narrow(exact, dtype))


def narrow(exact: Array, dtype: Any) -> Array:
    """Rounds float64 once (ml_dtypes goes through f32, where a tie may appear)."""
    exact = np.asarray(exact, "f8")
    if dtype == np.float16:
        return exact.astype(dtype)
    single = exact.astype("f4")
    bits = single.view("u4")
    inexact = (single != exact) & np.isfinite(single) & (bits & 0xFFFF == 0x8000)
    away = np.abs(exact) > np.abs(single)
    bits = np.where(inexact, np.where(away, bits + 1, bits - 1), bits).astype("u4")
    return bits.view("f4").astype(dtype)


@pytest.mark.parametrize("arch", ["sm80", "sm90"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_functions_of_halves(
    corpus_ptx: Text, rng: np.random.Generator, arch: str, kind: str
) -> None:
    n = 205
    dtype: Any = np.float16 if kind == "f16" else BF16
    x = (rng.uniform(0.02, 4, n) * rng.choice([-1, 1], n)).astype(dtype)
    o = np.full((13, n), 77, dtype)
    run(corpus_ptx(f"halves_{arch}"), f"functions_{kind}", n, x, o)
    v = x.astype("f8")
    a = np.abs(v)
    want = [
        np.exp(v), np.exp2(v), 10**v, np.log(a), np.log2(a), np.log10(a), np.sqrt(a), a**-0.5, 1 / v,
        np.sin(v), np.cos(v), np.tanh(v), np.tanh(v),
    ]  # fmt: skip
    for row, (got, exact) in enumerate(zip(o, want, strict=True)):
        # The header takes results of `.approx` that it knows to be off by one unit back by one unit;
        # the virtual machine's were right before, so that half a unit becomes one and a half.
        units = 2 if row == 12 else 1.5 + 2**-8
        error = np.abs(got.astype("f8") - exact) / spaced(exact, dtype)
        assert error.max() <= units, (row, v[error.argmax()], error.max())


def directed(exact: Array, dtype: Any, mode: str) -> Array:
    """float64 rounded in a direction."""
    near = narrow(exact, dtype)
    wide = near.astype("f8")
    down = mode == "rd" or (mode == "rz")
    toward = (
        np.where(exact < 0, np.inf, -np.inf)
        if mode == "rz"
        else np.full_like(exact, -np.inf if down else np.inf)
    )
    wrong = (wide > exact) & (toward < 0) | (wide < exact) & (toward > 0)
    return np.where(wrong, np.nextafter(near, toward.astype(dtype)), near)


def clip(x: Array, bits: int, signed: bool) -> Array:
    return np.clip(x, -(2.0 ** (bits - 1)) if signed else 0, 2.0 ** (bits - signed) - 1)


@pytest.mark.parametrize("arch", ["sm80", "sm90"])
def test_conversions_of_halves(corpus_ptx: Text, rng: np.random.Generator, arch: str) -> None:
    n = 403
    x = (rng.standard_normal(n) * 2.0 ** rng.integers(-18, 14, n)).astype("f4")
    d = rng.standard_normal(n) * 2.0 ** rng.integers(-18, 14, n)
    k = (rng.integers(-(2**31), 2**31, n) >> rng.integers(0, 31, n)).astype("i4")
    k[np.abs(k.astype("i8")) * 3 > 65000] //= 2**16
    o, w = np.full((18, n), 77, "u2"), np.full((15, n), 77, "i8")
    run(corpus_ptx(f"halves_{arch}"), "conversions", n, x, d, k, o, w)
    f, i = x.astype("f8"), k.astype("f8")
    u = (k.astype("i8") % 2**32).astype("f8")
    h: Any = np.float16
    with np.errstate(all="ignore"):
        want = [
            *(directed(f, h, mode) if mode else narrow(f, h) for mode in ("", "rz", "ru", "rd")), narrow(d, h),
            narrow(i, h), directed(i, h, "rz"), np.where(u < 65536, directed(np.minimum(u, 65504), h, "rd"), h(65504)),
            directed(3 * i, h, "ru"), narrow(k.astype("i2").astype("f8"), h), narrow(k.astype("u2").astype("f8"), h),
        ]  # fmt: skip
        for row, value in enumerate(want):
            same(o[row].view(h), np.asarray(value, h))
        want = [
            *(directed(f, BF16, mode) if mode else narrow(f, BF16) for mode in ("", "rz", "ru", "rd")),
            narrow(d, BF16), narrow(i, BF16), directed(i, BF16, "rz"),
        ]  # fmt: skip
        for row, value in enumerate(want):
            same(o[11 + row].view(BF16), value)
    v, b = o[0].view(h).astype("f8"), o[11].view(BF16).astype("f8")
    whole = [
        np.rint(v), np.trunc(v), np.ceil(v), np.floor(v), clip(np.trunc(v), 16, True), clip(np.rint(v), 16, False),
        clip(np.floor(v), 32, False), np.ceil(v), clip(np.rint(v), 53, False), clip(np.trunc(v), 8, True),
        clip(np.trunc(v), 8, False), np.rint(b), np.trunc(b), clip(np.floor(b), 16, True), clip(np.ceil(b), 53, False),
    ]  # fmt: skip
    for row, value in enumerate(whole):
        np.testing.assert_array_equal(w[row], value.astype("i8"), err_msg=str(row))


@pytest.mark.parametrize("arch", ["sm80", "sm90"])
def test_shuffles_and_atomics_of_pairs(
    corpus_ptx: Text, rng: np.random.Generator, arch: str
) -> None:
    n = 501
    x = rng.integers(-3, 4, (n, 2)).astype("f2")
    o, p = np.zeros(2, "f2"), np.zeros(2, BF16)
    report = vm.run(corpus_ptx(f"halves_{arch}"), "shared_sums", 1, 128, [x, o, p, n])
    assert report.warnings == []
    for (
        race
    ) in report.races:  # bf16x2 before sm_90: a plain load, then compare and swap until it holds
        assert arch == "sm80"
        assert race.earlier.place.text.split(".")[0] in ("ld", "atom")
    np.testing.assert_array_equal(o, x.astype("f4").sum(axis=0))
    np.testing.assert_array_equal(p.astype("f4"), [128, 64])


@pytest.mark.parametrize("arch", ["sm80", "sm89", "sm90"])
def test_eight_six_and_four_bits(corpus_ptx: Text, rng: np.random.Generator, arch: str) -> None:
    n = 601
    x = (rng.standard_normal(n) * 2.0 ** rng.integers(-12, 18, n)).astype("f4")
    x[:40] = (rng.integers(0, 127, 40) + 0.5) / 8  # ties
    e4, e5, open4, e8, six, four = np.full((6, n), 77, "u1")
    w = np.full((5, n), np.nan, "f4")
    run(corpus_ptx(f"fp8_{arch}"), "narrow", n, x, e4, e5, open4, e8, six, four, w)
    kinds: list[tuple[Array, Any, float]] = [
        (e4, ml_dtypes.float8_e4m3fn, 448), (e5, ml_dtypes.float8_e5m2, 57344),
        (six, ml_dtypes.float6_e3m2fn, 28), (four, ml_dtypes.float4_e2m1fn, 6),
    ]  # fmt: skip
    for row, (codes, dtype, most) in enumerate(kinds):
        want = np.clip(x, -most, most).astype(dtype)
        np.testing.assert_array_equal(codes, want.view("u1"), err_msg=str(dtype))
        np.testing.assert_array_equal(w[row], want.astype("f4"))
    beyond = np.abs(x) > 464  # the middle between 448 and what would be next
    np.testing.assert_array_equal(open4 & 0x7F == 0x7F, beyond)
    np.testing.assert_array_equal(open4[~beyond], e4[~beyond])
    np.testing.assert_array_equal(w[4], np.where(beyond, np.nan, w[0]))
    np.testing.assert_array_equal(
        e8, np.clip(np.ceil(np.log2(np.abs(x.astype("f8")))) + 127, 0, 254)
    )


@pytest.mark.parametrize("arch", ["sm80", "sm89", "sm90"])
def test_four_values_at_once(corpus_ptx: Text, rng: np.random.Generator, arch: str) -> None:
    n = 99
    x = (rng.standard_normal((n, 4)) * 20).astype("f4")
    o, w = np.full((n, 4), 77, "u1"), np.full((n, 4), np.nan, "f4")
    run(corpus_ptx(f"fp8_{arch}"), "four_at_once", n, x, o, w)
    want = x.astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(o, want.view("u1"))
    np.testing.assert_array_equal(w, want.astype("f4"))
