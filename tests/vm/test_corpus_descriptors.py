"""Tensor copies, warps with roles and barriers of the Triton corpus (sm_90a), against NumPy."""

# ruff: noqa: E501  (cases stay one line each)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

Launch = Callable[..., vm.Report]
Array = np.ndarray[Any, Any]
BF16, E4M3 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def clean(report: vm.Report) -> None:
    """No races; of warnings only one that Triton deserves: it initialises an mbarrier and starts a
    tensor copy on it with a block barrier between them, but no fence for the async proxy.
    """
    assert report.races == []
    assert {warning.kind for warning in report.warnings} <= {"missing proxy fence"}
    assert all("mbarrier_init" in warning.message for warning in report.warnings)


def check(got: Array, a: Array, b: Array, unit: float, each: float = 2.0**-23) -> None:
    """`each`: the error per term of the sum (in all 4 of it where it is that of narrower factors)."""
    x, y = a.astype("f8"), b.astype("f8")
    want, scale = x @ y, np.abs(x) @ np.abs(y)
    terms = a.shape[-1] if each < 2**-20 else 4
    bound = terms * each * scale + unit * np.abs(want) + 2.0**-24
    error = np.abs(got.astype("f8") - want)
    assert (error <= bound).all(), (error / bound).max()


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "tile"),
    [
        ("tma_copy_f32", "f4", (75, 92), (32, 32)),
        ("tma_copy_i8", "i1", (101, 144), (64, 64)),
        ("tma_copy_f16_wide", "f2", (37, 520), (16, 256)),
    ],
)
def test_copies_by_tiles(
    run_corpus: Launch, rng: np.random.Generator, name: str, dtype: str, shape: Any, tile: Any
) -> None:
    x = rng.integers(-99, 99, shape).astype(dtype)
    z = np.full(shape, 77, dtype)
    clean(run_corpus(name, (-(-shape[0] // tile[0]), -(-shape[1] // tile[1])), x, z))
    np.testing.assert_array_equal(z, x + 1)


def test_copies_of_cubes(run_corpus: Launch, rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 19, 48)).astype("f2")
    z = np.full((19, 6, 48), np.nan, "f2")
    clean(run_corpus("tma_copy_cube", (2, 3, 2), x, z))
    np.testing.assert_array_equal(z, x.transpose(1, 0, 2))


@pytest.mark.parametrize("name", ["tma_made_f32", "tma_made_sm80"])
def test_descriptors_made_in_the_kernel(
    run_corpus: Launch, rng: np.random.Generator, name: str
) -> None:
    m, n = 37, 144
    x = rng.standard_normal((m, n)).astype("f4")
    z = np.full((m + 1, n), np.nan, "f4")
    clean(run_corpus(name, (3, 3), x, z, m, n))
    np.testing.assert_array_equal(z[:m], -x)
    assert np.isnan(z[m:]).all()


def test_reductions_by_tensor_copies(run_corpus: Launch, rng: np.random.Generator) -> None:
    m, n = 72, 80
    x = rng.integers(-99, 99, (m, n)).astype("f4")
    sums, most = np.zeros((16, n), "f4"), np.full((16, n), -1000, "i4")
    clean(run_corpus("tma_reduce", (5, 3), x, sums, most, m, n))
    rows = np.concatenate([x, np.zeros((8, n), "f4")]).reshape(5, 16, n)
    np.testing.assert_array_equal(sums, rows.sum(axis=0))
    np.testing.assert_array_equal(most, rows.max(axis=0))


CASES: list[tuple[str, Any, Any, tuple[int, int, int], tuple[int, int], bool, float]] = [
    ("tma_matmul_f16", "f2", "f2", (101, 152, 200), (64, 128), False, 2.0**-11),
    ("tma_matmul_bf16_two_warpgroups", BF16, BF16, (150, 88, 264), (128, 64), True, 2.0**-8),
    ("tma_matmul_f16_narrow", "f2", "f2", (75, 48, 104), (64, 32), True, 2.0**-11),
    ("tma_matmul_two_blocks", "f2", "f2", (101, 208, 144), (128, 128), False, 2.0**-11),
    ("tma_matmul_e4m3", E4M3, "f2", (75, 72, 400), (64, 64), True, 2.0**-11),
    ("tma_matmul_tf32", "f4", "f4", (75, 72, 116), (64, 64), True, 2.0**-24),
]


def multiply(run_corpus: Launch, rng: np.random.Generator, case: Any, **how: Any) -> None:
    name, dtype, out, (m, n, k), tile, transposed, unit = case
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transposed else (k, n)).astype(dtype)
    c = np.full((m, n), 77, out)
    clean(run_corpus(name, (-(-m // tile[0]), -(-n // tile[1])), a, b, c, k, **how))
    check(c, a, b.T if transposed else b, unit, 2.0**-9 if "tf32" in name else 2.0**-23)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_products_through_descriptors(
    run_corpus: Launch, rng: np.random.Generator, case: Any
) -> None:
    multiply(run_corpus, rng, case)


@pytest.mark.parametrize("checks", ["late", "early"])
def test_products_at_the_extremes_of_asynchrony(
    run_corpus: Launch, rng: np.random.Generator, checks: str
) -> None:
    multiply(run_corpus, rng, CASES[0], checks=checks)
    multiply(run_corpus, rng, CASES[1], checks=checks)


@pytest.mark.parametrize("name", ["tma_matmul_persistent", "tma_matmul_persistent_flat"])
def test_persistent_products(run_corpus: Launch, rng: np.random.Generator, name: str) -> None:
    m, n, k = 101, 208, 144
    a, b = rng.standard_normal((m, k)).astype("f2"), rng.standard_normal((n, k)).astype("f2")
    c = np.full((m, n), np.nan, "f2")
    clean(run_corpus(name, 3, a, b, c, m, n, k))
    check(c, a, b.T, 2.0**-11)


@pytest.mark.parametrize("seed", range(2))
def test_warps_that_the_compiler_gave_roles(
    run_corpus: Launch, rng: np.random.Generator, seed: int
) -> None:
    m, n, k = 101, 208, 336
    a, b = rng.standard_normal((m, k)).astype("f2"), rng.standard_normal((n, k)).astype("f2")
    c = np.full((m, n), np.nan, "f2")
    clean(run_corpus("tma_matmul_two_consumers", 2, a, b, c, m, n, k, seed=seed))
    check(c, a, b.T, 2.0**-11)


def test_a_race_that_the_compiler_made_is_found(
    run_corpus: Launch, rng: np.random.Generator
) -> None:
    """With too few rows for two warpgroups, Triton lets both compute and store the whole tile."""
    k = 208
    a, b = rng.standard_normal((128, k)).astype("f2"), rng.standard_normal((128, k)).astype("f2")
    c = np.full((128, 128), np.nan, "f2")
    report = run_corpus("tma_matmul_roles", 2, a, b, c, 128, k)
    check(c, a, b.T, 2.0**-11)
    assert report.races
    for race in report.races:
        assert race.space == "global"
        assert "st.global" in race.earlier.place.text and "st.global" in race.later.place.text
        assert {race.earlier.warp // 4, race.later.warp // 4} == {1, 2}


def test_attention_through_descriptors(run_corpus: Launch, rng: np.random.Generator) -> None:
    length, depth = 101, 64
    q, k, v = (rng.standard_normal((length, depth)).astype(BF16) for _ in range(3))
    o = np.full((length, depth), np.nan, BF16)
    clean(run_corpus("tma_attention", 2, q, k, v, o, depth**-0.5, length))
    x, y, z = (t.astype("f8") for t in (q, k, v))
    score = np.where(np.tri(length, dtype=bool), x @ y.T * depth**-0.5, -np.inf)
    p = np.exp(score - score.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    want, scale = p @ z, p @ np.abs(z)
    error = np.abs(o.astype("f8") - want)  # weights and results are rounded to bf16
    assert (error <= 2.0**-8 * (1.1 * scale + np.abs(want)) + 2.0**-14 * scale).all()


@pytest.mark.parametrize("how", [{"seed": 1}, {"seed": 2}, {"checks": "late"}, {"checks": "early"}])
def test_roles_by_hand(run_corpus: Launch, rng: np.random.Generator, how: dict[str, Any]) -> None:
    m, n, k = 101, 72, 328
    a, b = rng.standard_normal((m, k)).astype("f2"), rng.standard_normal((n, k)).astype("f2")
    c = np.full((m, n), np.nan, "f2")
    clean(run_corpus("gluon_matmul_roles", (2, 2), a, b, c, k, **how))
    check(c, a, b.T, 2.0**-11)


@pytest.mark.parametrize("checks", ["all", "late"])
def test_copies_that_arrive_on_a_barrier(
    run_corpus: Launch, rng: np.random.Generator, checks: str
) -> None:
    n = 1008
    x = rng.standard_normal(n).astype("f4")
    z = np.full(n, np.nan, "f4")
    clean(run_corpus("gluon_copy_by_barrier", 2, x, z, n, checks=checks))
    np.testing.assert_array_equal(z, 2 * x)
