"""Matrix product c = a · bᵀ: the whole language in a dozen lines."""

import torch

import tilewright as tw


@tw.kernel
def matmul(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    bm: tw.Static = 128,
    bn: tw.Static = 128,
    bk: tw.Static = 64,
):
    """c[i, j] = sum_k a[i, k] * b[j, k]"""
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, a.shape[1], bk, stages=3):
        x = tw.load(a, (i * bm, k), (bm, bk))
        y = tw.load(b, (j * bn, k), (bn, bk))
        acc = tw.mma(x, y.T, acc)
    tw.store(c, (i * bm, j * bn), acc.cast(c.dtype))


def run(target: str | None = None) -> float:
    """Relative error of one product of odd sizes."""
    a = torch.randn(197, 331)
    b = torch.randn(211, 331)
    c = torch.full((197, 211), float("nan"))
    matmul(a, b, c, target=target)
    wanted = a.double() @ b.double().T
    return float((c - wanted).norm() / wanted.norm())


if __name__ == "__main__":
    print(f"matmul: relative error {run():.1e}")
