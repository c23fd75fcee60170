"""Embedding look-up: an index tile as an offset gathers rows."""

import torch

import tilewright as tw


@tw.kernel
def embedding(
    table: tw.Tensor, index: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 16, bn: tw.Static = 64
):
    """y[i, :] = table[index[i], :]; an index outside of the table gives zeros"""
    i, j = tw.grid(tw.cdiv(index.shape[0], bm), tw.cdiv(table.shape[1], bn))
    rows = tw.load(index, (i * bm,), (bm,), other=-1)
    tw.store(y, (i * bm, j * bn), tw.load(table, (rows, j * bn), (bm, bn)))


def run(target: str | None = None) -> float:
    """0 if every row is right, else 1."""
    table = torch.randn(71, 100)
    index = torch.randint(0, 71, (53,), dtype=torch.int32)
    y = torch.full((53, 100), float("nan"))
    embedding(table, index, y, target=target)
    return float(not torch.equal(y, table[index.long()]))


if __name__ == "__main__":
    print(f"embedding: {'right' if run() == 0 else 'wrong'}")
