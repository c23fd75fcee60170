"""Kernels, arguments and variables may have names that C++, C or CUDA use for something else."""

from __future__ import annotations

import pytest
import torch

import tilewright as tw


@tw.kernel
def exp(NULL: tw.Tensor, char16_t: tw.Tensor):
    tw.grid(1)
    fmaxf = tw.load(NULL, 0, 8)
    isnan = tw.maximum(fmaxf, 0.5)
    tw.store(char16_t, 0, tw.fma(isnan, fmaxf, isnan))


@tw.kernel
def malloc(INFINITY: tw.Tensor, std: tw.Tensor):
    tw.grid(1)
    memcpy = tw.load(INFINITY, 0, 8)
    for fmaf in tw.range(1):
        memcpy = tw.maximum(memcpy, 0.5) * (memcpy + fmaf.cast(tw.f32) + 1.0)
    tw.store(std, 0, memcpy)


@pytest.mark.parametrize("target", ["cpu", "vm:sm_80"])
@pytest.mark.parametrize("kernel", [exp, malloc], ids=["exp", "malloc"])
def test_names_of_other_languages(kernel, target):
    x, y = torch.randn(8), torch.full((8,), float("nan"))
    kernel(x, y, target=target)
    torch.testing.assert_close(y, x.clamp(min=0.5) * (x + 1))
