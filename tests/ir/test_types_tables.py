"""Scales (powers of two) and codebooks (tables of values) against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.types import codebook, e8m0, nf4, parse_dtype

MODES = ["nearest_even", "nearest_away", "truncate", "floor", "ceil"]
doubles = st.floats(width=64, allow_nan=False)


def test_scales_are_powers_of_two() -> None:
    values = np.array([0.0, -0.0, 1.0, 1.25, 1.5, 1.75, 3.0, 2.0**127, 1e39, np.inf, -1.0, np.nan])
    nearest = [2.0**-127] * 2 + [1, 1, 2, 2, 4, 2.0**127, 2.0**127, 2.0**127, np.nan, np.nan]
    np.testing.assert_array_equal(e8m0.decode(e8m0.encode(values)), nearest)
    down = [2.0**-127] * 2 + [1, 1, 1, 1, 2, 2.0**127, 2.0**127, 2.0**127, np.nan, np.nan]
    np.testing.assert_array_equal(e8m0.decode(e8m0.encode(values, "truncate")), down)
    up = e8m0.decode(e8m0.encode(values, "ceil", "infinity"))
    above = [2.0**-127] * 2 + [1, 2, 2, 2, 4, 2.0**127, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(up, above)


@given(st.floats(2.0**-126, 2.0**127), st.sampled_from(MODES))
@settings(max_examples=100, deadline=None)
def test_scales_round_exactly(value: float, mode: str) -> None:
    low = Fraction(2) ** int(np.frexp(value)[1] - 1)
    exact = Fraction(value)
    middle = low * 3 / 2
    nearest = low if exact < middle else 2 * low
    up = low if exact == low else 2 * low
    expected = {"truncate": low, "floor": low, "ceil": up}.get(mode, nearest)
    got = float(e8m0.decode(e8m0.encode(np.array([value]), mode))[0])
    assert Fraction(got) == min(expected, Fraction(2) ** 127)


tables = st.lists(
    st.floats(-(2.0**100), 2.0**100).map(lambda value: value + 0.0), min_size=8, max_size=8
)


@given(tables, st.lists(doubles, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_codebooks_take_the_nearest_entry(table: list[float], values: list[float]) -> None:
    dtype = codebook(3, table)
    middles = [float((Fraction(a) + Fraction(b)) / 2) for a in table for b in table]
    points = np.array([*values, *table, *middles])
    with np.errstate(over="ignore"):
        above, below = np.nextafter(points, np.inf), np.nextafter(points, -np.inf)
    points = np.concatenate([points, above, below])
    points = points[np.isfinite(points)]
    for point, code in zip(points.tolist(), dtype.encode(points), strict=True):
        distances = [abs(Fraction(point) - Fraction(value)) for value in table]
        assert code == distances.index(min(distances))
    ends = dtype.decode(dtype.encode([np.inf, -np.inf, np.nan]))
    np.testing.assert_array_equal(ends, [dtype.max, dtype.min, dtype.max])


def test_nf4_is_its_own_nearest() -> None:
    codes = np.arange(16, dtype=np.uint8)
    np.testing.assert_array_equal(nf4.encode(nf4.decode(codes)), codes)
    assert nf4.decode(np.uint8(7)) == 0.0
    assert parse_dtype("nf4") is nf4
