"""Elementwise kernels: an addition, gelu, and a chain that is fused because it is one kernel."""

import torch

import tilewright as tw


@tw.kernel
def add(a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, block: tw.Static = 1024):
    """c[i] = a[i] + b[i]"""
    i = tw.grid(tw.cdiv(c.shape[0], block))
    at = (i * block,)
    tw.store(c, at, tw.load(a, at, (block,)) + tw.load(b, at, (block,)))


@tw.inline
def gelu_of(x):
    """x * P(X <= x) for a standard normal X."""
    return x * 0.5 * (1.0 + tw.erf(x * 0.7071067811865476))


@tw.kernel
def gelu(x: tw.Tensor, y: tw.Tensor, *, block: tw.Static = 1024):
    """y[i] = gelu(x[i]), computed in f32"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    tile = tw.load(x, (i * block,), (block,)).cast(tw.f32)
    tw.store(y, (i * block,), gelu_of(tile).cast(y.dtype))


@tw.kernel
def scale_add_gelu(
    x: tw.Tensor,
    bias: tw.Tensor,
    y: tw.Tensor,
    scale: tw.Scalar,
    *,
    bm: tw.Static = 16,
    bn: tw.Static = 64,
):
    """y[i, j] = gelu(scale * x[i, j] + bias[j])"""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    at = (i * bm, j * bn)
    shifted = tw.load(x, at, (bm, bn)) * scale + tw.load(bias, (j * bn,), (bn,))[None, :]
    tw.store(y, at, gelu_of(shifted))


def run(target: str | None = None) -> float:
    """The largest relative error of the three kernels."""
    a, b, c = torch.randn(3001), torch.randn(3001), torch.full((3001,), float("nan"))
    add(a, b, c, target=target)
    errors = [float((c - (a + b)).abs().max())]
    gelu(a, c, target=target)
    wanted = torch.nn.functional.gelu(a.double())
    errors.append(float((c - wanted).norm() / wanted.norm()))
    x, bias, y = torch.randn(37, 101), torch.randn(101), torch.full((37, 101), float("nan"))
    scale_add_gelu(x, bias, y, 1.5, target=target)
    wanted = torch.nn.functional.gelu(1.5 * x.double() + bias)
    errors.append(float((y - wanted).norm() / wanted.norm()))
    return max(errors)


if __name__ == "__main__":
    print(f"add, gelu, scale_add_gelu: relative error {run():.1e}")
