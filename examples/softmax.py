"""Row softmax of any width in two sweeps: a running maximum and sum, then the result."""

import torch

import tilewright as tw


@tw.kernel
def softmax(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 4, bn: tw.Static = 256):
    """y[i, :] = exp(x[i, :] - max_i) / sum_j exp(x[i, j] - max_i)"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    top = tw.full((bm, 1), -float("inf"), tw.f32)
    total = tw.zeros((bm, 1), tw.f32)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn), other=-float("inf")).cast(tw.f32)
        higher = tw.maximum(top, tile.max(axis=1, keep=True))
        anchor = tw.where(higher == -float("inf"), 0.0, higher)
        total = total * tw.exp(top - anchor) + tw.exp(tile - anchor).sum(axis=1, keep=True)
        top = higher
    anchor = tw.where(top == -float("inf"), 0.0, top)
    for j in tw.range(0, x.shape[1], bn):
        tile = tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32)
        tw.store(y, (i * bm, j), (tw.exp(tile - anchor) / total).cast(y.dtype))


def run(target: str | None = None) -> float:
    """Relative error on rows of an odd length."""
    x = torch.randn(13, 777) * 4
    y = torch.full_like(x, float("nan"))
    softmax(x, y, target=target)
    wanted = x.double().softmax(-1)
    return float((y - wanted).norm() / wanted.norm())


if __name__ == "__main__":
    print(f"softmax: relative error {run():.1e}")
