"""Fused multiply-adds and conversions where rounding twice would show: ties, subnormals, limits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

N = 1024
FORMATS: dict[str, tuple[Any, int, int, int]] = {
    "f16": (np.float16, 11, -24, 16),
    "bf16": (ml_dtypes.bfloat16, 8, -133, 128),
    "f32": (np.float32, 24, -149, 128),
    "f64": (np.float64, 53, -1074, 1024),
}
"""NumPy type, mantissa bits, exponent of the least subnormal, exponent of overflow."""

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow is meant


def execute(body: str, sources: list[np.ndarray], size: int) -> np.ndarray:
    """`body` computes %o from %a, %b, %c in every lane; bits in, bits (of `size` bytes) out."""
    lines = []
    for index, source in enumerate(sources):
        name, bits = "abc"[index], 8 * source.dtype.itemsize
        lines.append(
            f".reg .b{bits} %{name}; ld.param.u64 %q, [p{index}]; "
            f"mad.wide.u32 %q, %i, {bits // 8}, %q; ld.global.b{bits} %{name}, [%q];"
        )
    params = ", ".join(f".param .u64 p{i}" for i in range(len(sources) + 1))
    text = f""".version 8.6
.target sm_90
.address_size 64
.visible .entry k({params}) {{
  .reg .b64 %q; .reg .b32 %i; .reg .b{8 * size} %o;
  mov.u32 %i, %tid.x;
  {" ".join(lines)}
  {body}
  ld.param.u64 %q, [p{len(sources)}]; mad.wide.u32 %q, %i, {size}, %q;
  st.global.b{8 * size} [%q], %o;
  ret;
}}"""
    out = np.full(N, 0xA5, f"u{size}")
    vm.run(text, "k", 1, N, [*(s.copy() for s in sources), out], checks="off")
    return out


def nearest(value: Fraction, kind: str) -> float:
    """A rational rounded to nearest even."""
    _, mantissa, least, limit = FORMATS[kind]
    if value == 0:
        return 0.0
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size
    unit = Fraction(2) ** max(exponent - mantissa + 1, least)
    down, rest = divmod(size / unit, 1)
    down += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2 == 1)
    result = float("inf") if down * unit >= Fraction(2) ** limit else float(down * unit)
    return -result if value < 0 else result


def check_fma(kind: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Against rationals; infinities and NaN as IEEE 754 has them."""
    dtype = FORMATS[kind][0]
    bits = f"u{np.dtype(dtype).itemsize}"
    a, b, c = (np.asarray(x).astype(dtype) for x in (a, b, c))
    got = execute(f"fma.rn.{kind} %o, %a, %b, %c;", [x.view(bits) for x in (a, b, c)], a.itemsize)
    for x, y, z, found in zip(a, b, c, got.view(dtype), strict=True):
        x, y, z, found = (float(v) for v in (x, y, z, found))
        if np.isfinite([x, y, z]).all():
            want = nearest(Fraction(x) * Fraction(y) + Fraction(z), kind)
            assert found == want, (x, y, z, found, want)
        elif np.isfinite([x, y]).all():
            assert np.array_equal(found, z, equal_nan=True), (x, y, z, found)
        else:  # an infinite (or invalid) product: its size does not matter
            want = np.sign(x) * np.sign(y) * np.inf + z if not np.isnan([x, y]).any() else np.nan
            want = np.nan if 0 in (x, y) else want
            assert np.array_equal(found, want, equal_nan=True), (x, y, z, found, want)


def random_bits(kind: str, rng: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(FORMATS[kind][0])
    return rng.integers(0, 256, N * dtype.itemsize, dtype=np.uint8).view(dtype)


@pytest.mark.parametrize("kind", FORMATS)
def test_fma_of_random_bits(kind: str) -> None:
    rng = np.random.default_rng()
    a, b, c = (random_bits(kind, rng) for _ in range(3))
    check_fma(kind, a, b, c)
    c[::2] = -(a[::2].astype("f8") * b[::2].astype("f8")).astype(c.dtype)  # cancellation
    check_fma(kind, a, b, c)


@pytest.mark.parametrize("kind", FORMATS)
def test_fma_beside_ties(kind: str) -> None:
    """c and half its last place in the product, a little more or less than that, or exactly."""
    _, mantissa, _, _ = FORMATS[kind]
    rng = np.random.default_rng()
    c = rng.integers(1 << (mantissa - 1), 1 << mantissa, N).astype("f8")
    # a·b = 1/2 + tiny: (1 + i·ulp) · (1/2)(1 - j·ulp)
    ulp = 2.0 ** (1 - mantissa)
    a = 1 + rng.integers(0, 3, N) * ulp
    b = (1 - rng.integers(0, 3, N) * ulp) / 2
    signs = rng.choice([-1.0, 1.0], (3, N))
    scale = 2.0 ** (0 if kind == "f16" else int(rng.integers(-20, 20)))
    check_fma(kind, a * signs[0] * scale, b * signs[1], c * signs[2] * scale)


@pytest.mark.parametrize("kind", ["f16", "bf16", "f32"])
def test_fma_with_subnormal_results(kind: str) -> None:
    _, mantissa, least, _ = FORMATS[kind]
    rng = np.random.default_rng()
    half = least // 2
    a = rng.integers(1, 1 << mantissa, N) * 2.0 ** (half - rng.integers(0, 8, N))
    b = rng.integers(1, 1 << mantissa, N) * 2.0 ** (half - rng.integers(0, mantissa, N))
    c = rng.integers(-3, 4, N) * 2.0**least
    c[::4] = 0
    check_fma(kind, a, b * rng.choice([-1, 1], N), c)


@pytest.mark.parametrize("kind", FORMATS)
def test_fma_whose_product_overflows(kind: str) -> None:
    """The product alone is too large; the sum may not be."""
    dtype, _, _, limit = FORMATS[kind]
    rng = np.random.default_rng()
    a = np.ldexp(1 + rng.integers(0, 8, N) / 8, limit // 2)
    b = np.ldexp(1 + rng.integers(0, 8, N) / 8, limit - 1 - limit // 2)
    c = -np.ldexp(1 + rng.integers(0, 8, N) / 8, limit - 1)
    c[::5] = -np.inf
    check_fma(kind, a.astype(dtype), b.astype(dtype), c.astype(dtype))


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_fma_flushes_subnormals(kind: str) -> None:
    """.ftz: operands first, then the result; zeros keep their sign."""
    dtype, mantissa, least, _ = FORMATS[kind]
    normal = 2.0 ** (least + mantissa - 1)
    rng = np.random.default_rng()
    a = (rng.choice([0.25, 0.5, 1, 1.5], N) * normal * rng.choice([-1, 1], N)).astype(dtype)
    b = rng.choice([0.25, 0.5, 1, 2], N).astype(dtype)
    c = (rng.choice([0, 0.25, 0.75, 1], N) * normal * rng.choice([-1, 1], N)).astype(dtype)
    bits = f"u{a.itemsize}"
    text = f"fma.rn.ftz.{kind} %o, %a, %b, %c;"
    got = execute(text, [x.view(bits) for x in (a, b, c)], a.itemsize).view(dtype)

    def flush(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) < normal, np.copysign(0.0, x), x)

    x, y, z = (flush(v.astype("f8")) for v in (a, b, c))
    want = flush((x * y + z).astype(dtype).astype("f8"))
    np.testing.assert_array_equal(got.astype("f8"), want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize(("kind", "dtype"), [
    ("e4m3x2", ml_dtypes.float8_e4m3fn), ("e5m2x2", ml_dtypes.float8_e5m2),
])  # fmt: skip
def test_fp8_beside_ties(kind: str, dtype: Any) -> None:
    """Values at, and one place of f32 beside, the middle of two codes."""
    rng = np.random.default_rng()
    codes = np.arange(256, dtype=np.uint8).view(dtype).astype("f8")
    finite = np.unique(codes[np.isfinite(codes)])
    middle = ((finite[1:] + finite[:-1]) / 2).astype("f")
    chosen = rng.choice(middle, (2, N))
    moved = np.nextafter(chosen, rng.choice([-np.inf, np.inf], (2, N))).astype("f")
    upper, lower = np.where(rng.random((2, N)) < 0.7, moved, chosen)
    body = f"cvt.rn.satfinite.{kind}.f32 %o, %a, %b;"
    got = execute(body, [upper.view("u4"), lower.view("u4")], 2).view(np.uint8).reshape(-1, 2)
    for column, source in enumerate((lower, upper)):
        want = source.astype(dtype)  # ml_dtypes rounds to nearest even
        np.testing.assert_array_equal(got[:, column].view(dtype).astype("f"), want.astype("f"))


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_halves_keep_every_value(kind: str) -> None:
    """All 65,536 codes to f32 and back; NaN stays NaN."""
    dtype = FORMATS[kind][0]
    for start in range(0, 1 << 16, 8 * N):
        codes = np.arange(start, start + N, dtype=np.uint16)
        wide = execute(f"cvt.f32.{kind} %o, %a;", [codes], 4)
        want = codes.view(dtype).astype("f")
        np.testing.assert_array_equal(wide.view("f"), want)
        back = execute(f"cvt.rn.{kind}.f32 %o, %a;", [wide], 2)
        right = (back == codes) | (np.isnan(want) & np.isnan(back.view(dtype).astype("f")))
        assert right.all()


def test_selp_may_write_any_of_its_operands() -> None:
    rng = np.random.default_rng()
    a, b, c = (rng.integers(0, 1 << 32, N, dtype=np.uint32) for _ in range(3))
    test = ".reg .pred %p; setp.lt.u32 %p, %c, 0x80000000;"
    for negated, target in ((n, t) for n in ("", "!") for t in "abo"):
        body = f"{test} selp.b32 %{target}, %a, %b, {negated}%p; mov.b32 %o, %{target};"
        chosen = (c < 0x80000000) ^ bool(negated)
        np.testing.assert_array_equal(execute(body, [a, b, c], 4), np.where(chosen, a, b))


def test_fixed_fields_and_funnels() -> None:
    rng = np.random.default_rng()
    a, b = (rng.integers(0, 1 << 32, N, dtype=np.uint32) for _ in range(2))
    pair = b.astype(np.uint64) << np.uint64(32) | a
    for by in (1, int(rng.integers(2, 31)), 31):
        left = execute(f"shf.l.wrap.b32 %o, %a, %b, {by};", [a, b], 4)
        right = execute(f"shf.r.clamp.b32 %o, %a, %b, {by};", [a, b], 4)
        np.testing.assert_array_equal(left, (pair << np.uint64(by) >> np.uint64(32)).astype("u4"))
        np.testing.assert_array_equal(right, (pair >> np.uint64(by)).astype("u4"))
        field = a >> np.uint32(32 - by)
        np.testing.assert_array_equal(execute(f"bfe.u32 %o, %a, {32 - by}, {by};", [a], 4), field)
        signed = (a.view("i4") >> np.int32(32 - by)).view("u4")
        np.testing.assert_array_equal(execute(f"bfe.s32 %o, %a, {32 - by}, {by};", [a], 4), signed)
