"""Broadcasting, slicing and reductions of tiles agree with NumPy."""

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.types import f32, i32
from tilewright.tests.frontend.running import poisoned, run

X = np.arange(24.0).reshape(4, 6)


@tw.inline
def rows_and_columns(x):
    return x[:, 0][:, None] * x[1] - x[..., 2:3]


@tw.inline
def parts(x):
    return x[1:3, :-2].T.reshape(2, -1)


@tw.inline
def new_axes(x):
    return (x[None, ..., None] + x[0, None, :, None])[0, :, :, 0]


@tw.inline
def numbers(x):
    return 2 - x / 4 + 1.5 * x - (x**2) * (-1 + 2**3)


@tw.inline
def integers(x):
    t = x.cast(tw.i32)
    return ((t * 3 - 7) // 4 + (7 - t) % 5 + (t ^ 3) + (t >> 1)).cast(tw.f32)


@tw.inline
def reductions(x):
    return x.sum(1)[:, None] + x.max(axis=0) - tw.min(x, (0, 1)) * x.mean(-1, keep=True)


@tw.inline
def permuted(x):
    return x.reshape((2, 2, 6)).transpose(1, 2, 0).reshape(4, 6)


@tw.inline
def filled(x):
    return tw.broadcast(x[0], (4, 6)) + tw.broadcast(3.0, (6,)) + x[1].broadcast(4, 6)


def numpy_of(function, x):
    match function.__name__:
        case "reductions":
            return x.sum(1)[:, None] + x.max(axis=0) - x.min() * x.mean(-1, keepdims=True)
        case "integers":
            t = x.astype(int)
            return (t * 3 - 7) // 4 + (7 - t) % 5 + (t ^ 3) + (t >> 1)
        case "filled":
            return np.broadcast_to(x[0] + x[1] + 3, (4, 6))
    return function(x)


def apply(x: tw.Tensor, y: tw.Tensor, *, function: tw.Static, m: tw.Static, n: tw.Static):
    tw.store(y, (0, 0), function(tw.load(x, (0, 0), (4, 6))))


@pytest.mark.parametrize(
    "function",
    [rows_and_columns, parts, new_axes, numbers, integers, reductions, permuted, filled],
    ids=lambda f: f.function.__name__,
)
def test_tiles_behave_as_in_numpy(function):
    want = numpy_of(function.function, X)
    m, n = want.shape
    y = run(apply, x=(f32, X), y=(f32, poisoned(m, n)), function=function, m=m, n=n)["y"]
    assert (y == want).all()


def every_reduction(x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, 0, 5)
    y[0] = tw.sum(t)
    y[1] = tw.prod(t)
    y[2] = tw.max(t)
    y[3] = tw.min(t)
    y[4] = 1 if tw.any(t > 6) else 0
    y[5] = 1 if (t > 6).all() else 0
    y[6] = t[2:3].item()
    y[7] = t.sum(keep=True).shape[0] + t.rank


def test_reductions_without_an_axis_left_are_scalars():
    y = run(every_reduction, x=(i32, [3, 1, 7, 2, 5]), y=(i32, np.zeros(8)))["y"]
    assert y.tolist() == [18, 210, 7, 1, 1, 0, 7, 2]


def functions(x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, 0, 8)
    out = tw.exp(t) + tw.exp2(t) + tw.sin(t) * tw.cos(t) + tw.tanh(t) + tw.erf(t) + tw.sigmoid(t)
    out += tw.log(t) - tw.log2(t) + tw.sqrt(t) * tw.rsqrt(t) + tw.abs(-t) + tw.fma(t, t, 1.0)
    out += tw.floor(t) + tw.ceil(t) + tw.round(t) + tw.minimum(t, 0.5) + tw.maximum(2, t)
    tw.store(y, 0, out + tw.exp(0.0) + tw.floor(1.5) + tw.maximum(1, 2))


def test_functions_are_numpys():
    from math import erf

    x = np.float32(np.linspace(0.1, 3.3, 8)).astype(float)
    y = run(functions, x=(f32, x), y=(f32, poisoned(8)))["y"]
    want = np.exp(x) + np.exp2(x) + np.sin(x) * np.cos(x) + np.tanh(x) + 1 / (1 + np.exp(-x))
    want += np.vectorize(erf)(x) + np.log(x) - np.log2(x) + 1 + x + x * x + 1
    want += np.floor(x) + np.ceil(x) + np.rint(x) + np.minimum(x, 0.5) + np.maximum(x, 2) + 4
    np.testing.assert_allclose(y, want, rtol=60 * 2**-24)
