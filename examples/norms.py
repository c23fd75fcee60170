"""RMSNorm and LayerNorm over the last axis, rows of any width."""

import torch

import tilewright as tw


@tw.kernel
def rms_norm(
    x: tw.Tensor,
    weight: tw.Tensor,
    y: tw.Tensor,
    eps: tw.Scalar,
    *,
    bm: tw.Static = 4,
    bn: tw.Static = 256,
):
    """y[i, j] = x[i, j] * weight[j] / sqrt(mean_j x[i, j]^2 + eps)"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    squares = tw.zeros((bm, 1), tw.f32)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32)
        squares += (tile * tile).sum(axis=1, keep=True)
    factor = tw.rsqrt(squares / x.shape[1].cast(tw.f32) + eps)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32)
        scale = tw.load(weight, (j,), (bn,)).cast(tw.f32)[None, :]
        tw.store(y, (i * bm, j), (tile * factor * scale).cast(y.dtype))


@tw.kernel
def layer_norm(
    x: tw.Tensor,
    weight: tw.Tensor,
    bias: tw.Tensor,
    y: tw.Tensor,
    eps: tw.Scalar,
    *,
    bm: tw.Static = 4,
    bn: tw.Static = 256,
):
    """y[i, j] = (x[i, j] - mean_i) * weight[j] / sqrt(variance_i + eps) + bias[j]"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    width = x.shape[1]
    total = tw.zeros((bm, 1), tw.f32)
    for j in tw.range(0, width, bn):
        total += tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32).sum(axis=1, keep=True)
    mean = total / width.cast(tw.f32)
    squares = tw.zeros((bm, 1), tw.f32)
    for j in tw.range(0, width, bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32)
        inside = (j + tw.arange(bn))[None, :] < width
        apart = tw.where(inside, tile - mean, 0.0)
        squares += (apart * apart).sum(axis=1, keep=True)
    factor = tw.rsqrt(squares / width.cast(tw.f32) + eps)
    for j in tw.range(0, width, bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32)
        scale = tw.load(weight, (j,), (bn,)).cast(tw.f32)[None, :]
        shift = tw.load(bias, (j,), (bn,)).cast(tw.f32)[None, :]
        tw.store(y, (i * bm, j), ((tile - mean) * factor * scale + shift).cast(y.dtype))


def run(target: str | None = None) -> float:
    """The larger relative error of the two norms."""
    x, weight, bias = torch.randn(11, 300), torch.randn(300), torch.randn(300)
    y = torch.full_like(x, float("nan"))
    rms_norm(x, weight, y, 1e-5, target=target)
    wide = x.double()
    wanted = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * weight
    first = float((y - wanted).norm() / wanted.norm())
    layer_norm(x, weight, bias, y, 1e-5, target=target)
    wanted = torch.nn.functional.layer_norm(wide, (300,), weight.double(), bias.double(), 1e-5)
    return max(first, float((y - wanted).norm() / wanted.norm()))


if __name__ == "__main__":
    print(f"rms_norm, layer_norm: relative error {run():.1e}")
