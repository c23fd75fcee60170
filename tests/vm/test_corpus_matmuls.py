"""Matrix products of the Triton corpus, on fresh inputs of odd sizes, against NumPy in float64.

A product of exact inputs may be off by one rounding of f32 per term and per sum, relative to the
sum of the magnitudes (any order of summation), and by one rounding of the result's type.
"""

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
BF16, E4M3, E5M2 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
HALF_UNITS = {"fp16": 2.0**-11, "bf16": 2.0**-8, "fp32": 2.0**-24, "fp64": 2.0**-53, "i32": 0.0}
DTYPES = {
    "fp16": np.float16, "bf16": BF16, "fp32": np.float32, "fp64": np.float64, "i32": np.int32,
    "i8": np.int8, "fp8e4nv": E4M3, "fp8e5": E5M2,
}  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def draw(rng: np.random.Generator, shape: tuple[int, ...], type: str, pad: int = 0) -> Array:
    """A matrix whose rows are `pad` elements longer than what is used, poisoned there."""
    whole = (*shape[:-1], shape[-1] + pad)
    if type == "i8":
        return rng.integers(-128, 128, whole).astype("i1")
    x = rng.standard_normal(whole)
    x[..., shape[-1] :] = np.nan
    return x.astype(DTYPES[type])


def check(got: Array, a: Array, b: Array, out: str, *, each: float = 2.0**-23) -> None:
    """`each`: the relative error per term, of products and sums together."""
    x, y = a.astype("f8"), b.astype("f8")
    want = x @ y
    scale = np.abs(x) @ np.abs(y)
    terms = 1 if out in ("i32",) else a.shape[-1]
    bound = (terms if each < 2**-20 else 4) * each * scale + HALF_UNITS[out] * np.abs(want)
    bound = bound * (out != "i32") + (2.0**-24 if out == "fp16" else 0)
    error = np.abs(got.astype("f8") - want)
    assert (error <= bound).all(), (error / np.maximum(bound, 1e-300)).max()


def clean(report: vm.Report, allowed: tuple[str, ...] = ()) -> None:
    """No races; of warnings only one that Triton's code for sm_90 deserves: it leaves out the proxy
    fence between cp.async and wgmma.
    """
    assert report.races == []
    assert {warning.kind for warning in report.warnings} <= {"missing proxy fence", *allowed}


def product(
    run_corpus: Launch, rng: np.random.Generator, name: str, types: tuple[str, ...],
    sizes: tuple[int, int, int], tiles: tuple[int, int], *, transposed: bool = False,
    each: float = 2.0**-23, **how: Any,
) -> None:  # fmt: skip
    (m, n, k), (left, right, out) = sizes, (types[0], types[-2], types[-1])
    a = draw(rng, (m, k), left, pad=16)
    b = draw(
        rng, (n, k) if transposed else (k, n), right, pad=-(n if not transposed else k) % 16 + 16
    )
    c = np.full((m, n + -n % 16), 77, DTYPES[out])
    grid = (-(-m // tiles[0]), -(-n // tiles[1]))
    strides = [x.strides[0] // x.itemsize for x in (a, b, c)]
    clean(run_corpus(name, grid, a, b, c, m, n, k, *strides, **how))
    used = b[:, :k].T if transposed else b[:, :n]
    check(c[:, :n], a[:, :k], used, out, each=each)
    assert (c[:, n:] == 77).all()


CASES: list[tuple[str, tuple[str, ...], tuple[int, int, int], tuple[int, int], dict[str, Any]]] = [
    ("matmul_f16_sm80_stages1", ("fp16", "fp16"), (101, 83, 112), (64, 64), {}),
    ("matmul_f16_sm80_stages3", ("fp16", "fp16"), (101, 83, 144), (64, 64), {}),
    ("matmul_f16_sm80_stages4", ("fp16", "fp16"), (70, 130, 208), (64, 64), {}),
    ("matmul_bf16_sm90_stages1", ("bf16", "bf16"), (101, 203, 144), (64, 128), {}),
    ("matmul_bf16_sm90_stages3", ("bf16", "bf16"), (101, 203, 240), (64, 128), {}),
    ("matmul_bf16_sm90_stages4", ("bf16", "bf16"), (61, 131, 336), (64, 128), {}),
    ("matmul_bf16_sm89", ("bf16", "bf16"), (150, 75, 112), (128, 64), {}),
    ("matmul_f16_unaligned", ("fp16", "fp32"), (45, 51, 87), (32, 32), {}),
    ("matmul_f16_sm90_transposed", ("fp16", "fp32"), (131, 77, 208), (128, 64), {"transposed": True}),
    ("matmul_e4m3_sm89", ("fp8e4nv", "fp32"), (75, 101, 208), (64, 64), {"transposed": True}),
    ("matmul_e4m3_sm90", ("fp8e4nv", "fp32"), (75, 101, 400), (64, 64), {"transposed": True}),
    ("matmul_e5m2_sm90", ("fp8e5", "fp16"), (75, 101, 208), (64, 64), {"transposed": True}),
    ("matmul_e5m2_sm80", ("fp8e5", "fp32"), (75, 101, 208), (64, 64), {"transposed": True}),
    ("matmul_s8_sm80", ("i8", "i32"), (75, 101, 208), (64, 64), {"transposed": True}),
    ("matmul_s8_sm90", ("i8", "i32"), (75, 101, 400), (64, 64), {"transposed": True}),
    # tf32 keeps 11 bits of each factor: rounded by Triton or cut by the hardware's wgmma
    ("matmul_tf32_sm80", ("fp32", "fp32"), (75, 101, 112), (64, 64), {"each": 2.0**-10}),
    ("matmul_tf32_sm90", ("fp32", "fp32"), (75, 101, 112), (64, 64), {"each": 2.0**-9, "transposed": True}),
    # three products of parts of 11 (8) bits leave 2^-22 (2^-16) of a term
    ("matmul_tf32x3", ("fp32", "fp32"), (45, 70, 80), (32, 64), {"each": 2.0**-21}),
    ("matmul_bf16x3", ("fp32", "fp32"), (75, 40, 80), (64, 32), {"each": 2.0**-14}),
    ("matmul_f32_exact", ("fp32", "fp32"), (45, 51, 48), (32, 32), {}),
    ("matmul_f16_one_warp", ("fp16", "fp32"), (21, 35, 48), (16, 16), {}),
    ("matmul_bf16_four_blocks", ("bf16", "fp32"), (101, 203, 144), (128, 128), {}),
    ("matmul_e4m3_e5m2", ("fp8e4nv", "fp8e5", "fp32"), (75, 101, 208), (64, 64), {"transposed": True}),
    ("matmul_f64", ("fp64", "fp64"), (45, 51, 48), (32, 32), {"each": 2.0**-52}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_products(run_corpus: Launch, rng: np.random.Generator, case: Any) -> None:
    name, types, sizes, tiles, options = case
    product(run_corpus, rng, name, types, sizes, tiles, **options)


@pytest.mark.parametrize("checks", ["late", "early"])
@pytest.mark.parametrize("name", ["matmul_f16_sm80_stages4", "matmul_bf16_sm90_stages4"])
def test_pipelines_at_the_extremes_of_asynchrony(
    run_corpus: Launch, rng: np.random.Generator, name: str, checks: str
) -> None:
    case = next(case for case in CASES if case[0] == name)
    product(run_corpus, rng, *case[:2], (33, 65, 272), case[3], checks=checks)


@pytest.mark.parametrize("seed", range(1, 4))
def test_pipelines_under_other_seeds(
    run_corpus: Launch, rng: np.random.Generator, seed: int
) -> None:
    product(
        run_corpus,
        rng,
        "matmul_f16_sm80_stages3",
        ("fp16", "fp16"),
        (65, 63, 176),
        (64, 64),
        seed=seed,
    )


@pytest.mark.parametrize(("name", "tile"), [("sums_f16", (64, 32)), ("sums_f16_sm90", (64, 64))])
def test_sums_in_f16(
    run_corpus: Launch, rng: np.random.Generator, name: str, tile: tuple[int, int]
) -> None:
    m, n, k = 75, 48, 96
    a, b = (rng.integers(-3, 4, s).astype("f2") for s in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, "f2")
    grid = (-(-m // tile[0]), -(-n // tile[1]))
    # With sums in f16 Triton unpacks the accumulators before it waits for them.
    clean(run_corpus(f"matmul_f16_{name}", grid, a, b, c, m, n, k, k, n, n), ("product in flight",))
    np.testing.assert_array_equal(c, a.astype("f4") @ b.astype("f4"))  # below 2,048: exact


@pytest.mark.parametrize(
    ("name", "type", "out", "tile", "parts"),
    [
        ("matmul_split_f32", "bf16", "fp32", (32, 64), 3),
        ("matmul_split_f16", "fp16", "fp16", (64, 64), 2),
    ],
)
def test_split_sums_are_added_atomically(
    run_corpus: Launch,
    rng: np.random.Generator,
    name: str,
    type: str,
    out: str,
    tile: Any,
    parts: int,
) -> None:
    m, n, k = 75, 80, 208
    a = rng.integers(-2, 3, (m, k)).astype(DTYPES[type])
    b = rng.integers(-2, 3, (k, n)).astype(DTYPES[type])
    c = np.zeros((m, n), DTYPES[out])
    grid = (-(-m // tile[0]), -(-n // tile[1]), parts)
    clean(run_corpus(name, grid, a, b, c, m, n, k, k, n, n))
    np.testing.assert_array_equal(c.astype("f4"), a.astype("f4") @ b.astype("f4"))


@pytest.mark.parametrize(("arch", "tile"), [("sm80", (32, 64)), ("sm90", (64, 64))])
def test_products_with_weights_of_four_bits(
    run_corpus: Launch, rng: np.random.Generator, arch: str, tile: tuple[int, int]
) -> None:
    m, n, k = 37, 80, 192
    a = draw(rng, (m, k), "fp16")
    digits = rng.integers(0, 16, (k, n)).astype("u4")
    shifts = (4 * np.arange(8, dtype="u4"))[None, :, None]
    q = np.bitwise_or.reduce(digits.reshape(k // 8, 8, n) << shifts, axis=1).view("i4")
    scale = rng.uniform(0.01, 0.1, (k // 64, n)).astype("f2")
    zero = rng.integers(0, 16, (k // 64, n)).astype("f2")
    c = np.full((m, n), np.nan, "f2")
    clean(
        run_corpus(
            f"matmul_u4_{arch}", (-(-m // tile[0]), -(-n // tile[1])), a, q, scale, zero, c, m, n, k
        )
    )
    weights = (digits.astype("f2") - zero.repeat(64, axis=0)) * scale.repeat(64, axis=0)
    check(c, a, weights, "fp16")


@pytest.mark.parametrize(
    ("name", "type", "depth", "rows", "causal"),
    [
        ("attention_f16_sm80", "fp16", 64, 64, True),
        ("attention_bf16_sm90", "bf16", 64, 128, True),
        ("attention_full_sm90", "fp16", 128, 64, False),
    ],
)
def test_attention(
    run_corpus: Launch,
    rng: np.random.Generator,
    name: str,
    type: str,
    depth: int,
    rows: int,
    causal: bool,
) -> None:
    heads, length = 2, 101
    q, k, v = (draw(rng, (heads, length, depth), type) for _ in range(3))
    o = np.full_like(q, np.nan)
    scale = depth**-0.5
    clean(run_corpus(name, (-(-length // rows), heads), q, k, v, o, scale, length))
    check_attention(o, q, k, v, scale, HALF_UNITS[type], causal=causal)


def check_attention(
    o: Array, q: Array, k: Array, v: Array, scale: float, unit: float, *, causal: bool
) -> None:
    """The weights are rounded to the narrow type once, the result once; f32 is far finer."""
    x, y, z = (t.astype("f8") for t in (q, k, v))
    score = x @ y.swapaxes(-1, -2) * scale
    if causal:
        score = np.where(np.tri(score.shape[-1], dtype=bool), score, -np.inf)
    p = np.exp(score - score.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    want = p @ z
    bound = unit * (p @ np.abs(z)) * 1.1 + unit * np.abs(want) + 2.0**-14 * (p @ np.abs(z))
    error = np.abs(o.astype("f8") - want)
    assert (error <= bound).all(), (error / bound).max()


def test_batched_products(run_corpus: Launch, rng: np.random.Generator) -> None:
    a, b = draw(rng, (4, 16, 32), "fp16"), draw(rng, (4, 32, 16), "fp16")
    c = np.full((4, 16, 16), np.nan, "f4")
    clean(run_corpus("batched", 1, a, b, c))
    check(c, a, b, "fp32")


def test_microscaled_products(run_corpus: Launch, rng: np.random.Generator) -> None:
    m, n, k = 64, 64, 128
    a = draw(rng, (m, k), "fp8e4nv")
    digits = rng.integers(0, 16, (k, n)).astype("u1")
    packed = digits[0::2] | digits[1::2] << 4
    sa, sb = (rng.integers(120, 134, (s, k // 32)).astype("u1") for s in (m, n))
    c = np.full((m, n), np.nan, "f4")
    clean(run_corpus("matmul_scaled_sm90", 1, a, sa, packed, sb, c))
    wide = a.astype("f8") * np.exp2(sa.astype("f8") - 127).repeat(32, axis=1)
    table = digits.view(ml_dtypes.float4_e2m1fn).astype("f8")
    check(c, wide, table * np.exp2(sb.astype("f8") - 127).repeat(32, axis=1).T, "fp32")
