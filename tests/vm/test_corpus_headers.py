"""Programs that use CUDA's C++ headers as user code does: `mma.h`, cooperative groups, libcu++, CUB
and CuTe, compiled by NVRTC.
"""

# ruff: noqa: E501  (cases stay one line each)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

Text = Callable[[str], str]
Array = np.ndarray[Any, Any]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def run(ptx: str, entry: str, grid: int, block: int, *args: Any, **how: Any) -> vm.Report:
    report = vm.run(ptx, entry, grid, block, list(args), **how)
    assert report.races == [] and report.warnings == []
    return report


PRODUCTS: list[tuple[str, Any, Any, tuple[int, int, int], int]] = [
    ("f16_to_f32", np.float16, np.float32, (16, 16, 16), 2),
    ("f16_to_f16", np.float16, np.float16, (16, 16, 16), 2),
    ("f16_wide", np.float16, np.float32, (8, 32, 16), 2),
    ("f16_tall", np.float16, np.float32, (32, 8, 16), 2),
    ("f16_turned", np.float16, np.float32, (16, 16, 16), 2),
    ("bf16_to_f32", ml_dtypes.bfloat16, np.float32, (16, 16, 16), 2),
    ("s8_to_s32", np.int8, np.int32, (16, 16, 16), 2),
    ("u8_to_s32", np.uint8, np.int32, (32, 8, 16), 2),
    ("f64_to_f64", np.float64, np.float64, (8, 8, 4), 2),
    ("tf32_to_f32", np.float32, np.float32, (16, 16, 8), 2),
]


@pytest.mark.parametrize("case", PRODUCTS, ids=[case[0] for case in PRODUCTS])
def test_fragments_multiply(corpus_ptx: Text, rng: np.random.Generator, case: Any) -> None:
    name, dtype, out, (m, n, k), factor = case
    low = 0 if dtype == np.uint8 else -9
    a, b = rng.integers(low, 9, (m, k)), rng.integers(low, 9, (k, n))
    c = rng.integers(-50, 50, (m, n))
    d = np.full((m, n), 77, out)
    left, right = (a.T, b) if name == "f16_turned" else (a, b.T)
    factors = (np.ascontiguousarray(x.astype(dtype)) for x in (left, right))
    run(corpus_ptx("products"), name, 1, 32, *factors, c.astype(out), d)
    np.testing.assert_array_equal(d.astype("f8"), factor * (a @ b + c))


def test_fragments_of_less_than_a_byte(corpus_ptx: Text, rng: np.random.Generator) -> None:
    ptx = corpus_ptx("products")
    a, b = rng.integers(-8, 8, (8, 32)), rng.integers(-8, 8, (32, 8))
    c, d = rng.integers(-50, 50, (8, 8)).astype("i4"), np.full((8, 8), 77, "i4")
    digits = [np.ascontiguousarray(x & 15).reshape(8, 4, 8) for x in (a, b.T)]
    words = [(x << 4 * np.arange(8)).sum(-1).astype("u4") for x in digits]
    run(ptx, "s4_to_s32", 1, 32, *words, c, d)
    np.testing.assert_array_equal(d, a @ b + c)
    a, b = (rng.integers(0, 2, (8, 128), dtype="u1") for _ in range(2))
    x, y = np.full((2, 8, 8), 77, "i4")
    words = [np.packbits(v, axis=1, bitorder="little").view("u4") for v in (a, b)]
    run(ptx, "b1_to_s32", 1, 32, *words, x, y)
    np.testing.assert_array_equal(x, (a[:, None] ^ b[None]).sum(-1))
    np.testing.assert_array_equal(y, (a[:, None] & b[None]).sum(-1))


def test_tiles_of_a_block(corpus_ptx: Text, rng: np.random.Generator) -> None:
    n = 333
    x = rng.integers(0, 100, n).astype("i4")
    o = np.full((8, n), 77, "i4")
    run(corpus_ptx("groups"), "tiles", 3, 128, x, o, n)
    v = np.zeros(384, "i4")
    v[:n] = x
    eights, warps = v.reshape(-1, 8), v.reshape(-1, 32)
    lane = np.arange(384)
    kin = (warps[:, :, None] & 3 == warps[:, None, :] & 3).sum(-1)
    want = [
        eights.sum(1).repeat(8), warps.max(1).repeat(32), (eights.cumsum(1) - eights).ravel(), warps.cumsum(1).ravel(),
        np.where(lane % 8 < 7, np.roll(v, -1), -1), (eights > 90).any(1).repeat(8), kin.ravel(), lane // 8 % 16,
    ]  # fmt: skip
    np.testing.assert_array_equal(o, [row[:n] for row in want])


def test_groups_of_whoever_is_there(corpus_ptx: Text, rng: np.random.Generator) -> None:
    n = 251
    x = rng.integers(0, 1000, n).astype("i4")
    o, count = np.full(2 * n, 77, "i4"), np.zeros(1, "i4")
    run(corpus_ptx("groups"), "coalesced", 4, 64, x, o, count, n)
    odd = x[x % 2 == 1]
    assert count[0] == len(odd)
    np.testing.assert_array_equal(np.sort(o[: len(odd)]), np.sort(odd))
    for i, value in enumerate(x.tolist()):
        warp = x[i // 32 * 32 : i // 32 * 32 + 32]
        kin = (warp % 2 == 1) & (warp % 3 == value % 3)
        want = kin.sum() * 100 + kin[: i % 32].sum() if value % 2 else -1
        assert o[n + i] == want, i


@pytest.mark.parametrize("checks", ["all", "late"])
def test_copies_of_a_group(corpus_ptx: Text, rng: np.random.Generator, checks: str) -> None:
    x = rng.integers(-99, 99, 4 * 192).astype("f4")
    o = np.full((3, 64), np.nan, "f4")
    run(corpus_ptx("groups"), "copies", 3, 64, x, o, 192, shared=2 * 192 * 4, checks=checks)
    t = np.arange(192)
    for block in range(3):
        one, two = x[block * 192 :][:192], x[(block + 1) * 192 :][:192]
        want = one[191 - t] - two[(t + 7) % 192]
        np.testing.assert_array_equal(o[block], want.reshape(3, 64).sum(0))


@pytest.mark.parametrize("seed", range(2))
def test_clusters_read_and_add_in_each_others_memory(
    corpus_ptx: Text, rng: np.random.Generator, seed: int
) -> None:
    x = rng.integers(-99, 99, (2, 4, 64)).astype("i4")
    o = np.full(8 * 64 + 2, 7777, "i4")
    run(corpus_ptx("clusters"), "ring", 8, 64, x, o, cluster=(4, 1, 1), seed=seed)
    np.testing.assert_array_equal(o[:512].reshape(x.shape), np.roll(x, -1, axis=1)[:, :, ::-1])
    np.testing.assert_array_equal(o[512:], x.sum(axis=(1, 2)))


@pytest.mark.parametrize("how", [{"seed": 1}, {"checks": "late"}, {"checks": "early"}])
def test_pipelines_of_the_library(
    corpus_ptx: Text, rng: np.random.Generator, how: dict[str, Any]
) -> None:
    x = rng.integers(-99, 99, (7, 256)).astype("f4")
    o = np.full(256, np.nan, "f4")
    run(corpus_ptx("clusters"), "rows", 1, 256, x, o, 7, **how)
    want = np.zeros(256)
    for row in x:
        want = want / 2 + row[::-1]
    np.testing.assert_array_equal(o, want)


@pytest.mark.parametrize("how", [{"seed": 1}, {"checks": "late"}, {"checks": "early"}])
def test_bulk_copies_of_the_library(
    corpus_ptx: Text, rng: np.random.Generator, how: dict[str, Any]
) -> None:
    x = rng.integers(-99, 99, 3 * 512).astype("i4")
    o = np.full_like(x, 7777)
    run(corpus_ptx("clusters"), "bulk", 3, 96, x, o, **how)
    np.testing.assert_array_equal(o, 3 * x + 1)


@pytest.mark.parametrize("seed", range(2))
def test_messages_between_blocks(corpus_ptx: Text, rng: np.random.Generator, seed: int) -> None:
    x = rng.integers(-99, 99, 3 * 32).astype("i4")
    data, flag, o = np.zeros_like(x), np.zeros(3, "i4"), np.full_like(x, 7777)
    run(corpus_ptx("clusters"), "messages", 6, 32, x, data, flag, o, seed=seed)
    np.testing.assert_array_equal(o, 2 * (x + 1))


def test_atomics_of_the_library(corpus_ptx: Text) -> None:
    wide = np.zeros(1, [("a", "f8"), ("b", "i4"), ("c", "i4")])
    most, total, narrow = np.zeros(1, "u8"), np.zeros(1, "f4"), np.zeros(2, "i2")
    report = vm.run(corpus_ptx("clusters"), "atomics", 3, 64, [wide, most, total, narrow, 11])
    assert report.warnings == []
    assert wide[0].tolist() == (2.5, 3, 11)
    assert most[0] == (7 * np.arange(192) % 1000).max()
    assert total[0] == 96 and narrow.tolist() == [192, 0]


def test_scans_of_blocks(corpus_ptx: Text, rng: np.random.Generator) -> None:
    n = 1001
    x = rng.integers(-99, 99, n).astype("i4")
    o, totals = np.full(n, 7777, "i4"), np.full(3, 7777, "i4")
    run(corpus_ptx("blocks"), "scan_blocks", 3, 96, x, o, totals, n)
    for block in range(3):
        part = x[block * 384 :][:384]
        np.testing.assert_array_equal(o[block * 384 :][:384], part.cumsum() - part)
        assert totals[block] == part.sum()


def test_reductions_of_blocks(corpus_ptx: Text, rng: np.random.Generator) -> None:
    n = 333
    x = rng.integers(-999, 999, n).astype("f8")
    o = np.full((3, 2), np.nan)
    run(corpus_ptx("blocks"), "reduce_blocks", 3, 128, x, o, n)
    parts = [x[i : i + 128] for i in (0, 128, 256)]
    np.testing.assert_array_equal(o, [[p.sum(), p.max()] for p in parts])


def test_radix_sort_is_stable(corpus_ptx: Text, rng: np.random.Generator) -> None:
    keys = (rng.integers(-40, 40, (2, 320)) / 8 + 1 / 16).astype("f4")
    values = rng.permutation(640).reshape(2, 320).astype("i4")
    order = np.argsort(-keys, axis=1, kind="stable")
    want = [np.take_along_axis(a, order, axis=1) for a in (keys, values)]
    run(corpus_ptx("blocks"), "sort_blocks", 2, 64, keys, values)
    np.testing.assert_array_equal(keys, want[0])
    np.testing.assert_array_equal(values, want[1])


def test_merge_sort_and_scan_of_half_warps(corpus_ptx: Text, rng: np.random.Generator) -> None:
    x = rng.integers(-(2**62), 2**62, 192)
    s = rng.integers(-99, 99, 64).astype("i2")
    want = np.sort(x.reshape(4, 48), axis=1).ravel(), s.reshape(4, 16).cumsum(1).ravel()
    report = vm.run(corpus_ptx("blocks"), "sort_warps", 1, 64, [x, s])
    assert report.races == []
    # The merge reads one place beyond its keys, and does not use what it finds.
    assert {warning.message for warning in report.warnings} <= {
        "reads shared memory that nothing has written"
    }
    np.testing.assert_array_equal(x, want[0])
    np.testing.assert_array_equal(s, want[1])


@pytest.mark.parametrize("how", [{"seed": 1}, {"checks": "late"}, {"checks": "early"}])
@pytest.mark.parametrize("arch", ["sm80", "sm90a"])
def test_products_by_tiles_of_the_library(
    corpus_ptx: Text, rng: np.random.Generator, arch: str, how: dict[str, Any]
) -> None:
    m, n, k = 64, 128, 192
    a, b = rng.standard_normal((m, k)).astype("f2"), rng.standard_normal((n, k)).astype("f2")
    c = np.full((m, n), np.nan, "f4")
    report = vm.run(corpus_ptx(f"tiles_{arch}"), "multiply", (1, 2), 128, [a, b, c, m, n, k], **how)
    assert report.races == [] and report.warnings == []
    x, y = a.astype("f8"), b.astype("f8").T
    # One rounding of f32 per term, in any order.
    assert (np.abs(c - x @ y) <= k * 2.0**-23 * (np.abs(x) @ np.abs(y))).all()
