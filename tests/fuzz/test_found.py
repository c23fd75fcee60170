"""What random kernels found, reduced: each test is named after what was wrong."""

from __future__ import annotations

import pytest
import torch

import tilewright as tw

TARGETS = ("cpu", "vm:sm_80")


def agree(kernel, *tensors, written=1, **statics):
    """Every target leaves in the last `written` tensors what the interpreter does; no races."""
    wanted = [t.clone() for t in tensors]
    kernel(*wanted, **statics, target="interpret")
    for target in TARGETS:
        found = [t.clone() for t in tensors]
        report = kernel(*found, **statics, target=target)
        for have, want in zip(found[-written:], wanted[-written:], strict=True):
            assert torch.equal(have, want), target
        assert report is None or not report.races
    return wanted[-written:]


def small(*shape, dtype=torch.float32):
    return torch.randint(-4, 5, shape).to(dtype)


@tw.kernel
def by_parts(x: tw.Tensor, y: tw.Tensor, *, m: tw.Static, n: tw.Static):
    tw.grid(1)
    buffer = tw.shared((2, m, n), x.dtype)
    buffer[1].store(tw.load(x, (0, 0), (m, n)))
    tw.store(y, (0, 0), buffer[1].T.load()[1:, :])


@pytest.mark.parametrize(("m", "n"), [(17, 33), (5, 24), (3, 2)])
def test_stages_of_odd_shapes_hold_no_ghosts(m, n):
    x = small(m, n)
    (y,) = agree(by_parts, x, torch.zeros(n - 1, m), m=m, n=n)
    assert torch.equal(y, x.T[1:])


@tw.kernel
def part(x: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    buffer = tw.shared((17, 32), tw.f32)
    buffer.store(tw.load(x, (0, 0), (17, 32)))
    tw.store(y, (0, 0), buffer[0:17, 1:27].load())


def test_a_part_of_a_buffer_is_no_whole_layout():
    x = small(17, 32)
    (y,) = agree(part, x, torch.zeros(17, 26))
    assert torch.equal(y, x[:, 1:27])


@tw.kernel
def copied(x: tw.Tensor, y: tw.Tensor, *, m: tw.Static, n: tw.Static):
    tw.grid(1)
    buffer = tw.shared((m, n), x.dtype)
    token = tw.copy(x, (1, 1), buffer)
    tw.wait(token)
    tw.store(y, (0, 0), buffer.T.load())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8, torch.float64])
@pytest.mark.parametrize(("m", "n"), [(33, 24), (8, 16)])
def test_a_copy_that_a_kernel_starts_is_waited_for_and_may_be_narrow(m, n, dtype):
    agree(copied, small(m, n, dtype=dtype), torch.ones(n, m).to(dtype), m=m, n=n)


@tw.kernel
def ring(x: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    stages = tw.shared((3, 16, 32), x.dtype)
    first = tw.copy(x, (0, 0), stages[0])
    second = tw.copy(x, (16, 0), stages[1])
    third = tw.copy(x, (32, 0), stages[2])
    tw.wait(first, second)
    total = stages[0].load() + stages[1].load()
    tw.wait(third)
    tw.store(y, (0, 0), total + stages[2].load())


def test_copies_into_stages_are_waited_for_one_by_one():
    x = small(48, 32, dtype=torch.float16)
    (y,) = agree(ring, x, torch.zeros(16, 32, dtype=torch.float16))
    assert torch.equal(y, x[:16] + x[16:32] + x[32:])


@tw.kernel
def onto_itself(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor):
    tw.grid(1)
    a = tw.load(x, (0, 0), (5, 16)).T
    tw.store(z, (0, 0), tw.mma(a, tw.load(y, (0, 0), (5, 5)).T, a))


def test_a_tile_may_be_operand_and_accumulator_at_once():
    x, y = small(5, 16), small(5, 5)
    (z,) = agree(onto_itself, x, y, torch.zeros(16, 5))
    assert torch.equal(z, x.T @ y.T + x.T)


@tw.kernel
def twins(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor, n: tw.Scalar):
    tw.grid(1)
    a = tw.load(x, (0, 0), (16, 16))
    left, right = a, a
    for _ in tw.range(n):
        left = tw.mma(left, a)
        right = right + right.T
    tw.store(y, (0, 0), left)
    tw.store(z, (0, 0), right)


def test_one_tile_may_start_two_carried_ones():
    agree(twins, small(16, 16), torch.zeros(16, 16), torch.zeros(16, 16), n=2, written=2)


@tw.kernel
def expanded(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor):
    tw.grid(1)
    a = tw.load(x[: x.shape[0]], (0, 2), (8, 8)).T
    tw.store(z, (0, 0), tw.mma(a, tw.load(y, (1, 2), (8, 5))))


def test_narrow_copies_of_expanded_tensors_stay_inside():
    x = torch.randint(0, 5, (1, 7), dtype=torch.uint8).expand(8, 7)
    y = torch.randint(0, 5, (1, 5), dtype=torch.uint8).expand(7, 5)
    agree(expanded, x, y, torch.zeros(8, 5, dtype=torch.int32))


@tw.kernel
def narrow_integers(x: tw.Tensor, at: tw.Tensor, y: tw.Tensor, z: tw.Tensor):
    tw.grid(1)
    tile = tw.load(x, (tw.load(at, 0, 40), 0), (40, 4)).T
    tw.store(y, (0, 0), tile // 11)
    tw.store(z, (0, 0), tile.cast(tw.u8)[:, 1:] >> 3)


def test_narrow_integers_of_tiles_are_held_before_operators():
    x = torch.randint(-128, 128, (40, 4), dtype=torch.int8)
    at = torch.randperm(40, dtype=torch.int32)
    y, z = agree(
        narrow_integers,
        x,
        at,
        torch.zeros(4, 40, dtype=torch.int8),
        torch.zeros(4, 39, dtype=torch.uint8),
        written=2,
    )
    picked = x[at.long()].T
    assert torch.equal(y, torch.div(picked.int(), 11, rounding_mode="floor").to(torch.int8))
    assert torch.equal(z, picked.view(torch.uint8)[:, 1:] >> 3)


@tw.kernel
def outside(x: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    tw.store(y, 0, tw.load(x, 3, 16).cast(tw.f32))


@pytest.mark.parametrize("dtype", [tw.e8m0, tw.nf4, tw.f4e2m1])
def test_outside_of_a_view_a_type_without_zero_gives_its_smallest_value(dtype):
    codes = torch.randint(0, 256, (8 * dtype.bits // 8,), dtype=torch.uint8)
    wanted = None
    for target in ("interpret", *TARGETS):
        y = torch.ones(16)
        outside(tw.as_tensor(codes, dtype, (8,)), y, target=target)
        wanted = y if wanted is None else wanted
        assert torch.equal(y, wanted), target


@tw.kernel
def overwritten(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor, *, n: tw.Static):
    tw.grid(1)
    buffer = tw.shared((n, n), tw.f16)
    buffer.store(tw.load(x, (0, 0), (n, n)))
    first = buffer.load()
    buffer.store(tw.load(y, (0, 0), (n, n)))
    tw.store(z, (0, 0), tw.mma(first, buffer.load()))


@tw.kernel
def of_buffers(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor, *, n: tw.Static):
    tw.grid(1)
    left, right = tw.shared((n, n), tw.f16), tw.shared((n, n), tw.f16)
    left.store(tw.load(x, (0, 0), (n, n)))
    right.store(tw.load(y, (0, 0), (n, n)))
    tw.store(z, (0, 0), tw.mma(left, right.T))


@pytest.mark.parametrize("n", [64, 40])
def test_operands_are_read_before_their_buffer_is_overwritten(n):
    x, y = small(n, n, dtype=torch.float16), small(n, n, dtype=torch.float16)
    (z,) = agree(overwritten, x, y, torch.zeros(n, n), n=n)
    assert torch.equal(z, x.float() @ y.float())


@pytest.mark.parametrize("n", [64, 7])
def test_products_of_declared_buffers(n):
    x, y = small(n, n, dtype=torch.float16), small(n, n, dtype=torch.float16)
    (z,) = agree(of_buffers, x, y, torch.zeros(n, n), n=n)
    assert torch.equal(z, x.float() @ y.float().T)


@tw.kernel
def kept(x: tw.Tensor, z: tw.Tensor, n: tw.Scalar):
    tw.grid(1)
    a = tw.load(x, (0, 0), (16, 16))
    start = tw.mma(a, a)
    total = tw.zeros((16, 16), tw.f32)
    for _ in tw.range(n):
        total = total + tw.mma(a, a, start)
    tw.store(z, (0, 0), total)


def test_an_accumulator_of_an_outer_loop_is_kept():
    x = small(16, 16, dtype=torch.float16)
    (z,) = agree(kept, x, torch.zeros(16, 16), n=3)
    assert torch.equal(z, 6 * (x.float() @ x.float()))


@tw.kernel
def last(x: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    y[0] = tw.load(x, (0,), (16,)).reshape(-1)[15:].item()


def test_an_index_that_is_a_number_is_no_loop():
    (y,) = agree(last, torch.arange(19), torch.zeros(1, dtype=torch.int64))
    assert y.item() == 15
