"""Kernels as users write them: loops, branches, breaks, functions, dataclasses, odd arguments.

Each kernel runs by its meaning, as C++ and as PTX, at odd sizes and into poisoned outputs.
"""

import dataclasses

import pytest
import torch

import tilewright as tw
from tilewright.ir.diagnostics import TilewrightError

TARGETS = ("interpret", "cpu", "vm:sm_80")
NAN = float("nan")

every_target = pytest.mark.parametrize("target", TARGETS)


@tw.kernel
def cumsum_rows(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 7):
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    total = tw.zeros((bm, 1), tw.f32)
    for j in tw.range(0, x.shape[1]):
        total = total + tw.load(x, (i * bm, j), (bm, 1))
        tw.store(y, (i * bm, j), total)


@every_target
def test_running_sums(target):
    x = torch.randn(10, 23)
    y = torch.full((10, 23), NAN)
    cumsum_rows(x, y, target=target)
    assert (y - x.double().cumsum(1)).abs().max() < 1e-5


@tw.kernel
def collatz(x: tw.Tensor, steps: tw.Tensor):
    i = tw.grid(x.shape[0])
    n = x[i]
    c = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        c += 1
    steps[i] = c


@every_target
def test_while_on_scalars_of_a_tensor(target):
    x = torch.tensor([1, 2, 7, 27, 97], dtype=torch.int32)
    y = torch.full((5,), -1, dtype=torch.int32)
    collatz(x, y, target=target)
    assert y.tolist() == [0, 1, 16, 111, 118], y


@tw.kernel
def first_big(x: tw.Tensor, at: tw.Tensor, limit: tw.Scalar, *, b: tw.Static = 16):
    r = tw.grid(x.shape[0])
    found = -1
    for j in tw.range(0, x.shape[1], b):
        t = tw.load(x, (r, j), (b,))
        if tw.any(t > limit):
            found = tw.min(tw.where(t > limit, tw.arange(b) + j, 2**30))
            break
    at[r] = found


@every_target
def test_break_at_the_first_match(target):
    x = torch.rand(6, 77)
    x[0, 40] = 3
    x[1, 0] = 3
    x[2, 76] = 9
    x[3, 15] = 5
    x[3, 16] = 5
    y = torch.full((6,), -9, dtype=torch.int32)
    first_big(x, y, 1.5, target=target)
    assert y.tolist() == [40, 0, 76, 15, -1, -1], y


@tw.inline
def relu(x):
    return tw.maximum(x, 0.0)


def make_affine(a, f):
    @tw.inline
    def affine(x, b):
        return f(x * a) + b

    return affine


@tw.kernel
def epi(x: tw.Tensor, y: tw.Tensor, b: tw.Scalar, *, f: tw.Static = None, n: tw.Static = 33):
    i = tw.grid(tw.cdiv(x.shape[0], n))
    t = tw.load(x, (i * n,), (n,))
    if f is not None:
        t = f(t, b)
    tw.store(y, (i * n,), t)


@every_target
def test_inline_functions_with_different_closures(target):
    x = torch.randn(70)
    for a in (2.0, 3.0, -1.5):
        y = torch.full((70,), NAN)
        epi(x, y, 0.25, f=make_affine(a, relu), target=target)
        assert torch.allclose(y, torch.relu(x * a) + 0.25)
    y = torch.full((70,), NAN)
    epi(x, y, 0.25, target=target)
    assert torch.equal(y, x)


@dataclasses.dataclass(frozen=True)
class Norm:
    weight: tw.Tensor
    bias: tw.Tensor | None
    eps: float


@tw.kernel
def layer(x: tw.Tensor, norm: Norm, y: tw.Tensor, *, n: tw.Static = 50):
    i = tw.grid(x.shape[0])
    t = tw.load(x, (i, 0), (n,)).cast(tw.f32)
    inside = tw.arange(n) < x.shape[1]
    mean = tw.sum(t) / x.shape[1].cast(tw.f32)
    d = tw.where(inside, t - mean, 0.0)
    var = tw.sum(d * d) / x.shape[1].cast(tw.f32)
    r = d * tw.rsqrt(var + norm.eps) * tw.load(norm.weight, (0,), (n,))
    if norm.bias is not None:
        r = r + tw.load(norm.bias, (0,), (n,))
    tw.store(y, (i, 0), r.cast(y.dtype))


@every_target
def test_dataclass_with_an_optional_tensor_and_a_number(target):
    x = torch.randn(5, 45)
    w = torch.randn(45)
    b = torch.randn(45)
    for bb in (b, None):
        for eps in (1e-5, 0.5):
            y = torch.full((5, 45), NAN)
            layer(x, Norm(w, bb, eps), y, target=target)
            r = torch.nn.functional.layer_norm(
                x.double(), (45,), w.double(), None if bb is None else b.double(), eps
            )
            assert (y - r).abs().max() < 1e-5


@tw.kernel
def f64k(x: tw.Tensor, y: tw.Tensor, *, b: tw.Static = 19):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    t = tw.load(x, (i * b,), (b,))
    tw.store(y, (i * b,), tw.sqrt(t * t + 1.0) / 3.0 - tw.abs(t))


@every_target
def test_f64(target):
    x = torch.randn(50, dtype=torch.float64)
    y = torch.full((50,), NAN, dtype=torch.float64)
    f64k(x, y, target=target)
    w = (x * x + 1).sqrt() / 3 - x.abs()
    assert (y - w).abs().max() < 1e-14, (y - w).abs().max()


@tw.kernel
def neg(x: tw.Tensor, y: tw.Tensor, s: tw.Scalar, *, b: tw.Static = 16):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    t = tw.load(x, (i * b - 3,), (b,), other=-5)
    tw.store(y, (i * b,), (t // s) + (t % s) * 100)


@every_target
def test_negative_offsets_divisors_and_other(target):
    x = torch.randint(-50, 50, (40,), dtype=torch.int32)
    for s in (7, -7, 3):
        y = torch.full((40,), -999, dtype=torch.int32)
        neg(x, y, s, target=target)
        xs = torch.tensor(
            [x[k - 3] if 0 <= k - 3 < 40 else -5 for k in range(40)], dtype=torch.int64
        )

        w = torch.div(xs, s, rounding_mode="floor") + torch.remainder(xs, s) * 100
        assert torch.equal(y.long(), w), (s, y, w)


@tw.kernel
def nested(x: tw.Tensor, y: tw.Tensor, n: tw.Scalar, *, b: tw.Static = 20):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    t = tw.load(x, (i * b,), (b,))
    acc = tw.zeros((b,), tw.f32)
    for a in tw.range(n):
        for c in tw.range(a):
            if c == 2:
                break
            acc = acc + t * (a + c).cast(tw.f32)
        if a % 2 == 1:
            acc, t = t, acc
    tw.store(y, (i * b,), acc)


@every_target
def test_nested_loops_with_a_break_and_a_swap(target):
    for n in (0, 1, 5, 6):
        x = torch.randn(33)
        y = torch.full((33,), NAN)
        nested(x, y, n, target=target)
        tt = x.double()
        acc = torch.zeros_like(tt)
        for a in range(n):
            for c in range(a):
                if c == 2:
                    break
                acc = acc + tt * (a + c)
            if a % 2 == 1:
                acc, tt = tt, acc
        assert torch.allclose(y.double(), acc, rtol=1e-5, atol=1e-5), (n, y, acc)


@tw.kernel
def ragged_rows(
    x: tw.Tensor, offs: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 8, bn: tw.Static = 16
):
    g = tw.grid(y.shape[0])
    part = tw.rows(x, offs[g], offs[g + 1])
    total = tw.zeros((bn,), tw.f32)
    for i in tw.range(0, part.shape[0], bm):
        total += tw.load(part, (i, 0), (bm, bn)).sum(axis=0)
    tw.store(y, (g, 0), total)


@every_target
def test_views_of_rows_with_bounds_on_the_device(target):
    offs = torch.tensor([0, 3, 3, 20, 29], dtype=torch.int32)
    x = torch.randn(29, 13)
    y = torch.full((4, 13), NAN)
    ragged_rows(x, offs, y, target=target)
    for g in range(4):
        assert (y[g] - x[offs[g] : offs[g + 1]].double().sum(0)).abs().max() < 1e-5


@tw.kernel
def topk2(x: tw.Tensor, v: tw.Tensor, ix: tw.Tensor, *, k: tw.Static = 3, n: tw.Static = 40):
    i = tw.grid(x.shape[0])
    t = tw.load(x, (i, 0), (n,), other=-float("inf"))
    cols = tw.arange(n)
    for s in tw.static_range(k):
        m = tw.max(t)
        at = tw.min(tw.where(t == m, cols, n))
        v[i, s] = m
        ix[i, s] = at
        t = tw.where(cols == at, -float("inf"), t)


@every_target
def test_largest_three_of_each_row(target):
    x = torch.randn(6, 33)
    v = torch.full((6, 3), NAN)
    ix = torch.full((6, 3), -1, dtype=torch.int32)
    topk2(x, v, ix, target=target)
    w = x.topk(3)
    assert torch.equal(v, w.values) and torch.equal(ix.long(), w.indices)


@tw.kernel
def softmax_big(x: tw.Tensor, y: tw.Tensor, *, n: tw.Static = 1000, bm: tw.Static = 2):
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    t = tw.load(x, (i * bm, 0), (bm, n), other=-float("inf")).cast(tw.f32)
    t = tw.exp(t - tw.max(t, axis=1, keep=True))
    tw.store(y, (i * bm, 0), (t / tw.sum(t, axis=1, keep=True)).cast(y.dtype))


@every_target
def test_softmax_of_rows_with_nan_and_infinity(target):
    x = torch.randn(5, 777).half() * 30
    y = torch.full((5, 777), NAN).half()
    softmax_big(x, y, target=target)
    assert (y.double() - x.double().softmax(1)).abs().max() < 1e-3
    x[0, 3] = float("inf")
    x[1, 4] = NAN
    x[2, :] = -float("inf")
    y.fill_(7)
    softmax_big(x, y, target=target)
    w = x.double().softmax(1)
    assert torch.equal(y.isnan(), w.isnan()), (y.isnan().sum(1), w.isnan().sum(1))


@tw.kernel
def lstm_like(x: tw.Tensor, w: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 16, d: tw.Static = 32):
    i = tw.grid(tw.cdiv(x.shape[1], bm))
    h = tw.zeros((bm, d), tw.f16)
    wt = tw.load(w, (0, 0), (d, d))
    for s in tw.range(x.shape[0]):
        h = tw.tanh(tw.mma(h, wt) + tw.load(x[s], (i * bm, 0), (bm, d)).cast(tw.f32)).cast(tw.f16)
    tw.store(y, (i * bm, 0), h)


@every_target
def test_recurrence_through_a_product(target):
    x = torch.randn(7, 19, 32).half()
    w = (torch.randn(32, 32) / 8).half()
    y = torch.full((19, 32), NAN).half()
    lstm_like(x, w, y, target=target)
    h = torch.zeros(19, 32)
    for s in range(7):
        h = torch.tanh(h @ w.float() + x[s].float()).half().float()
    assert (y.float() - h).abs().max() < 5e-3


@tw.kernel
def cond_store(x: tw.Tensor, y: tw.Tensor, flag: tw.Scalar, *, b: tw.Static = 16):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    t = tw.load(x, (i * b,), (b,))
    if flag > 0 and i > 0:
        if tw.sum(t) > 0.0:
            t = -t
            tw.store(y, (i * b,), t)
        else:
            tw.store(y, (i * b,), t * 10.0)
    elif flag != -1:
        tw.store(y, (i * b,), t + 1.0)


@every_target
def test_stores_in_branches(target):
    x = torch.randn(40)
    for f in (5, 0, 1, -1):
        y = torch.full((40,), 123.0)
        cond_store(x, y, f, target=target)
        w = torch.full((40,), 123.0)
        for i in range(3):
            s = slice(i * 16, min(40, i * 16 + 16))
            if f > 0 and i > 0:
                w[s] = -x[s] if x[s].double().sum() > 0 else x[s] * 10
            elif f != -1:
                w[s] = x[s] + 1
        assert torch.equal(y, w), (f, y - w)


@tw.kernel
def checkk(x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(x.shape[0])
    tw.check(x[i] >= 0, "x must not be negative")
    y[i] = x[i]


@every_target
def test_a_check_that_fails_names_its_text(target):
    x, y = torch.tensor([1, 2, -3], dtype=torch.int32), torch.zeros(3, dtype=torch.int32)
    with pytest.raises(TilewrightError, match="must not be negative"):
        checkk(x, y, target=target)
