"""Row and column sums, and the largest element of a matrix through an atomic."""

import torch

import tilewright as tw


@tw.kernel
def sum_rows(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 8, bn: tw.Static = 128):
    """y[i] = sum_j x[i, j]"""
    i = tw.grid(tw.cdiv(x.shape[0], bm))
    total = tw.zeros((bm,), tw.f32)
    for j in tw.range(0, x.shape[1], bn):
        total += tw.load(x, (i * bm, j), (bm, bn)).cast(tw.f32).sum(axis=1)
    tw.store(y, (i * bm,), total.cast(y.dtype))


@tw.kernel
def sum_columns(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 32, bn: tw.Static = 64):
    """y[j] = sum_i x[i, j]"""
    j = tw.grid(tw.cdiv(x.shape[1], bn))
    total = tw.zeros((bn,), tw.f32)
    for i in tw.range(0, x.shape[0], bm):
        total += tw.load(x, (i, j * bn), (bm, bn)).cast(tw.f32).sum(axis=0)
    tw.store(y, (j * bn,), total.cast(y.dtype))


@tw.kernel
def find_max(x: tw.Tensor, y: tw.Tensor, *, block: tw.Static = 512):
    """y[0] = max(y[0], max_i x[i]) for integers"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    tile = tw.load(x, (i * block,), (block,), other=-2147483648)
    tw.atomic_max(y, (0,), tile.max())


def run(target: str | None = None) -> float:
    """The largest relative error of the sums; 1 if the maximum is wrong."""
    x = torch.randn(45, 301)
    rows, columns = torch.full((45,), float("nan")), torch.full((301,), float("nan"))
    sum_rows(x, rows, target=target)
    sum_columns(x, columns, target=target)
    errors = []
    for found, axis in ((rows, 1), (columns, 0)):
        wanted = x.double().sum(axis)
        errors.append(float((found - wanted).norm() / wanted.norm()))
    numbers = torch.randint(-1000, 1000, (1313,), dtype=torch.int32)
    best = torch.full((1,), -5000, dtype=torch.int32)
    find_max(numbers, best, target=target)
    errors.append(float(best.item() != numbers.max().item()))
    return max(errors)


if __name__ == "__main__":
    print(f"sum_rows, sum_columns, find_max: relative error {run():.1e}")
