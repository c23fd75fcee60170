"""Integers of every width against Python's own integers."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.types import NAMED, DType, bool_, i2, i4, i64, u2, u4, u64

INTEGERS = [dtype for dtype in NAMED.values() if dtype.is_integer]
MODES = ["default", "nearest_even", "nearest_away", "truncate", "floor", "ceil"]
ORACLES = {u2: ml_dtypes.uint2, i2: ml_dtypes.int2, u4: ml_dtypes.uint4, i4: ml_dtypes.int4}


def wrap(dtype: DType, value: int) -> int:
    low = value & ((1 << dtype.bits) - 1)
    return low - (1 << dtype.bits) if dtype.signed and low >> (dtype.bits - 1) else low


def clip(dtype: DType, value: int) -> int:
    return max(int(dtype.min), min(int(dtype.max), value))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_every_code_is_two_s_complement(dtype: DType) -> None:
    rng = np.random.default_rng()
    codes = np.arange(1 << dtype.bits) if dtype.bits <= 16 else rng.integers(0, 2**63, 2000) * 2 + 1
    codes = codes.astype(dtype.container)
    values = dtype.decode(codes)
    assert values.dtype == (np.uint64 if dtype is u64 else np.int64)
    assert values.tolist() == [wrap(dtype, code) for code in codes.tolist()]
    np.testing.assert_array_equal(dtype.encode(values), codes)


@pytest.mark.parametrize("dtype", ORACLES, ids=str)
def test_sub_byte_codes_as_ml_dtypes_says(dtype: DType) -> None:
    values = np.arange(int(dtype.min), int(dtype.max) + 1)
    expected = values.astype(ORACLES[dtype]).view(np.uint8) & ((1 << dtype.bits) - 1)
    np.testing.assert_array_equal(dtype.encode(values), expected)


@pytest.mark.parametrize("dtype", [d for d in INTEGERS if d.bits < 8], ids=str)
def test_bits_above_the_type_are_ignored(dtype: DType) -> None:
    codes = np.arange(1 << dtype.bits, dtype=np.uint8)
    dirty = codes | np.uint8(0xFF << dtype.bits & 0xFF)
    np.testing.assert_array_equal(dtype.decode(dirty), dtype.decode(codes))


@given(st.integers(-(2**63), 2**64 - 1), st.sampled_from(INTEGERS))
@settings(max_examples=500, deadline=None)
def test_integers_wrap_or_saturate(value: int, dtype: DType) -> None:
    array = np.array([value], np.int64 if value < 2**63 else np.uint64)
    assert dtype.decode(dtype.encode(array))[0] == wrap(dtype, value)
    assert dtype.decode(dtype.encode(array, overflow="saturate"))[0] == clip(dtype, value)


@pytest.mark.parametrize("source", ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_every_numpy_integer_encodes(dtype: DType, source: str) -> None:
    kind = np.dtype(source)
    values = np.array([0, 1], kind)
    if kind.kind != "b":
        limits = np.iinfo(kind)
        values = np.array([limits.min, limits.max, 0, 1, limits.max // 3], kind)
    wrapped = [wrap(dtype, int(value)) for value in values]
    clipped = [clip(dtype, int(value)) for value in values]
    assert dtype.decode(dtype.encode(values)).tolist() == wrapped
    assert dtype.decode(dtype.encode(values, overflow="saturate")).tolist() == clipped


def round_exactly(value: float, mode: str) -> int:
    exact = Fraction(value)
    floor = exact.numerator // exact.denominator
    half = Fraction(1, 2)
    away = floor + (exact - floor >= half if value > 0 else exact - floor > half)
    return {
        "default": int(exact),
        "truncate": int(exact),
        "floor": floor,
        "ceil": floor + (exact > floor),
        "nearest_even": round(exact),
        "nearest_away": away,
    }[mode]


edges = st.builds(
    lambda power, offset, sign: sign * (2.0**power + offset),
    st.integers(0, 64),
    st.sampled_from([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 0.49999999999999994]),
    st.sampled_from([1.0, -1.0]),
)


@given(
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), edges),
    st.sampled_from(INTEGERS),
    st.sampled_from(MODES),
)
@settings(max_examples=800, deadline=None)
def test_floats_round_and_saturate(value: float, dtype: DType, mode: str) -> None:
    expected = clip(dtype, round_exactly(value, mode))
    assert int(dtype.decode(dtype.encode(np.array([value]), mode))[0]) == expected


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_nan_is_zero_and_infinities_are_the_ends(dtype: DType) -> None:
    for kind in (np.float16, np.float32, np.float64):
        values = np.array([np.nan, np.inf, -np.inf, -0.0], kind)
        decoded = [int(value) for value in dtype.decode(dtype.encode(values))]
        assert decoded == [0, dtype.max, dtype.min, 0]


def test_large_integers_do_not_pass_through_floats() -> None:
    values = np.array([2**53 + 1, 2**63 - 1, -(2**63) + 1], np.int64)
    np.testing.assert_array_equal(i64.decode(i64.encode(values)), values)
    large = np.array([2**64 - 1, 2**63 + 1], np.uint64)
    np.testing.assert_array_equal(u64.decode(u64.encode(large)), large)


def test_bool_is_anything_but_zero() -> None:
    assert bool_.encode([0.0, -0.0, 0.5, np.nan, np.inf]).tolist() == [0, 0, 1, 1, 1]
    assert bool_.encode([0, 2, -1]).tolist() == [0, 1, 1]
    assert bool_.decode(np.array([0, 1, 255], np.uint8)).tolist() == [False, True, True]
    assert i4.decode(i4.encode(np.array([True, False]))).tolist() == [1, 0]
