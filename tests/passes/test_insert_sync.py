"""`insert_sync`: barriers where accesses meet and nowhere else; groups counted on every path."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.control import For
from tilewright.ir.instructions.sync import Sync, Wait
from tilewright.ir.kernel import Kernel, walk
from tilewright.ir.parser import parse_kernel
from tilewright.passes.insert_sync import insert_sync
from tilewright.passes.plan_shared import plan_shared
from tilewright.tests.passes.products import check_golden, check_meaning, context, lower, matmul
from tilewright.tests.passes.test_plan_shared import buffers


def main_loop(kernel: Kernel) -> For:
    return next(item for item in kernel.walk() if isinstance(item, For))


def test_golden() -> None:
    check_golden(lower(matmul(tile=(16, 16, 16)), "insert_sync"), "insert_sync")


def test_a_pipelined_iteration_has_one_barrier_and_leaves_all_but_one_group() -> None:
    for stages in (2, 3, 4):
        loop = main_loop(lower(matmul(stages=stages), "insert_sync"))
        found = [item for item in walk(loop.body) if isinstance(item, (Sync, Wait))]
        assert [type(item) for item in found] == [Wait, Sync]
        assert isinstance(found[0], Wait) and found[0].groups == stages - 2


def test_one_buffer_needs_a_barrier_before_and_after_its_copy() -> None:
    loop = main_loop(lower(matmul(stages=1), "insert_sync"))
    names = [item.name for item in walk(loop.body) if item.name in ("sync", "copy", "wait")]
    assert names == ["sync", "copy", "copy", "wait", "sync"]


def test_the_epilogue_waits_for_everything() -> None:
    kernel = lower(matmul(tile=(64, 64, 32)), "insert_sync")
    items = [item for item in kernel.walk() if item.name in ("for", "sync", "wait", "buffer.store")]
    behind = items[[i.name for i in items].index("for") + 1 :]
    after = [i for i in behind if i not in list(walk(main_loop(kernel).body))]
    assert [i.name for i in after] == ["wait", "sync", "buffer.store", "sync"]
    assert isinstance(after[0], Wait) and after[0].groups == 0


@pytest.mark.parametrize(
    ("order", "barriers"),
    [("xX", 1), ("xXyY", 3), ("xyXY", 2)],
)
def test_barriers_stand_where_bytes_meet(order: str, barriers: int) -> None:
    kernel = insert_sync(plan_shared(buffers(order), context()), context())
    assert sum(isinstance(item, Sync) for item in kernel.walk()) == barriers


def test_meaning_is_kept(rng: np.random.Generator) -> None:
    check_meaning(lower(matmul(), "insert_sync"), rng)


GLOBAL = """
kernel @order(%c: tensor<i32, strides=[1], extents=[any]>), phase=laid_out, warps=2 {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  for_tiles [%one] (%i: i32) {{
    %at: tile<[64], i32> = arange %zero, size=64
{body}
    yield []
  }}
  yield []
}}
"""
STORE = "    store %c, [%zero], %at\n"
LOAD = "    %v{n}: tile<[64], i32> = load %c, [%zero], shape=[64]\n"
ADD = "    %a{n}: tile<[64], i32> = atomic.add %c, [%at], %at\n"
MAX = "    %m{n}: tile<[64], i32> = atomic.max %c, [%at], %at\n"
USE = "    store %c, [%zero], %a0\n"


@pytest.mark.parametrize(
    ("lines", "barriers"),
    [
        ((STORE, LOAD), 1),
        ((LOAD, LOAD), 0),
        ((LOAD, STORE), 1),
        ((STORE, ADD, ADD, LOAD), 2),
        ((ADD, ADD, ADD), 0),
        ((ADD, MAX), 1),
        ((ADD, ADD, USE), 2),
    ],
)
def test_accesses_to_a_written_tensor_keep_their_order(
    lines: tuple[str, ...], barriers: int
) -> None:
    """Atomics of one kind commute, unless their old values are read."""
    body = "".join(line.format(n=n) for n, line in enumerate(lines))
    kernel = insert_sync(parse_kernel(GLOBAL.format(body=body)), context())
    assert sum(isinstance(item, Sync) for item in kernel.walk()) == barriers
