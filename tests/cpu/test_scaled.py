"""mma with scales on the cpu: tiles from anywhere, and errors where packed weights do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tilewright as tw
from tilewright.ir.diagnostics import LanguageError, TilewrightError, TypeMismatch
from tilewright.ir.packings import PACKINGS
from tilewright.runtime.errors import LaunchError

ROWS, COLUMNS, GROUP = 20, 64, 32


def packed(dtype, packing, codes, bits):
    data = torch.from_numpy(PACKINGS[packing].pack(codes, bits))
    return tw.as_tensor(data, dtype, codes.shape, packing=packing)


def weights():
    """Packed codes and scales, and the weight that they stand for."""
    codes = np.random.default_rng().integers(0, 16, (ROWS, COLUMNS), dtype=np.uint8)
    scales = torch.rand(ROWS, COLUMNS // GROUP)
    real = (codes - 8.0) * scales.double().numpy().repeat(GROUP, 1)
    held = packed("f32", "rows16", scales.numpy().view(np.uint32), 32)
    return packed("u4", "panel16", codes, 4), held, torch.from_numpy(real)


@tw.kernel
def computed_x(x: tw.Tensor, codes: tw.Tensor, scales: tw.Tensor, y: tw.Tensor):
    """y = (2 x) · Wᵀ, with x from a tile and one zero point for all groups."""
    i = tw.grid(tw.cdiv(codes.shape[0], 16))
    x2 = tw.load(x, (0, 0), (3, 64)) * 2.0
    q, s = tw.load(codes, (i * 16, 0), (16, 64)), tw.load(scales, (i * 16, 0), (16, 2))
    acc = tw.mma(x2, q.T, scale=s.T, zero=tw.full((2, 16), 8, tw.u8))
    tw.store(y, (0, i * 16), acc + tw.mma(x2, q.T, scale=s.T, zero=tw.full((2, 16), 8, tw.u8)))


def test_x_may_be_computed_and_codes_used_twice():
    codes, scales, real = weights()
    x, y = torch.randn(3, COLUMNS), torch.full((3, ROWS), float("nan"))
    computed_x(x, codes, scales, y)
    torch.testing.assert_close(y.double(), 4 * x.double() @ real.T, rtol=1e-5, atol=1e-4)


@tw.kernel
def from_arrays(x: tw.Tensor, codes: tw.Tensor, scales: tw.Tensor, y: tw.Tensor):
    """y = x · Wᵀ for codes that are computed."""
    tw.grid(1)
    q = tw.load(codes, (0, 0), (32, 64)).cast(tw.i8)
    s = tw.load(scales, (0, 0), (32, 2))
    acc = tw.mma(tw.load(x, (0, 0), (4, 64)), q.T, scale=s.T)
    tw.store(y, (0, 0), acc)


def test_tiles_that_are_not_packed_take_plain_loops():
    codes = torch.randint(-8, 8, (ROWS, COLUMNS), dtype=torch.int32)
    scales, x = torch.rand(ROWS, 2), torch.randn(3, COLUMNS)
    y = torch.full((3, ROWS), float("nan"))
    from_arrays(x, codes, scales, y)
    real = codes.double() * scales.double().repeat_interleave(GROUP, 1)
    torch.testing.assert_close(y.double(), x.double() @ real.T, rtol=1e-5, atol=1e-4)


@tw.kernel
def as_elements(codes: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    tw.store(y, (0, 0), tw.load(codes, (0, 0), (16, 64)).cast(tw.f32))


@tw.kernel
def shifted(
    x: tw.Tensor, codes: tw.Tensor, scales: tw.Tensor, y: tw.Tensor, *, row: tw.Static, k: tw.Static
):
    tw.grid(1)
    q, s = tw.load(codes, (row, k), (16, 32)), tw.load(scales, (row, 0), (16, 1))
    tw.store(y, (0, 0), tw.mma(tw.load(x, (0, k), (3, 32)), q.T, scale=s.T))


@tw.kernel
def plain_scale(x: tw.Tensor, codes: tw.Tensor, scales: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    q = tw.load(codes, (0, 0), (16, 64))
    tw.store(
        y, (0, 0), tw.mma(tw.load(x, (0, 0), (3, 64)), q.T, scale=tw.load(scales, (0, 0), (1, 16)))
    )


@tw.kernel
def bad_scale(x: tw.Tensor, codes: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    q = tw.load(codes, (0, 0), (16, 64))
    tw.store(y, (0, 0), tw.mma(tw.load(x, (0, 0), (3, 64)), q.T, scale=2.0))


def test_misfits_are_named():
    codes, scales, _ = weights()
    x, y = torch.randn(3, COLUMNS), torch.empty(3, ROWS)
    with pytest.raises(LanguageError, match="packed for mma"):
        as_elements(codes, y)
    for row, k in ((8, 0), (0, 4)):
        with pytest.raises(LanguageError, match="multiples of 16 rows and 8 columns"):
            shifted(x, codes, scales, y, row=row, k=k)
    with pytest.raises(LanguageError, match="scales of packed codes are packed"):
        plain_scale(x, codes, torch.rand(1, 16), y)
    with pytest.raises(TypeMismatch, match=r"scale of tw\.mma is a tile"):
        bad_scale(x, codes, y)


@tw.kernel
def one_element(codes: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    y[0, 0] = codes[0, 0].cast(tw.f32)


@tw.kernel
def some_rows(codes: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    tw.store(y, (0, 0), tw.load(tw.rows(codes, 1, 9), (0, 0), (16, 64)).cast(tw.f32))


def test_packed_weights_are_read_as_tiles_on_their_target_only():
    codes, scales, _ = weights()
    x, y = torch.randn(3, COLUMNS), torch.empty(3, ROWS)
    for run in (one_element, some_rows):
        with pytest.raises(TypeMismatch, match="loaded as tiles only"):
            run(codes, y)
    with pytest.raises(LaunchError, match="codes is packed as panel16"):
        shifted(x, codes, scales, y, row=0, k=0, target="vm:sm_80")


def test_x_wider_than_its_weights_stops_the_kernel():
    codes, scales, _ = weights()
    wide, y = torch.randn(3, COLUMNS + 8), torch.empty(3, ROWS)
    with pytest.raises(TilewrightError, match="more columns than its packed weights"):
        shifted(wide, codes, scales, y, row=0, k=40)
