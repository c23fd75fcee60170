"""Kernels as users write them: attention, convolution, gather, sub-byte types, odd tiles.

Each kernel runs by its meaning, as C++ and as PTX, at odd sizes and into poisoned outputs.
"""

import math

import numpy as np
import pytest
import torch

import tilewright as tw
from tilewright.ir.packing import pack_bits

TARGETS = ("interpret", "cpu", "vm:sm_80")
NAN = float("nan")

every_target = pytest.mark.parametrize("target", TARGETS)


@tw.kernel
def argmax_rows(x: tw.Tensor, best: tw.Tensor, *, bm: tw.Static = 5, bn: tw.Static = 33):
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    top = tw.full((bm,), -float("inf"), tw.f32)
    at = tw.zeros((bm,), tw.i32)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn), other=-float("inf"))
        here = tw.max(tile, axis=1)
        columns = tw.arange(bn)[None, :] + j
        first = tw.min(tw.where(tile == here[:, None], columns, 2**31 - 1), axis=1)
        better = here > top
        at = tw.where(better, first, at)
        top = tw.where(better, here, top)
    tw.store(best, (i * bm,), at.cast(best.dtype))


@every_target
def test_argmax_through_reductions(target):
    x = torch.randn(13, 101)
    y = torch.full((13,), -7, dtype=torch.int64)
    argmax_rows(x, y, target=target)
    assert torch.equal(y, x.argmax(1)), (y, x.argmax(1))


@tw.kernel
def attention(
    q: tw.Tensor,
    k: tw.Tensor,
    v: tw.Tensor,
    o: tw.Tensor,
    scale: tw.Scalar,
    *,
    bm: tw.Static = 32,
    bn: tw.Static = 32,
    d: tw.Static = 40,
    causal: tw.Static = False,
):
    h, i = tw.grid(q.shape[0], tw.cdiv(q.shape[1], bm))
    qt = tw.load(q[h], (i * bm, 0), (bm, d))
    m = tw.full((bm,), -1e30, tw.f32)
    total = tw.zeros((bm,), tw.f32)
    acc = tw.zeros((bm, d), tw.f32)
    for j in tw.range(0, k.shape[1], bn, stages=2):
        kt = tw.load(k[h], (j, 0), (bn, d))
        vt = tw.load(v[h], (j, 0), (bn, d))
        s = tw.mma(qt, kt.T) * scale
        keys = tw.arange(bn) + j
        ok = (keys < k.shape[1])[None, :]
        if causal:
            ok = ok & (keys[None, :] <= (tw.arange(bm) + i * bm)[:, None])
        s = tw.where(ok, s, -1e30)
        new = tw.maximum(m, tw.max(s, axis=1))
        p = tw.exp(s - new[:, None])
        r = tw.exp(m - new)
        total = total * r + tw.sum(p, axis=1)
        acc = tw.mma(p.cast(q.dtype), vt, acc * r[:, None])
        m = new
    tw.store(o, (h, i * bm, 0), (acc / total[:, None]).cast(o.dtype))


def check_attention(target, dtype, causal, bm, bn, bound):
    q, k, v = (torch.randn(2, 45, 40).to(dtype) for _ in range(3))
    o = torch.full((2, 45, 40), NAN, dtype=dtype)
    attention(q, k, v, o, 1 / math.sqrt(40), causal=causal, bm=bm, bn=bn, target=target)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), is_causal=causal
    )
    assert (o.double() - wanted).norm() / wanted.norm() < bound


@every_target
def test_causal_attention_with_online_softmax(target):
    # p and o are rounded to f16, each by at most 2^-11 of a row's largest element.
    check_attention(target, torch.float16, True, 32, 32, 2 * 2.0**-11)


@every_target
def test_attention_with_tiles_of_odd_sizes(target):
    check_attention(target, torch.bfloat16, False, 48, 17, 2 * 2.0**-8)


@tw.kernel
def conv1d(x: tw.Tensor, w: tw.Tensor, y: tw.Tensor, *, taps: tw.Static = 5, bl: tw.Static = 37):
    c, i = tw.grid(x.shape[0], tw.cdiv(y.shape[1], bl))
    acc = tw.zeros((bl,), tw.f32)
    for t in tw.static_range(taps):
        acc += tw.load(x, (c, i * bl + t - taps // 2), (bl,)) * w[c, t]
    tw.store(y, (c, i * bl), acc)


@every_target
def test_convolution_reads_zeros_at_both_ends(target):
    x = torch.randn(3, 100)
    w = torch.randn(3, 5)
    y = torch.full((3, 100), NAN)
    conv1d(x, w, y, target=target)
    r = torch.nn.functional.conv1d(x[None].double(), w[:, None].double(), padding=2, groups=3)[0]
    assert (y - r).abs().max() < 1e-5


@tw.kernel
def embed(
    ids: tw.Tensor, table: tw.Tensor, out: tw.Tensor, *, bm: tw.Static = 9, bn: tw.Static = 20
):
    i, j = tw.grid(tw.cdiv(ids.shape[0], bm), tw.cdiv(table.shape[1], bn))
    rows = tw.load(ids, (i * bm,), (bm,), other=-1)
    tw.store(out, (i * bm, j * bn), tw.load(table, (rows, j * bn), (bm, bn)))


@every_target
def test_gather_of_rows_that_do_not_exist_gives_zeros(target):
    for dt in (torch.int32, torch.int64):
        ids = torch.randint(0, 50, (31,), dtype=dt)
        ids[3] = -1
        ids[5] = 50
        tab = torch.randn(50, 47)
        o = torch.full((31, 47), NAN)
        embed(ids, tab, o, target=target)
        w = torch.where(
            ((ids >= 0) & (ids < 50))[:, None], tab[ids.clamp(0, 49).long()], torch.zeros(())
        )
        assert torch.equal(o, w)


@tw.kernel
def scatter_rows(
    x: tw.Tensor, ids: tw.Tensor, out: tw.Tensor, *, bm: tw.Static = 9, bn: tw.Static = 20
):
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    rows = tw.load(ids, (i * bm,), (bm,), other=-1)
    tile = tw.load(x, (i * bm, j * bn), (bm, bn))
    cols = tw.arange(bn) + j * bn
    tw.scatter(
        out,
        (rows[:, None], cols[None, :]),
        tile,
        mask=(rows >= 0)[:, None] & (cols < x.shape[1])[None, :],
    )


@every_target
def test_scatter_of_rows_leaves_the_others(target):
    x = torch.randn(31, 47)
    ids = torch.randperm(40)[:31]
    o = torch.full((40, 47), 5.0)
    scatter_rows(x, ids, o, target=target)
    w = torch.full((40, 47), 5.0)
    w[ids] = x
    assert torch.equal(o, w)


@tw.kernel
def btrans(x: tw.Tensor, y: tw.Tensor, *, b: tw.Static = 17):
    n, i, j = tw.grid(x.shape[0], tw.cdiv(x.shape[1], b), tw.cdiv(x.shape[2], b))
    t = tw.load(x[n], (i * b, j * b), (b, b))
    tw.store(y[n], (j * b, i * b), t.T)


@every_target
def test_transposed_batches_of_every_width(target):
    for dt in (torch.float32, torch.float16, torch.int8, torch.float64, torch.bool):
        x = (torch.randn(3, 20, 33) * 10).to(dt)
        y = torch.zeros(3, 33, 20, dtype=dt)
        btrans(x, y, target=target)
        assert torch.equal(y, x.transpose(1, 2)), dt


@tw.kernel
def gemm8(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    bm: tw.Static = 32,
    bn: tw.Static = 48,
    bk: tw.Static = 32,
):
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[1], bn))
    acc = tw.zeros((bm, bn), tw.i32)
    for k in tw.range(0, a.shape[1], bk, stages=3):
        acc = tw.mma(tw.load(a, (i * bm, k), (bm, bk)), tw.load(b, (k, j * bn), (bk, bn)), acc)
    tw.store(c, (i * bm, j * bn), acc)


@every_target
def test_integer_products_are_exact(target):
    for lo, hi, dt in ((-128, 128, torch.int8), (0, 256, torch.uint8)):
        a = torch.randint(lo, hi, (35, 75), dtype=dt)
        b = torch.randint(lo, hi, (75, 51), dtype=dt)
        c = torch.full((35, 51), -1, dtype=torch.int32)
        gemm8(a, b, c, target=target)
        assert torch.equal(c.long(), a.long() @ b.long()), dt


@tw.kernel
def mixed(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    bm: tw.Static = 16,
    bn: tw.Static = 24,
    bk: tw.Static = 16,
):
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, a.shape[1], bk):
        y = tw.load(b, (j * bn, k), (bn, bk)).cast(tw.bf16)
        acc = tw.mma(tw.load(a, (i * bm, k), (bm, bk)), y.T, acc)
    tw.store(c, (i * bm, j * bn), acc.cast(tw.f16).cast(c.dtype))


@every_target
def test_casts_between_loads_and_products(target):
    a = torch.randn(21, 50).bfloat16()
    b = torch.randn(30, 50).half()
    c = torch.full((21, 30), NAN, dtype=torch.float64)
    mixed(a, b, c, target=target)
    w = a.double() @ b.bfloat16().double().T
    e = (c - w).norm() / w.norm()
    assert e < 1e-3, e


@tw.kernel
def unpack(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 3, bn: tw.Static = 17):
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    tw.store(y, (i * bm, j * bn), tw.load(x, (i * bm, j * bn), (bm, bn)).cast(y.dtype))


@every_target
def test_rows_of_sub_byte_types(target):

    for dt in ("u3", "i5", "f6_e3m2", "u7", "u1", "f4_e2m1"):
        d = getattr(tw, dt)
        codes = np.random.randint(0, 2**d.bits, (4, 29))
        rows = pack_bits(codes.astype(d.container), d.bits)
        y = torch.full((4, 29), NAN)
        unpack(tw.as_tensor(torch.tensor(rows), d, (4, 29)), y, target=target)
        w = torch.tensor(np.array(d.decode(codes.astype(d.container)), dtype=float))
        assert torch.equal(y.double(), w), (dt, y, w)


@tw.kernel
def pack(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 3, bn: tw.Static = 18):
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    tw.store(y, (i * bm, j * bn), tw.load(x, (i * bm, j * bn), (bm, bn)).cast(y.dtype))


@every_target
def test_sub_byte_rows_are_written(target):
    codes = torch.randint(0, 16, (5, 43), dtype=torch.int32)
    by = torch.zeros(5, 22, dtype=torch.uint8)
    pack(codes, tw.as_tensor(by, tw.u4, (5, 43)), target=target)
    got = torch.stack([by & 15, by >> 4], -1).reshape(5, 44)[:, :43]
    assert torch.equal(got.int(), codes)


@tw.kernel
def odd(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 17, bn: tw.Static = 33):
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    t = tw.load(x, (i * bm, j * bn), (bm, bn))
    tw.store(
        y, (i * bm, j * bn), t - tw.sum(t, axis=1, keep=True) * 0.5 + tw.max(t, axis=0)[None, :]
    )


@every_target
def test_tiles_of_odd_sizes_reduce_and_broadcast(target):
    for bm, bn in ((17, 33), (1, 1), (1, 33), (17, 1), (3, 129)):
        x = torch.randn(17, 33)
        y = torch.full((17, 33), NAN)
        odd(x, y, bm=bm, bn=bn, target=target)
        w = torch.empty(17, 33, dtype=torch.float64)
        xd = torch.zeros(20, 140, dtype=torch.float64)
        xd[:17, :33] = x
        for a in range(0, 17, bm):
            for b in range(0, 33, bn):
                tt = torch.zeros(bm, bn, dtype=torch.float64)
                tt[: min(bm, 17 - a), : min(bn, 33 - b)] = x[a : a + bm, b : b + bn]
                r = tt - tt.sum(1, keepdim=True) * 0.5 + tt.max(0).values[None]
                w[a : a + bm, b : b + bn] = r[: min(bm, 17 - a), : min(bn, 33 - b)]
        assert (y - w).abs().max() < 1e-4, (bm, bn, (y - w).abs().max())


@tw.kernel
def three_mma(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    y: tw.Tensor,
    *,
    m: tw.Static = 17,
    n: tw.Static = 33,
    k: tw.Static = 9,
):
    at = tw.load(a, (0, 0), (m, k))
    bt = tw.load(b, (0, 0), (k, n))
    ct = tw.load(c, (0, 0), (n, m))
    p = tw.mma(at, bt)
    q = tw.mma(p, ct)
    tw.store(y, (0, 0), tw.mma(q, p) + p)


@every_target
def test_products_of_products(target):
    a, b, c = torch.randn(17, 9), torch.randn(9, 33), torch.randn(33, 17)
    y = torch.full((17, 33), NAN)
    three_mma(a, b, c, y, target=target)
    a, b, c = a.double(), b.double(), c.double()
    p = a @ b
    w = (p @ c) @ p + p
    assert ((y - w).norm() / w.norm()) < 1e-5


@tw.kernel
def reshape_k(x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, (0, 0), (6, 10))
    u = t.reshape(3, 2, 10).transpose(2, 0, 1).reshape(5, 12)
    tw.store(y, (0, 0), u[1:4, 2:9])


@every_target
def test_reshaped_and_sliced_tiles(target):
    x = torch.randn(6, 10)
    y = torch.full((3, 7), NAN)
    reshape_k(x, y, target=target)
    w = x.reshape(3, 2, 10).permute(2, 0, 1).reshape(5, 12)[1:4, 2:9]
    assert torch.equal(y, w)
