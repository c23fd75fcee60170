"""Whole kernels against NumPy: elementwise chains, row reductions, gathers, atomics, scans."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import tilewright as tw
from tilewright.ir.types import bool_, f16, f32, i32, i64, u8
from tilewright.tests.frontend.running import poisoned, run

RNG = np.random.default_rng(20)


@tw.inline
def gelu(x):
    """x Φ(x)"""
    return 0.5 * x * (1.0 + tw.erf(x * 0.7071067811865476))


@tw.inline
def split(x, half: tw.Static):
    return x[:half], x[half:]


def chain(x: tw.Tensor, bias: tw.Tensor, y: tw.Tensor, scale: tw.Scalar, *, b: tw.Static = 16):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    t = tw.load(x, i * b, b) * scale + tw.load(bias, i * b, b)
    tw.store(y, i * b, gelu(t))


def test_a_fused_chain_is_gelu_of_the_affine_map():
    from math import erf

    x, bias = RNG.standard_normal(37), RNG.standard_normal(37)
    y = run(chain, x=(f32, x), bias=(f32, bias), y=(f32, poisoned(37)), scale=(f32, 1.5))["y"]
    t = np.float32(x).astype(float) * 1.5 + np.float32(bias)
    want = [0.5 * v * (1 + erf(v / np.sqrt(2))) for v in t]
    # Six roundings to f32 of values up to |t| + 1.
    np.testing.assert_allclose(y, want, rtol=0, atol=6 * 2**-24 * (1 + np.abs(t).max()))


def softmax(x: tw.Tensor, y: tw.Tensor, *, bn: tw.Static):
    row = tw.grid(x.shape[0])
    t = tw.load(x, (row, 0), (1, bn), other=-float("inf")).cast(tw.f32)
    e = tw.exp(t - t.max(axis=1, keep=True))
    tw.store(y, (row, 0), (e / e.sum(axis=1, keep=True)).cast(y.dtype))


def test_softmax_of_rows_that_do_not_fill_the_tile():
    x = RNG.standard_normal((5, 13))
    y = run(softmax, x=(f16, x), y=(f32, poisoned(5, 13)), bn=16)["y"]
    x = np.float16(x).astype(float)
    want = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(y, want / want.sum(1, keepdims=True), rtol=40 * 2**-24)


def softmax_by_vectors(x: tw.Tensor, y: tw.Tensor, *, bn: tw.Static):
    row = tw.grid(x.shape[0])
    t = tw.load(x, (row, 0), bn, other=-float("inf"))
    e = tw.exp(t - tw.max(t))
    tw.store(y, (row, 0), e / tw.sum(e))


def test_a_load_may_lack_leading_axes_and_full_reductions_give_scalars():
    x = RNG.standard_normal((3, 11))
    y = run(softmax_by_vectors, x=(f32, x), y=(f32, poisoned(3, 11)), bn=16)["y"]
    want = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(y, want / want.sum(1, keepdims=True), rtol=40 * 2**-24, atol=1e-7)


def histogram(x: tw.Tensor, counts: tw.Tensor, total: tw.Tensor, *, b: tw.Static = 8):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    at = i * b + tw.arange(b)
    bins = tw.gather(x, at)
    tw.atomic_add(counts, bins.cast(tw.i32), 1, mask=at < x.shape[0])
    tw.atomic_add(total, 0, 1)


def test_a_histogram_counts_with_atomics():
    x = RNG.integers(0, 7, 53)
    found = run(histogram, x=(u8, x), counts=(i32, np.zeros(7)), total=(i32, np.zeros(1)))
    assert (found["counts"] == np.bincount(x, minlength=7)).all()
    assert found["total"][0] == -(-53 // 8)


def embed(ids: tw.Tensor, table: tw.Tensor, out: tw.Tensor, *, b: tw.Static, d: tw.Static):
    i = tw.grid(tw.cdiv(ids.shape[0], b))
    rows = tw.load(ids, i * b, b)
    tw.store(out, (i * b, 0), tw.load(table, (rows, 0), (b, d)))


def test_an_index_tile_gathers_rows_and_what_is_out_of_range_is_zero():
    table = RNG.integers(-9, 9, (6, 5))
    ids = np.array([5, 0, 3, 3, -1, 6, 2])
    out = run(embed, ids=(i64, ids), table=(f32, table), out=(f32, poisoned(7, 5)), b=4, d=8)["out"]
    want = np.where(((ids >= 0) & (ids < 6))[:, None], table[np.clip(ids, 0, 5)], 0)
    assert (out == want).all()


def scatter_rows(x: tw.Tensor, to: tw.Tensor, y: tw.Tensor, *, b: tw.Static, d: tw.Static):
    tile = tw.load(x, (0, 0), (b, d))
    rows = tw.load(to, 0, b)
    tw.scatter(y, (rows[:, None], tw.arange(d)), tile, mask=(tile > 0.0) & (rows < 4)[:, None])


def test_scatter_broadcasts_its_indices_and_obeys_its_mask():
    x, to = RNG.integers(-3, 4, (4, 3)), np.array([2, 0, 3, 1])
    y = run(scatter_rows, x=(f32, x), to=(i32, to), y=(f32, np.full((4, 3), 9.0)), b=4, d=3)["y"]
    want = np.full((4, 3), 9.0)
    want[to] = np.where(x > 0, x, 9.0)
    assert (y == want).all()


def batched_transpose(x: tw.Tensor, y: tw.Tensor, *, b: tw.Static = 4):
    n, i, j = tw.grid(x.shape[0], tw.cdiv(x.shape[1], b), tw.cdiv(x.shape[2], b))
    tw.store(y[n], (j * b, i * b), tw.load(x[n], (i * b, j * b), (b, b)).T)


def test_views_of_batches():
    x = RNG.integers(-9, 9, (2, 5, 7))
    y = run(batched_transpose, x=(f32, x), y=(f32, poisoned(2, 7, 5)))["y"]
    assert (y == x.transpose(0, 2, 1)).all()


def ragged_sum(x: tw.Tensor, offsets: tw.Tensor, y: tw.Tensor, *, b: tw.Static = 4):
    g = tw.grid(offsets.shape[0] - 1)
    rows = tw.rows(x, offsets[g], offsets[g + 1])
    acc = tw.zeros((b,), tw.f32)
    for k in tw.range(0, rows.shape[0], b):
        acc += tw.load(rows, k, b)
    y[g] = acc.sum()


def test_bounds_are_those_of_a_view_of_rows():
    offsets = np.array([0, 3, 3, 10, 11])
    x = RNG.integers(-9, 9, 11)
    y = run(ragged_sum, x=(f32, x), offsets=(i32, offsets), y=(f32, poisoned(4)))["y"]
    assert (y == [x[a:b].sum() for a, b in pairwise(offsets)]).all()


def sliced_rows(x: tw.Tensor, y: tw.Tensor, low: tw.Scalar):
    tw.store(y, 0, tw.load(x[low:], 0, 8) + tw.load(x[:low], 0, 8))


def test_a_slice_of_a_tensor_is_a_view_of_rows():
    x = np.arange(1, 8)
    y = run(sliced_rows, x=(i32, x), y=(i32, np.zeros(8)), low=(i32, 3))["y"]
    assert (y == [4 + 1, 5 + 2, 6 + 3, 7, 0, 0, 0, 0]).all()


def collatz(start: tw.Tensor, steps: tw.Tensor):
    i = tw.grid(start.shape[0])
    n = start[i]
    count = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        count += 1
        if count >= 50:
            break
    steps[i] = count


def test_while_break_and_nested_if_carry_scalars():
    start = [1, 2, 7, 27, 6]
    steps = run(collatz, start=(i32, start), steps=(i32, np.full(5, -1)))["steps"]
    assert steps.tolist() == [0, 1, 16, 50, 8]


def first_above(x: tw.Tensor, y: tw.Tensor, limit: tw.Scalar):
    found = -1
    total = 0.0
    for i in tw.range(x.shape[0]):
        value = x[i]
        if value < 0.0:
            continue
        total += value
        if total > limit:
            found = i
            break
    y[0] = found
    y[1] = total.cast(tw.i32)


def test_break_and_continue_carry_what_they_have():
    x = [3, -5, 4, -1, 6, 2]
    y = run(first_above, x=(f32, x), y=(i32, np.zeros(2)), limit=(f32, 8.5))["y"]
    assert y.tolist() == [4, 13]
    y = run(first_above, x=(f32, x), y=(i32, np.zeros(2)), limit=(f32, 99.0))["y"]
    assert y.tolist() == [-1, 15]


@dataclass(frozen=True)
class Quantized:
    """Codes and scales, with a static group."""

    codes: tw.Tensor
    scales: tw.Tensor
    group: int


def dequantize(q: Quantized, y: tw.Tensor):
    i = tw.grid(q.scales.shape[0])
    tw.store(y, i * q.group, tw.load(q.codes, i * q.group, q.group).cast(tw.f32) * q.scales[i])


def test_a_dataclass_argument_comes_apart_and_keeps_its_statics():
    codes, scales = RNG.integers(0, 15, 10), RNG.integers(1, 5, 3)
    q = {"codes": (u8, codes), "scales": (f32, scales), "group": 4}
    y = run(dequantize, q=q, y=(f32, poisoned(10)))["y"]
    assert (y == codes * np.repeat(scales, 4)[:10]).all()


def swiglu(x: tw.Tensor, y: tw.Tensor, *, n: tw.Static, activation: tw.Static):
    left, right = split(tw.load(x, 0, 2 * n), half=n)
    if activation is not None:
        left = activation(left)
    tw.store(y, 0, left * right)


def test_inline_functions_are_arguments_and_return_tuples():
    x = RNG.integers(-4, 5, 10)
    y = run(swiglu, x=(f32, x), y=(f32, poisoned(5)), n=5, activation=None)["y"]
    assert (y == x[:5] * x[5:]).all()
    relu = tw.inline(_relu)
    y = run(swiglu, x=(f32, x), y=(f32, poisoned(5)), n=5, activation=relu)["y"]
    assert (y == np.maximum(x[:5], 0) * x[5:]).all()


def _relu(x):
    return tw.maximum(x, 0.0)


def layer_norm(x: tw.Tensor, y: tw.Tensor, weight: tw.Tensor | None, *, bn: tw.Static, eps=1e-5):
    row = tw.grid(x.shape[0])
    n = x.shape[1]
    at = tw.arange(bn)
    t = tw.load(x, (row, 0), bn)
    mean = t.sum() / n.cast(tw.f32)
    centred = tw.where(at < n, t - mean, 0.0)
    scale = tw.rsqrt((centred * centred).sum() / n.cast(tw.f32) + eps)
    out = centred * scale
    if weight is not None:
        out = out * tw.load(weight, 0, bn)
    tw.store(y, (row, 0), out)


def test_an_optional_argument_is_none():
    x, w = RNG.standard_normal((3, 13)), RNG.standard_normal(13)
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    y = run(layer_norm, x=(f32, x), y=(f32, poisoned(3, 13)), weight=None, bn=16)["y"]
    np.testing.assert_allclose(y, want, atol=60 * 2**-24 * np.abs(want).max())
    y = run(layer_norm, x=(f32, x), y=(f32, poisoned(3, 13)), weight=(f32, w), bn=16)["y"]
    np.testing.assert_allclose(y, want * w, atol=60 * 2**-24 * np.abs(want * w).max())


def masks(x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, 0, 8)
    even = (t & 1) == 0
    some = tw.any(even) and not tw.all(even)
    big = even & ~(t > 4) | (t == 7)
    tw.store(y, 0, tw.where(big, t << 1, -t) if some else t)


def test_masks_join_elementwise_and_conditions_by_words():
    x = np.arange(8)
    y = run(masks, x=(i32, x), y=(i32, np.zeros(8)))["y"]
    assert (y == np.where((x % 2 == 0) & (x <= 4) | (x == 7), x * 2, -x)).all()
    y = run(masks, x=(i32, x * 2), y=(i32, np.zeros(8)))["y"]
    assert (y == x * 2).all()


def bools(x: tw.Tensor, y: tw.Tensor):
    tw.store(y, 0, tw.load(x, 0, 4).cast(tw.i32) + tw.ones(4, tw.bool).cast(tw.i32))


def test_bools_are_cast_before_arithmetic():
    y = run(bools, x=(bool_, [True, False, True]), y=(i32, np.zeros(4)))["y"]
    assert y.tolist() == [2, 1, 2, 1]
