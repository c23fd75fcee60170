"""Loops are split where that removes masks, and mean the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tilewright as tw
from tilewright.ir.interpreter import interpret
from tilewright.ir.memory import TensorView
from tilewright.ir.types import f32
from tilewright.ir.verifier import verify
from tilewright.passes.simplify import simplify
from tilewright.passes.split_loops import split_loops


@tw.kernel
def sum_rows(x: tw.Tensor, y: tw.Tensor):
    """y[i] = sum_j x[i, j]"""
    i = tw.grid(x.shape[0])
    total = tw.zeros((1,), tw.f32)
    for j in tw.range(0, x.shape[1], 16):
        total += tw.load(x, (i, j), (1, 16)).sum(axis=1)
    tw.store(y, (i,), total)


@tw.kernel
def until_negative(x: tw.Tensor, y: tw.Tensor):
    """y[0] = the sum of all blocks of x before the first that sums to less than zero"""
    tw.grid(1)
    total = tw.zeros((1,), tw.f32)
    for j in tw.range(0, x.shape[0], 16):
        part = tw.load(x, (j,), (16,)).sum()
        if part < 0.0:
            break
        total = total + part
    tw.store(y, (0,), total)


def loops_of(kernel):
    return [item for item in kernel.walk() if item.mnemonic == "for"]


def masks_of(kernel):
    return [item.bounds for item in kernel.walk() if item.mnemonic == "load"]


@pytest.mark.parametrize("width", [0, 1, 15, 16, 17, 50])
def test_meaning_is_kept(width):
    x = np.random.default_rng().integers(-8, 8, (3, width)).astype(np.float64)
    kernel = simplify(sum_rows.capture(torch.zeros(3, 17), torch.zeros(3)), None)
    split = split_loops(kernel, None)
    verify(split)
    assert len(loops_of(split)) == 2
    y = np.full(3, np.nan)
    interpret(split, [TensorView(x, f32), TensorView(y, f32)])
    np.testing.assert_array_equal(y, x.sum(1))


def test_the_first_part_has_no_masks():
    kernel = split_loops(simplify(sum_rows.capture(torch.zeros(3, 17), torch.zeros(3)), None), None)
    assert masks_of(kernel) == [(False, False), (False, True)]


def test_loops_without_masks_and_loops_with_a_break_stay_whole():
    free = simplify(sum_rows.capture(torch.zeros(3, 16), torch.zeros(3)), None)
    assert masks_of(free) == [(False, False)]
    assert split_loops(free, None) is free
    early = simplify(until_negative.capture(torch.zeros(17), torch.zeros(1)), None)
    assert split_loops(early, None) is early
