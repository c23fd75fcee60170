"""Transpose: a tile is read along rows and written along columns."""

import torch

import tilewright as tw


@tw.kernel
def transpose(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 64, bn: tw.Static = 64):
    """y[j, i] = x[i, j]"""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    tile = tw.load(x, (i * bm, j * bn), (bm, bn))
    tw.store(y, (j * bn, i * bm), tile.T)


def run(target: str | None = None) -> float:
    """0 if every element arrived, else 1."""
    x = torch.randn(131, 75)
    y = torch.full((75, 131), float("nan"))
    transpose(x, y, target=target)
    return float(not torch.equal(y, x.T))


if __name__ == "__main__":
    print(f"transpose: {'right' if run() == 0 else 'wrong'}")
