"""What a kernel copies and multiplies by itself: groups, widths, and tiles for operands."""

from __future__ import annotations

import pytest
import torch

import tilewright as tw
from tilewright.ir.instructions.buffer import BufferLoad, Copy
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.sync import Commit, Wait
from tilewright.ir.values import TileType


@tw.kernel
def product(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor):
    tw.grid(1)
    left, right = tw.shared((64, 64), x.dtype), tw.shared((64, 64), x.dtype)
    first = tw.copy(x, (0, 0), left)
    second = tw.copy(y, (0, 0), right)
    tw.wait(first, second)
    tw.store(z, (0, 0), tw.mma(left, right.T))


def after(name, x):
    compiled = product.compile(x, x, torch.zeros(64, 64), target="sm_80")
    return list(compiled.trace.kernels[name].walk())


@pytest.mark.parametrize(
    ("form", "width", "path"),
    [("dense", 16, "cp_async"), ("shifted", 2, "plain"), ("turned", 16, "cp_async")],
)
def test_copies_are_as_wide_as_their_tensor_allows_and_groups_of_their_own(form, width, path):
    memory = torch.zeros(64 * 64 + 1, dtype=torch.float16)
    dense, shifted = memory[:-1].view(64, 64), memory[1:].view(64, 64)
    x = {"dense": dense, "shifted": shifted, "turned": dense.T}[form]
    items = after("commit_copies", x)
    copies = [item for item in items if isinstance(item, Copy)]
    groups = [item for item in items if isinstance(item, Commit)]
    (wait,) = [item for item in items if isinstance(item, Wait)]
    assert [(c.width, c.path) for c in copies] == [(width, path)] * 2
    assert [g.tokens for g in groups] == [c.results for c in copies]
    assert wait.tokens == tuple(g.results[0] for g in groups)


def test_operands_in_buffers_are_read_as_tiles():
    items = after("load_operands", torch.zeros(64, 64, dtype=torch.float16))
    (mma,) = [item for item in items if isinstance(item, Mma)]
    loads = {item.results[0] for item in items if isinstance(item, BufferLoad)}
    assert {mma.x, mma.y} == loads
    assert isinstance(mma.x.type, TileType)
