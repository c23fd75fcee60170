"""Products whose operands are views of tiles of more axes, in every type."""

from __future__ import annotations

import pytest
import torch

import tilewright as tw


@tw.kernel
def scores(q: tw.Tensor, k: tw.Tensor, s: tw.Tensor, *, m: tw.Static, n: tw.Static, d: tw.Static):
    """s[h] = q[h] · k[h]ᵀ, a head per block"""
    h, i, j = tw.grid(q.shape[0], tw.cdiv(q.shape[1], m), tw.cdiv(k.shape[1], n))
    left, right = tw.load(q, (h, i * m, 0), (m, d)), tw.load(k, (h, j * n, 0), (1, n, d))
    tw.store(s, (h, i * m, j * n), tw.mma(left, right.reshape(n, d).T))


@pytest.mark.parametrize("target", ["cpu", "vm:sm_80"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_heads_of_every_type(dtype, target):
    q, k = (torch.randint(-3, 4, (2, rows, 40)).to(dtype) for rows in (45, 21))
    s = torch.full((2, 45, 21), float("nan"))
    scores(q, k, s, m=32, n=16, d=40, target=target)
    assert torch.equal(s.double(), q.double() @ k.double().mT)
