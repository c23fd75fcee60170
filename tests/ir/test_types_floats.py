"""Floats, scales and codebooks against ml_dtypes and against exact rational arithmetic.

The rational oracle knows nothing of the encoder: it decodes every code (decoding is checked against
ml_dtypes), sorts the values, and finds the neighbours of a number by bisection.
"""

from bisect import bisect_right
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.types import (
    DType,
    bf16,
    e8m0,
    f4e2m1,
    f6e2m3,
    f6e3m2,
    f8e4m3,
    f8e5m2,
    f16,
    f32,
    f64,
    list_small_floats,
    tf32,
)

ORACLES = {
    f4e2m1: ml_dtypes.float4_e2m1fn,
    f6e2m3: ml_dtypes.float6_e2m3fn,
    f6e3m2: ml_dtypes.float6_e3m2fn,
    f8e4m3: ml_dtypes.float8_e4m3fn,
    f8e5m2: ml_dtypes.float8_e5m2,
    e8m0: ml_dtypes.float8_e8m0fnu,
    bf16: ml_dtypes.bfloat16,
    f16: np.float16,
}
UP_TO_16 = [f4e2m1, f6e2m3, f6e3m2, f8e4m3, f8e5m2, f16, bf16]
SMALL = [*UP_TO_16[:5], *(d for d in list_small_floats() if d not in UP_TO_16)]
MODES = ["nearest_even", "nearest_away", "truncate", "floor", "ceil"]
doubles = st.floats(width=64, allow_nan=False)


def all_codes(dtype: DType) -> np.ndarray:
    return np.arange(1 << dtype.bits).astype(dtype.container)


@pytest.mark.parametrize("dtype", ORACLES, ids=str)
def test_every_code_decodes_as_ml_dtypes_says(dtype: DType) -> None:
    codes = all_codes(dtype)
    with np.errstate(invalid="ignore"):  # bf16 has signaling NaNs
        expected = codes.view(ORACLES[dtype]).astype(np.float64)
    decoded = dtype.decode(codes)
    np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_array_equal(np.signbit(decoded), np.signbit(expected))


@pytest.mark.parametrize("dtype", list_small_floats(), ids=str)
def test_every_code_of_a_finite_format_is_its_formula(dtype: DType) -> None:
    bias = 2 ** (dtype.exponent - 1) - 1
    for code in range(1 << dtype.bits):
        field = (code >> dtype.mantissa) & ((1 << dtype.exponent) - 1)
        fraction = Fraction(code & ((1 << dtype.mantissa) - 1), 1 << dtype.mantissa)
        size = (fraction + (field > 0)) * Fraction(2) ** (max(field, 1) - bias)
        value = float(dtype.decode(np.uint8(code)))
        assert abs(Fraction(value)) == size
        assert np.signbit(value) == bool(code >> (dtype.bits - 1))


@pytest.mark.parametrize("dtype", [*UP_TO_16, *SMALL, e8m0], ids=str)
def test_every_code_survives_the_round_trip(dtype: DType) -> None:
    codes = all_codes(dtype)
    values = dtype.decode(codes)
    number = np.isfinite(values)
    for mode in MODES:
        np.testing.assert_array_equal(dtype.encode(values[number], mode), codes[number])
    again = dtype.decode(dtype.encode(values, overflow="infinity"))
    np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize("dtype", [f32, tf32, f64], ids=str)
def test_sampled_codes_survive_the_round_trip(dtype: DType) -> None:
    rng = np.random.default_rng()
    codes = rng.integers(0, 1 << 63, 100_000, np.uint64).astype(dtype.container)
    codes = codes >> dtype.padding << dtype.padding
    values = dtype.decode(codes)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(dtype.encode(values)[number], codes[number])
    np.testing.assert_array_equal(np.isnan(dtype.decode(dtype.encode(values))), ~number)


def test_tf32_ignores_what_the_matrix_units_ignore() -> None:
    codes = np.array([0x3F80_1FFF, 0x3F80_2000], np.uint32)
    np.testing.assert_array_equal(tf32.decode(codes), [1.0, 1.0 + 2.0**-10])
    tie = np.array([1.0 + 2.0**-11])
    np.testing.assert_array_equal(tf32.encode(tie), [0x3F80_0000])
    np.testing.assert_array_equal(tf32.encode(tie, "nearest_away"), [0x3F80_2000])


def hard_values(dtype: DType) -> np.ndarray:
    """Every value, every midpoint, their neighbours in float64, and random numbers of all sizes."""
    values = np.unique(dtype.decode(all_codes(dtype)))
    values = values[np.isfinite(values)]
    middles = (values[1:] + values[:-1]) / 2
    step = values[-1] - values[-2]
    points = np.concatenate([values, middles, [values[-1] + step / 2, values[-1] + step]])
    near = [points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)]
    rng = np.random.default_rng()
    spread = rng.standard_normal(500) * np.exp2(rng.uniform(-160, 160, 500))
    tiny = [5e-324, -5e-324, 0.0, -0.0, 1e308, -1e308, np.inf, -np.inf]
    return np.concatenate([*near, spread, -np.concatenate(near), tiny])


@pytest.mark.parametrize("dtype", UP_TO_16[:5] + UP_TO_16[6:], ids=str)
def test_float32_rounds_as_ml_dtypes_does(dtype: DType) -> None:
    with np.errstate(over="ignore"):
        values = hard_values(dtype).astype(np.float32)
    if dtype is f8e4m3:  # it overflows to NaN where we overflow to NaN, one rounding step later
        values = values[np.abs(values) <= 448]
    expected = values.astype(ORACLES[dtype])
    overflow = "default" if dtype.special == "finite" else "infinity"
    for given_values in (values, values.astype(np.float64)):
        codes = dtype.encode(given_values, overflow=overflow)
        np.testing.assert_array_equal(codes, expected.view(dtype.container))


class RationalOracle:
    """Correct rounding by search among the exact values of a type."""

    def __init__(self, dtype: DType) -> None:
        codes = all_codes(dtype) if dtype.bits <= 16 else np.array([], dtype.container)
        values = dtype.decode(codes)
        keep = np.isfinite(values) & ~np.signbit(values)
        self.dtype = dtype
        self.codes = [int(code) for code in codes[keep]]
        self.values = [Fraction(value) for value in values[keep].tolist()]
        assert self.values == sorted(self.values)
        step = self.values[-1] - self.values[-2]
        self.values.append(self.values[-1] + step)  # where infinity would be
        self.codes.append(self.codes[-1] + 1)

    def encode(self, value: int | float, mode: str) -> int | None:
        """The code; None where it overflows."""
        negative = np.signbit(float(value)) if isinstance(value, float) else value < 0
        sign = int(negative) << (self.dtype.bits - 1)
        size = abs(Fraction(value))
        below = bisect_right(self.values, size) - 1
        if below == len(self.values) - 1:
            toward_zero = mode in ("truncate", "ceil" if negative else "floor")
            return sign | self.codes[-2] if toward_zero else None
        if size == self.values[below]:
            return sign | self.codes[below]
        chosen = below + self._goes_up(size, below, mode, bool(negative))
        return sign | self.codes[chosen] if chosen < len(self.values) - 1 else None

    def _goes_up(self, size: Fraction, below: int, mode: str, negative: bool) -> bool:
        if mode in ("truncate", "floor", "ceil"):
            return mode == ("floor" if negative else "ceil")
        doubt = 2 * size - self.values[below] - self.values[below + 1]
        if doubt or mode == "nearest_away":
            return doubt >= 0
        if self.dtype.mantissa == 0:  # no even digit: the larger one, but zero is even (IEEE 754)
            return self.values[below] != 0
        return bool(self.codes[below] & 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", SMALL, ids=str)
def test_small_floats_round_exactly(dtype: DType, mode: str) -> None:
    oracle = RationalOracle(dtype)
    values = hard_values(dtype)
    values = values[np.isfinite(values)]
    saturated, to_infinity = dtype.encode(values, mode), dtype.encode(values, mode, "infinity")
    sign_bit = 1 << (dtype.bits - 1)
    for value, code, code_infinity in zip(values.tolist(), saturated, to_infinity, strict=True):
        expected = oracle.encode(value, mode)
        sign = sign_bit if np.signbit(value) else 0
        largest = dtype.max_magnitude
        assert code == (sign | largest if expected is None else expected), value
        beyond = sign | (largest if dtype.special == "finite" else largest + 1)
        assert code_infinity == (beyond if expected is None else expected), value


@pytest.fixture(scope="module")
def wide_oracles() -> dict[DType, RationalOracle]:
    return {dtype: RationalOracle(dtype) for dtype in (f16, bf16)}


@pytest.mark.parametrize("mode", ["default", *MODES])
@pytest.mark.parametrize("dtype", [f16, bf16], ids=str)
def test_halves_round_exactly(
    dtype: DType, mode: str, wide_oracles: dict[DType, RationalOracle]
) -> None:
    oracle = wide_oracles[dtype]
    values = hard_values(dtype)
    values = values[np.isfinite(values)]
    picked = np.random.default_rng().choice(values, 3000)
    picked = np.concatenate([picked, values[-8:], [dtype.max * (1 + 2.0**-12), -dtype.max * 1.01]])
    picked = picked[np.isfinite(picked)]
    for value, code in zip(picked.tolist(), dtype.encode(picked, mode), strict=True):
        expected = oracle.encode(value, "nearest_even" if mode == "default" else mode)
        sign = (1 << 15) if np.signbit(value) else 0
        assert code == (sign | (dtype.max_magnitude + 1) if expected is None else expected), value


@given(value=st.integers(-(2**63), 2**64 - 1), mode=st.sampled_from(["default", *MODES]))
@settings(max_examples=300, deadline=None)
def test_integers_round_to_halves_once(
    value: int, mode: str, wide_oracles: dict[DType, RationalOracle]
) -> None:
    array = np.array([value], np.int64 if value < 2**63 else np.uint64)
    for dtype, oracle in wide_oracles.items():
        expected = oracle.encode(value, "nearest_even" if mode == "default" else mode)
        sign = (1 << 15) if value < 0 else 0
        infinity = sign | (dtype.max_magnitude + 1)
        assert dtype.encode(array, mode)[0] == (infinity if expected is None else expected)


def round_exactly(value: int | Fraction, mantissa: int, mode: str) -> Fraction:
    """Correct rounding to `mantissa` + 1 digits, without limits on the exponent."""
    size = abs(Fraction(value))
    exponent = 0
    while size >= 2 ** (mantissa + 1) * Fraction(2) ** exponent:
        exponent += 1
    while size and size < 2**mantissa * Fraction(2) ** exponent:
        exponent -= 1
    scaled = size / Fraction(2) ** exponent
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole
    up = {
        "nearest_even": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1),
        "nearest_away": rest >= Fraction(1, 2),
        "truncate": False,
        "floor": rest > 0 and value < 0,
        "ceil": rest > 0 and value > 0,
    }[mode]
    return (-1 if value < 0 else 1) * (whole + up) * Fraction(2) ** exponent


near_ties = st.builds(
    lambda high, shift, low, sign: sign * ((high << shift) + low),
    st.integers(1, 2**12),
    st.integers(0, 51),
    st.integers(-2, 2),
    st.sampled_from([1, -1]),
)

ties_of_f64 = st.builds(
    lambda digits, shift, sign: sign * ((2**53 + 2 * digits + 1) << shift),
    st.integers(0, 2**52 - 1),
    st.integers(0, 9),
    st.sampled_from([1, -1]),
)


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), near_ties, ties_of_f64), st.sampled_from(MODES))
@settings(max_examples=400, deadline=None)
def test_integers_round_to_wide_floats_once(value: int, mode: str) -> None:
    for dtype in (f32, tf32, f64):
        code = dtype.encode(np.array([value], np.int64), mode)
        expected = round_exactly(value, dtype.mantissa, mode)
        assert Fraction(float(dtype.decode(code)[0])) == expected, dtype


@given(doubles, st.sampled_from(MODES))
@settings(max_examples=400, deadline=None)
def test_doubles_round_to_single_exactly(value: float, mode: str) -> None:
    for dtype in (f32, tf32):
        got = float(dtype.decode(dtype.encode(np.array([value]), mode))[0])
        if np.isinf(got) or not 2.0**-126 <= abs(value) <= float(dtype.max):
            continue
        assert Fraction(got) == round_exactly(Fraction(value), dtype.mantissa, mode), dtype


@given(st.integers(0, 2**24), st.integers(-2, 2), st.sampled_from(MODES))
@settings(max_examples=200, deadline=None)
def test_single_subnormals_round_exactly(count: int, nudge: int, mode: str) -> None:
    value = count * 2.0**-150  # half steps of the smallest subnormal
    for _ in range(abs(nudge)):
        value = float(np.nextafter(value, np.inf if nudge > 0 else -np.inf))
    got = Fraction(float(f32.decode(f32.encode(np.array([value]), mode))[0]))
    steps = Fraction(value) / Fraction(2) ** -149
    whole = steps.numerator // steps.denominator
    candidates = {
        "nearest_even": round(steps),
        "nearest_away": whole + (steps - whole >= Fraction(1, 2)),
        "truncate": int(steps),
        "floor": whole,
        "ceil": -((-steps.numerator) // steps.denominator),
    }
    if value < 0:
        candidates["nearest_away"] = round(steps)  # -1 ulp at most: never half a step
    assert got == candidates[mode] * Fraction(2) ** -149


def test_default_overflow_by_width() -> None:
    values = np.array([1e300, -1e300, np.inf, -np.inf])
    for dtype in (f16, bf16, tf32, f32):
        np.testing.assert_array_equal(
            dtype.decode(dtype.encode(values)), [np.inf, -np.inf, np.inf, -np.inf]
        )
    for dtype in SMALL:
        top = dtype.max
        np.testing.assert_array_equal(dtype.decode(dtype.encode(values)), [top, -top, top, -top])


@pytest.mark.parametrize("dtype", [f16, bf16, tf32, f32, f64, f8e5m2, f8e4m3], ids=str)
def test_saturation_and_infinity_on_request(dtype: DType) -> None:
    values = np.array([np.inf, -np.inf, dtype.max, dtype.min])
    top = dtype.max
    saturated = dtype.decode(dtype.encode(values, overflow="saturate"))
    np.testing.assert_array_equal(saturated, [top, -top, top, -top])
    beyond = [np.nan, np.nan] if dtype is f8e4m3 else [np.inf, -np.inf]
    infinite = dtype.decode(dtype.encode(values, overflow="infinity"))
    np.testing.assert_array_equal(infinite, [*beyond, top, -top])


@pytest.mark.parametrize("overflow", ["default", "saturate", "infinity"])
@pytest.mark.parametrize("mode", ["default", *MODES])
def test_nan_stays_nan_or_becomes_the_largest(mode: str, overflow: str) -> None:
    payload = np.array([0x7FF0_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF], np.uint64).view(np.float64)
    single = np.array([0x7F80_0001, 0xFF80_0001], np.uint32).view(np.float32)
    for values in (payload, single, np.array([np.nan, -np.nan])):
        for dtype in (f16, bf16, tf32, f32, f64, f8e4m3, f8e5m2, e8m0):
            assert np.isnan(dtype.decode(dtype.encode(values, mode, overflow))).all(), dtype
        for dtype in SMALL:
            if not dtype.has_nan:
                decoded = dtype.decode(dtype.encode(values, mode, overflow))
                np.testing.assert_array_equal(decoded, [dtype.max] * 2)
