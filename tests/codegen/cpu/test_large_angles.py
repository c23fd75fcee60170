"""sin and cos of f32 below 2^50 are right; beyond, the cpu target says NaN, no wrong number."""

from __future__ import annotations

import mpmath
import numpy as np
import torch

import tilewright as tw


@tw.kernel
def turn(x: tw.Tensor, s: tw.Tensor, c: tw.Tensor):
    """s[i] = sin(x[i]), c[i] = cos(x[i])"""
    i = tw.grid(tw.cdiv(x.shape[0], 64))
    tile = tw.load(x, (i * 64,), (64,))
    tw.store(s, (i * 64,), tw.sin(tile))
    tw.store(c, (i * 64,), tw.cos(tile))


def test_sine_of_large_angles_is_right():
    rng = np.random.default_rng()
    exponents = rng.uniform(-20, 49.9, 300)
    numbers = (np.exp2(exponents) * rng.choice([-1, 1], 300)).astype(np.float32)
    numbers[:4] = [1e15, -1e15, 2.0**24, 0.5]
    x = torch.from_numpy(numbers)
    s, c = torch.full((300,), float("nan")), torch.full((300,), float("nan"))
    turn(x, s, c, target="cpu")
    with mpmath.workprec(400):
        exact = [(float(mpmath.sin(mpmath.mpf(float(v)))), float(mpmath.cos(mpmath.mpf(float(v)))))
                 for v in numbers]  # fmt: skip
    wanted = torch.tensor(exact, dtype=torch.float64).T
    unit = 2.0**-24
    # a polynomial of a few ulp: absolute error below four units of results of size one
    assert float((s.double() - wanted[0]).abs().max()) <= 4 * unit
    assert float((c.double() - wanted[1]).abs().max()) <= 4 * unit


def test_what_has_no_sine_here_is_nan():
    x = torch.tensor([float("inf"), -float("inf"), float("nan"), 2.0**50, 3.4e38, 0.0])
    s, c = torch.zeros(6), torch.zeros(6)
    turn(x, s, c, target="cpu")
    assert s[:5].isnan().all()
    assert c[:5].isnan().all()
    assert (s[5], c[5]) == (0.0, 1.0)
