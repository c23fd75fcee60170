"""Programs of the Triton corpus that reduce, scan and sort, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

Launch = Callable[..., vm.Report]
Array = np.ndarray[Any, Any]
UNIT = 2.0**-24  # half a unit in the last place of f32


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def clean(report: vm.Report) -> None:
    """No races; of warnings only one kind: Triton's last step of a reduction over warps shuffles a
    register that only some lanes have loaded, and does not use what the others get.
    """
    assert report.races == []
    assert {warning.kind for warning in report.warnings} <= {"uninitialised"}


@pytest.mark.parametrize(
    ("name", "dtype", "columns", "stride"),
    [
        ("softmax", np.float32, 777, 784),
        ("softmax_one_warp", np.float16, 101, 103),
        ("softmax_wide", ml_dtypes.bfloat16, 3001, 3008),
    ],
)
def test_softmax(
    run_corpus: Launch, rng: np.random.Generator, name: str, dtype: Any, columns: int, stride: int
) -> None:
    x = (3 * rng.standard_normal((5, stride))).astype(dtype)
    z = np.full((5, stride), np.nan, dtype)
    clean(run_corpus(name, 5, x, z, columns, stride))
    v = x[:, :columns].astype("f8")
    e = np.exp(v - v.max(axis=1, keepdims=True))
    want = e / e.sum(axis=1, keepdims=True)
    # The exponent has up to 32 in f32; the tree adds log2(4096) roundings; then the output's own.
    bound = want * (2 * 32 * 1.5 + 12 + 8) * UNIT + want * np.finfo(np.float32).eps
    bound += {"softmax": 0, "softmax_one_warp": 2.0**-11, "softmax_wide": 2.0**-8}[name] * want
    bound += 2.0**-25 if dtype == np.float16 else 0
    assert (np.abs(z[:, :columns].astype("f8") - want) <= bound).all()
    assert np.isnan(z[:, columns:].astype("f4")).all()


@pytest.mark.parametrize(
    ("name", "dtype", "unit"),
    [("f16", np.float16, 2.0**-11), ("bf16", ml_dtypes.bfloat16, 2.0**-8)],
)
def test_layer_norm(
    run_corpus: Launch, rng: np.random.Generator, name: str, dtype: Any, unit: float
) -> None:
    rows, columns, eps = 7, 701, 1e-5
    x = (rng.standard_normal((rows, columns)) + 0.5).astype(dtype)
    w, b = rng.standard_normal((2, columns)).astype("f4")
    z, mean, spread = np.full_like(x, np.nan), *np.full((2, rows), np.nan, "f4")
    clean(run_corpus(f"layer_norm_{name}", rows, x, w, b, z, mean, spread, columns, eps))
    v = x.astype("f8")
    m = v.mean(axis=1)
    s = 1 / np.sqrt(v.var(axis=1) + eps)
    # A sum of n numbers below 5 in f32, as a tree over at least 128 lanes.
    np.testing.assert_allclose(mean, m, atol=5 * 16 * UNIT)
    np.testing.assert_allclose(spread, s, rtol=40 * UNIT)
    want = (v - m[:, None]) * s[:, None] * w + b
    scale = np.abs((v - m[:, None]) * s[:, None] * w) + np.abs(b)
    bound = unit * np.abs(want) + 100 * UNIT * scale + 5 * 16 * UNIT * s[:, None] * np.abs(w)
    assert (np.abs(z.astype("f8") - want) <= bound).all()


def test_welford_reduces_triples(run_corpus: Launch, rng: np.random.Generator) -> None:
    rows, columns = 37, 99
    x = (rng.standard_normal((rows, columns)) + 100).astype("f4")
    mean, variance = np.full((2, rows), np.nan, "f4")
    clean(run_corpus("welford", 3, x, mean, variance, rows, columns))
    np.testing.assert_allclose(mean, x.astype("f8").mean(axis=1), rtol=16 * UNIT)
    np.testing.assert_allclose(variance, x.astype("f8").var(axis=1), rtol=200 * 8 * UNIT)


def test_extremes_and_their_places(run_corpus: Launch, rng: np.random.Generator) -> None:
    rows, columns = 21, 203
    x = rng.integers(-40, 41, (rows, columns)).astype("f4")  # with ties: the first counts
    most, least = np.full((2, rows), np.nan, "f4")
    where, first = np.full((2, rows), -1, "i4")
    clean(run_corpus("extremes", 3, x, most, where, least, first, rows, columns))
    np.testing.assert_array_equal(most, x.max(axis=1))
    np.testing.assert_array_equal(where, x.argmax(axis=1))
    np.testing.assert_array_equal(least, x.min(axis=1))
    np.testing.assert_array_equal(first, x.argmin(axis=1))


def test_column_sums(run_corpus: Launch, rng: np.random.Generator) -> None:
    rows, columns = 77, 131
    x = rng.integers(-99, 99, (rows, columns)).astype("f4")
    z, bits = np.full(columns, np.nan, "f4"), np.full(columns, 77, "i4")
    clean(run_corpus("column_sums", 3, x, z, bits, rows, columns))
    np.testing.assert_array_equal(z, x.sum(axis=0))
    np.testing.assert_array_equal(bits, np.bitwise_xor.reduce(x.astype("i4"), axis=0))


def test_scans(run_corpus: Launch, rng: np.random.Generator) -> None:
    rows, columns = 3, 403
    x = rng.uniform(0.8, 1.2, (rows, columns)).astype("f4")
    sums, products, states, backward = np.full((4, rows, columns), np.nan, "f4")
    clean(run_corpus("scans", rows, x, sums, products, states, backward, columns))
    v = x.astype("f8")
    # All terms are positive: each of at most log2(512) + 5 levels rounds relatively once.
    levels = 20 * UNIT
    np.testing.assert_allclose(sums, v.cumsum(axis=1), rtol=levels)
    np.testing.assert_allclose(products, v.cumprod(axis=1), rtol=512 * UNIT)
    np.testing.assert_allclose(backward, v[:, ::-1].cumsum(axis=1)[:, ::-1], rtol=levels)
    state = np.zeros(rows)
    for column in range(columns):
        state = state / 2 + v[:, column]
        np.testing.assert_allclose(states[:, column], state, rtol=levels)


def test_sort_and_largest(run_corpus: Launch, rng: np.random.Generator) -> None:
    rows, columns = 4, 101
    x = rng.standard_normal((rows, columns)).astype("f4")
    x[:, ::9] = x[:, 1:2]
    up, down = np.full((2, rows, columns), np.nan, "f4")
    top = np.full((rows, 8), np.nan, "f4")
    clean(run_corpus("sort", rows, x, up, down, top, columns))
    np.testing.assert_array_equal(up, np.sort(x, axis=1))
    np.testing.assert_array_equal(down, np.sort(x, axis=1)[:, ::-1])
    np.testing.assert_array_equal(top, np.sort(x, axis=1)[:, ::-1][:, :8])
