"""Batched matrix product: `a[b]` is a view of one matrix of the batch."""

import torch

import tilewright as tw


@tw.kernel
def batched_matmul(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    bm: tw.Static = 64,
    bn: tw.Static = 64,
    bk: tw.Static = 32,
):
    """c[n, i, j] = sum_k a[n, i, k] * b[n, k, j]"""
    n, i, j = tw.grid(a.shape[0], tw.cdiv(a.shape[1], bm), tw.cdiv(b.shape[2], bn))
    left, right = a[n], b[n]
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, a.shape[2], bk, stages=3):
        x = tw.load(left, (i * bm, k), (bm, bk))
        y = tw.load(right, (k, j * bn), (bk, bn))
        acc = tw.mma(x, y, acc)
    tw.store(c, (n, i * bm, j * bn), acc.cast(c.dtype))


def run(target: str | None = None) -> float:
    """Relative error of three products of odd sizes."""
    a, b = torch.randn(3, 45, 67), torch.randn(3, 67, 53)
    c = torch.full((3, 45, 53), float("nan"))
    batched_matmul(a, b, c, target=target)
    wanted = a.double() @ b.double()
    return float((c - wanted).norm() / wanted.norm())


if __name__ == "__main__":
    print(f"batched_matmul: relative error {run():.1e}")
