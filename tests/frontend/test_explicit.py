"""The explicit level: buffers, copies, tokens, barriers, roles, layouts."""

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.layout import local, row_major, spatial
from tilewright.ir.types import f16, f32, i32
from tilewright.tests.frontend.running import captured, poisoned, run, tensor


def ring(a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, m: tw.Static, n: tw.Static, k: tw.Static):
    """A matmul with a ring of two stages, written by hand."""
    i, j = tw.grid(tw.cdiv(a.shape[0], m), tw.cdiv(b.shape[0], n))
    left = tw.shared((2, m, k), a.dtype)
    right = tw.shared((2, n, k), b.dtype)
    acc = tw.zeros((m, n), tw.f32)
    steps = tw.cdiv(a.shape[1], k)
    next = tw.copy(a, (i * m, 0), left[0]), tw.copy(b, (j * n, 0), right[0])
    for s in tw.range(steps):
        tw.wait(next)
        more = (s + 1) % 2
        next = (
            tw.copy(a, (i * m, (s + 1) * k), left[more]),
            tw.copy(b, (j * n, (s + 1) * k), right[more]),
        )
        acc = tw.mma(left[s % 2].load(), right[s % 2].T.load(), acc)
    tw.wait(*next)
    tw.store(c, (i * m, j * n), acc)


def test_a_ring_of_stages_by_hand():
    rng = np.random.default_rng(3)
    a, b = rng.integers(-4, 5, (9, 13)), rng.integers(-4, 5, (5, 13))
    c = run(ring, a=(f16, a), b=(f16, b), c=(f32, poisoned(9, 5)), m=8, n=4, k=4)["c"]
    assert (c == a @ b.T).all()


def two_roles(x: tw.Tensor, y: tw.Tensor, *, n: tw.Static = 4, stages: tw.Static = 2):
    buffer = tw.shared((stages, n), tw.f32)
    full = tw.barrier(stages, 1)
    empty = tw.barrier(stages, 1)
    steps = tw.cdiv(x.shape[0], n)
    with tw.role("load", warps=4, registers=40):
        for s in tw.range(steps):
            slot = s % stages
            empty.wait(slot, (s // stages + 1) % 2)
            tw.copy(x, s * n, buffer[slot], barrier=full, slot=slot)
            full.arrive(slot, expect=n * 4)
    with tw.role("math", warps=4, registers=232):
        acc = tw.zeros(n, tw.f32)
        for s in tw.range(steps):
            slot = s % stages
            tw.wait(full, slot, (s // stages) % 2)
            acc = acc + buffer[slot].load()
            tw.arrive(empty, slot)
        tw.store(y, 0, acc)


def test_consecutive_roles_are_one_instruction_and_meet_in_buffers():
    x = np.arange(18)
    y = run(two_roles, x=(f32, x), y=(f32, poisoned(4)))["y"]
    padded = np.pad(x, (0, 2)).reshape(-1, 4)
    assert (y == padded.sum(0)).all()
    kernel = captured(two_roles, x=tensor(f32), y=tensor(f32))
    (roles,) = (i for i in kernel.walk() if isinstance(i, Roles))
    assert [i.path for i in kernel.walk() if isinstance(i, Copy)] == ["tma"]
    assert (roles.names, roles.warps, roles.registers) == (("load", "math"), (4, 4), (40, 232))


def stored(x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(x.shape[0])
    buffer = tw.shared((4, 6), tw.f32)
    tw.wait(tw.copy(x, (i, 0, 0), buffer))
    buffer[1:3, :] = buffer[0:2].load() + 1.0
    buffer[0] = tw.zeros(6, tw.f32)
    buffer[3].store(tw.ones(buffer.shape[1], buffer.dtype))
    tw.wait(tw.copy(buffer, (i, 0, 0), y))


def test_parts_of_buffers_alias_and_copies_go_both_ways():
    x = np.arange(48).reshape(2, 4, 6)
    y = run(stored, x=(f32, x), y=(f32, poisoned(2, 4, 6)))["y"]
    want = x.copy()
    want[:, 1:3] = x[:, 0:2] + 1
    want[:, 0], want[:, 3] = 0, 1
    assert (y == want).all()


def carried_token(x: tw.Tensor, y: tw.Tensor):
    buffer = tw.shared((2, 4), tw.f32)
    token = tw.done()
    for s in tw.range(2):
        tw.wait(token)
        token = tw.copy(x, s * 4, buffer[s])
    tw.wait(token)
    tw.store(y, (0, 0), buffer.load())


def test_a_loop_carries_a_token():
    y = run(carried_token, x=(f32, np.arange(8)), y=(f32, poisoned(2, 4)))["y"]
    assert (y == np.arange(8).reshape(2, 4)).all()


LAYOUT = spatial(8, 4).product(local(1, 2))


def with_layout(x: tw.Tensor, y: tw.Tensor, *, layout: tw.Static = LAYOUT):
    t = tw.load(x, (0, 0), (8, 8), layout=layout)
    u = t + tw.full((8, 8), 1.0, layout=layout)
    tw.store(y, (0, 0), u)


def test_a_chosen_layout_is_part_of_the_type():
    kernel = captured(with_layout, x=tensor(f32, 2), y=tensor(f32, 2))
    kinds = {i.mnemonic: i.results[0].type for i in kernel.walk() if len(i.results) == 1}
    assert kinds["load"].layout == kinds["full"].layout == kinds["add"].layout == LAYOUT
    x = np.arange(64).reshape(8, 8)
    assert (run(with_layout, x=(f32, x), y=(f32, poisoned(8, 8)))["y"] == x + 1).all()


def addressed(y: tw.Tensor, *, layout: tw.Static = None):
    buffer = tw.shared((4, 8), tw.f32, layout=layout)
    buffer.store(tw.ones((4, 8), tw.f32))
    tw.store(y, (0, 0), buffer.load())


def test_a_buffer_takes_a_layout_of_addresses():
    kernel = captured(addressed, y=tensor(f32, 2), layout=row_major((4, 8)))
    (buffer,) = (i for i in kernel.walk() if i.mnemonic == "buffer")
    assert buffer.layout == row_major((4, 8))


def signals(x: tw.Tensor, flags: tw.Tensor, y: tw.Tensor):
    i = tw.grid(2)
    if i == 0:
        tw.wait_signal(flags, 0, 3)
        y[0] = x[1]
    else:
        x[1] = 5.0
        tw.signal(flags, 0, 3)


def test_blocks_signal_each_other():
    found = run(signals, x=(f32, np.zeros(2)), flags=(i32, [0]), y=(f32, poisoned(1)))
    assert found["y"].tolist() == [5]


def printing(x: tw.Tensor):
    t = tw.load(x, 0, 2)
    tw.print("{} of {{}}: {}", t.sum(), t)
    tw.check(t >= 0)
    assert t.sum() < 9, "too much"


def test_print_and_check(capsys):
    run(printing, x=(i32, [3, 4]))
    assert capsys.readouterr().out == "7 of {}: [3 4]\n" * 2  # indices of 32 and 64 bits
    with pytest.raises(Exception, match="check failed: t >= 0"):
        run(printing, x=(i32, [3, -4]))
    with pytest.raises(Exception, match="check failed: too much"):
        run(printing, x=(i32, [5, 4]))


def test_names_of_the_language_work_only_inside_kernels():
    with pytest.raises(LanguageError, match=r"tw\.load works only inside @tw\.kernel"):
        tw.load(None, 0, 4)
    with pytest.raises(LanguageError, match=r"helper is @tw\.inline"):
        helper(1)


@tw.inline
def helper(x):
    """Doc."""
    return x
