"""Buffers that a kernel declares get layouts; what went in comes out, without bank conflicts."""

from __future__ import annotations

import pytest
import torch

import tilewright as tw
from tilewright.ir.values import BufferType


@tw.kernel
def turn(x: tw.Tensor, y: tw.Tensor, *, m: tw.Static, n: tw.Static):
    """y = xᵀ through shared memory"""
    tw.grid(1)
    buffer = tw.shared((m, n), x.dtype)
    buffer.store(tw.load(x, (0, 0), (m, n)))
    tw.store(y, (0, 0), buffer.T.load())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("m", "n"), [(64, 64), (32, 48), (40, 33), (1, 7)])
def test_declared_buffers_work_at_any_shape(m, n, dtype):
    x, y = torch.randn(m, n).to(dtype), torch.full((n, m), float("nan")).to(dtype)
    report = turn(x, y, m=m, n=n, target="vm:sm_80")
    assert torch.equal(y, x.T)
    assert not report.races


@tw.kernel
def pipelined(
    a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, m: tw.Static, n: tw.Static, k: tw.Static
):
    """c = a · b with three stages in rings of its own"""
    i, j = tw.grid(tw.cdiv(a.shape[0], m), tw.cdiv(b.shape[1], n))
    left, right = tw.shared((3, m, k), a.dtype), tw.shared((3, k, n), b.dtype)
    acc = tw.zeros((m, n), tw.f32)
    first = tw.copy(a, (i * m, 0), left[0]), tw.copy(b, (0, j * n), right[0])
    second = tw.copy(a, (i * m, k), left[1]), tw.copy(b, (k, j * n), right[1])
    for s in tw.range(tw.cdiv(a.shape[1], k)):
        tw.wait(first)
        first, ahead, slot = second, (s + 2) * k, (s + 2) % 3
        second = tw.copy(a, (i * m, ahead), left[slot]), tw.copy(b, (ahead, j * n), right[slot])
        acc = tw.mma(left[s % 3], right[s % 3], acc)
    tw.wait(first, second)
    tw.store(c, (i * m, j * n), acc.cast(c.dtype))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tile", "size"),
    [
        (torch.float16, (64, 64, 32), (128, 64, 128)),
        (torch.bfloat16, (32, 48, 64), (64, 48, 128)),
        (torch.float32, (32, 32, 32), (32, 64, 64)),
    ],
)
def test_rings_have_no_bank_conflicts(dtype, tile, size, turned):
    (m, n, k), (rows, columns, depth) = tile, size
    a, b = (torch.randint(-3, 4, shape).to(dtype) for shape in ((rows, depth), (depth, columns)))
    b = b.T.contiguous().T if turned else b
    c = torch.full((rows, columns), float("nan"), dtype=dtype)
    report = pipelined(a, b, c, m=m, n=n, k=k, target="vm:sm_80")
    assert torch.equal(c.double(), a.double() @ b.double())
    assert not report.races
    assert report.counters["shared"]["bank_conflicts"] == 0
    moved = a.nbytes * (columns // n) + b.nbytes * (rows // m)
    assert report.counters["bytes"]["cp.async"] == moved


@pytest.mark.parametrize("tile", [(40, 33, 17), (1, 7, 3)])
def test_rings_of_odd_stages_are_right(tile):
    m, n, k = tile
    a, b = torch.randint(-3, 4, (50, 43)).half(), torch.randint(-3, 4, (43, 37)).half()
    c = torch.full((50, 37), float("nan")).half()
    report = pipelined(a, b, c, m=m, n=n, k=k, target="vm:sm_80")
    assert torch.equal(c.double(), a.double() @ b.double())
    assert not report.races


@tw.kernel
def through_slots(x: tw.Tensor, y: tw.Tensor, *, m: tw.Static, n: tw.Static):
    """y = xᵀ through the stages of a ring that starts as zeros"""
    tw.grid(1)
    ring = tw.shared((2, m, n), x.dtype)
    ring.store(tw.zeros((2, m, n), x.dtype))
    for s in tw.range(3):
        ring[s % 2] = tw.load(x, (s * m, 0), (m, n))
        tw.store(y, (0, s * m), ring[s % 2].T.load())


@pytest.mark.parametrize("shape", [(64, 64), (32, 48), (40, 33), (3, 5)])
def test_slots_that_tiles_go_through(shape):
    m, n = shape
    x, y = torch.randn(3 * m, n).half(), torch.full((n, 3 * m), float("nan")).half()
    report = through_slots(x, y, m=m, n=n, target="vm:sm_80")
    assert torch.equal(y, x.T)
    assert not report.races


def test_every_buffer_has_a_layout_afterwards():
    x, y = torch.randn(64, 64), torch.randn(64, 64)
    compiled = turn.compile(x, y, m=64, n=64, target="sm_80")
    kernel = compiled.trace.kernels["lay_out_buffers"]
    kinds = [r.type for i in kernel.walk() for r in i.results if isinstance(r.type, BufferType)]
    assert len(kinds) == 2
    assert all(kind.layout is not None for kind in kinds)
