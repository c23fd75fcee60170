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


def test_every_buffer_has_a_layout_afterwards():
    x, y = torch.randn(64, 64), torch.randn(64, 64)
    compiled = turn.compile(x, y, m=64, n=64, target="sm_80")
    kernel = compiled.trace.kernels["lay_out_buffers"]
    kinds = [r.type for i in kernel.walk() for r in i.results if isinstance(r.type, BufferType)]
    assert len(kinds) == 2
    assert all(kind.layout is not None for kind in kinds)
