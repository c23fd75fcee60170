"""Histogram: a scattered atomic addition per element."""

import torch

import tilewright as tw


@tw.kernel
def histogram(x: tw.Tensor, counts: tw.Tensor, *, block: tw.Static = 512):
    """counts[x[i]] += 1; values outside of the histogram are dropped"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    values = tw.load(x, (i * block,), (block,), other=-1)
    tw.atomic_add(counts, (values,), tw.ones((block,), tw.i32))


def run(target: str | None = None) -> float:
    """0 if all counts are right, else 1."""
    x = torch.randint(0, 40, (2345,), dtype=torch.int32)
    counts = torch.zeros(40, dtype=torch.int32)
    histogram(x, counts, target=target)
    return float(not torch.equal(counts.long(), torch.bincount(x, minlength=40)))


if __name__ == "__main__":
    print(f"histogram: {'right' if run() == 0 else 'wrong'}")
