"""Kernels that reduce, scan and sort rows."""

# ruff: noqa: E501  (a program of the table stays one line)

import triton
import triton.language as tl
from programs import Program


@triton.jit
def softmax(x, z, columns, stride, C: tl.constexpr):
    """Each row's softmax."""
    row = tl.program_id(0)
    c = tl.arange(0, C)
    v = tl.load(x + row * stride + c, c < columns, other=-float("inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(z + row * stride + c, (e / tl.sum(e, axis=0)).to(z.dtype.element_ty), c < columns)


@triton.jit
def layer_norm(x, weight, bias, z, mean, spread, columns, eps, C: tl.constexpr):
    """z = (x - mean) / sqrt(variance + eps) · weight + bias, a row per block, in steps of C."""
    row = tl.program_id(0)
    total = tl.zeros([C], tl.float32)
    for at in range(0, columns, C):
        c = at + tl.arange(0, C)
        total += tl.load(x + row * columns + c, c < columns, other=0.0).to(tl.float32)
    m = tl.sum(total) / columns
    total = tl.zeros([C], tl.float32)
    for at in range(0, columns, C):
        c = at + tl.arange(0, C)
        v = tl.load(x + row * columns + c, c < columns, other=0.0).to(tl.float32)
        d = tl.where(c < columns, v - m, 0.0)
        total += d * d
    s = 1 / tl.sqrt(tl.sum(total) / columns + eps)
    tl.store(mean + row, m)
    tl.store(spread + row, s)
    for at in range(0, columns, C):
        c = at + tl.arange(0, C)
        v = tl.load(x + row * columns + c, c < columns, other=0.0).to(tl.float32)
        w = tl.load(weight + c, c < columns)
        b = tl.load(bias + c, c < columns)
        tl.store(z + row * columns + c, ((v - m) * s * w + b).to(z.dtype.element_ty), c < columns)


@triton.jit
def _combine(mean_a, square_a, count_a, mean_b, square_b, count_b):
    """Welford's formula for two parts."""
    delta = mean_b - mean_a
    count = count_a + count_b
    share = tl.where(count == 0.0, 0.0, count_b / count)
    return mean_a + delta * share, square_a + square_b + delta * delta * count_a * share, count


@triton.jit
def welford(x, mean, variance, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Mean and variance by a reduction over triples."""
    r = tl.program_id(0) * R + tl.arange(0, R)[:, None]
    c = tl.arange(0, C)[None, :]
    inside = (r < rows) & (c < columns)
    v = tl.load(x + r * columns + c, inside, other=0.0)
    m, s, n = tl.reduce((v, v * 0.0, inside.to(tl.float32)), 1, _combine)
    i = tl.program_id(0) * R + tl.arange(0, R)
    tl.store(mean + i, m, i < rows)
    tl.store(variance + i, s / n, i < rows)


@triton.jit
def extremes(x, most, where, least, first, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Maximum and minimum of each row with their places."""
    r = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.arange(0, C)
    inside = (r[:, None] < rows) & (c[None, :] < columns)
    v = tl.load(x + r[:, None] * columns + c[None, :], inside, other=-float("inf"))
    high, at = tl.max(v, 1, return_indices=True)
    tl.store(most + r, high, r < rows)
    tl.store(where + r, at, r < rows)
    v = tl.where(inside, v, float("inf"))
    tl.store(least + r, tl.min(v, 1), r < rows)
    tl.store(first + r, tl.argmin(v, 1), r < rows)


@triton.jit
def column_sums(x, z, bits, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Sums along the first axis, and the exclusive or of integers."""
    c = tl.program_id(0) * C + tl.arange(0, C)
    total = tl.zeros([C], tl.float32)
    parity = tl.zeros([C], tl.int32)
    for at in range(0, rows, R):
        r = at + tl.arange(0, R)
        inside = (r[:, None] < rows) & (c[None, :] < columns)
        v = tl.load(x + r[:, None] * columns + c[None, :], inside, other=0.0)
        total += tl.sum(v, 0)
        parity ^= tl.xor_sum(v.to(tl.int32), 0)
    tl.store(z + c, total, c < columns)
    tl.store(bits + c, parity, c < columns)


@triton.jit
def _recurrence(a1, b1, a2, b2):
    """y ← a y + b, composed."""
    return a1 * a2, b1 * a2 + b2


@triton.jit
def scans(x, sums, products, states, backward, columns, C: tl.constexpr):
    """Running sums, products, linear recurrences, and sums from the end."""
    row = tl.program_id(0)
    c = tl.arange(0, C)
    at = row * columns + c
    v = tl.load(x + at, c < columns, other=0.0)
    tl.store(sums + at, tl.cumsum(v, 0), c < columns)
    tl.store(products + at, tl.cumprod(tl.where(c < columns, v, 1.0), 0), c < columns)
    _, state = tl.associative_scan((tl.full([C], 0.5, tl.float32), v), 0, _recurrence)
    tl.store(states + at, state, c < columns)
    tl.store(backward + at, tl.cumsum(v, 0, reverse=True), c < columns)


@triton.jit
def sort(x, up, down, top, columns, C: tl.constexpr, K: tl.constexpr):
    """Each row sorted both ways, and its K largest."""
    row = tl.program_id(0)
    c = tl.arange(0, C)
    v = tl.load(x + row * columns + c, c < columns, other=float("inf"))
    tl.store(up + row * columns + c, tl.sort(v), c < columns)
    v = tl.where(c < columns, v, -float("inf"))
    tl.store(down + row * columns + c, tl.sort(v, descending=True), c < columns)
    tl.store(top + row * K + tl.arange(0, K), tl.topk(v, K))


_ROWS = "rows:i32 columns:i32"
_NORM = "weight:*fp32:16 bias:*fp32:16 {}:16 mean:*fp32:16 spread:*fp32:16 columns:i32 eps:fp32"
_SCANS = "x:*fp32:16 sums:*fp32:16 products:*fp32:16 states:*fp32:16 backward:*fp32:16 columns:i32"
PROGRAMS = [
    Program("softmax", softmax, 80, "x:*fp32:16 z:*fp32:16 columns:i32 stride:i32:16", {"C": 1024}),
    Program("softmax_one_warp", softmax, 80, "x:*fp16:16 z:*fp16:16 columns:i32 stride:i32", {"C": 128}, {"num_warps": 1}),
    Program("softmax_wide", softmax, 90, "x:*bf16:16 z:*bf16:16 columns:i32 stride:i32:16", {"C": 4096}, {"num_warps": 8}),
    Program("layer_norm_f16", layer_norm, 80, "x:*fp16:16 " + _NORM.format("z:*fp16"), {"C": 256}),
    Program("layer_norm_bf16", layer_norm, 90, "x:*bf16:16 " + _NORM.format("z:*bf16"), {"C": 512}),
    Program("welford", welford, 80, "x:*fp32:16 mean:*fp32:16 variance:*fp32:16 " + _ROWS, {"R": 16, "C": 128}),
    Program("extremes", extremes, 80, "x:*fp32:16 most:*fp32:16 where:*i32:16 least:*fp32:16 first:*i32:16 " + _ROWS, {"R": 8, "C": 256}),
    Program("column_sums", column_sums, 80, "x:*fp32:16 z:*fp32:16 bits:*i32:16 " + _ROWS, {"R": 32, "C": 64}),
    Program("scans", scans, 80, _SCANS, {"C": 512}),
    Program("sort", sort, 80, "x:*fp32:16 up:*fp32:16 down:*fp32:16 top:*fp32:16 columns:i32", {"C": 128, "K": 8}),
]  # fmt: skip
