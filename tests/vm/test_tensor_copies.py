"""Tensor copies of every rank, swizzle and fill, against NumPy slicing."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

import numpy as np
import pytest

from tilewright.runtime import vm

SHARED = 32 * 1024


def program(rank: int, size: int, store: str) -> str:
    """Loads one box, copies the shared bytes out, and stores (or reduces) the box through a second map."""
    names = ", ".join(f"%c{i}" for i in range(rank))
    reads = " ".join(f"ld.param.u32 %c{i}, [x{i}];" for i in range(rank))
    params = ", ".join(f".param .u32 x{i}" for i in range(rank))
    return f"""
.version 9.0
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 tile[];
.visible .entry k(.param .align 64 .b8 map[128], .param .align 64 .b8 other[128], .param .u64 o, {params}) {{
  .shared .align 8 .b64 bar; .reg .b32 %c<5>, %t, %i, %b, %v<5>; .reg .b64 %m, %n, %q; .reg .pred %p, %z, %d;
  mov.u32 %t, tile; mov.u32 %b, bar; mov.b64 %m, map; cvta.param.u64 %m, %m; mov.b64 %n, other; cvta.param.u64 %n, %n;
  {reads}
  mov.u32 %i, %tid.x; setp.eq.u32 %z, %i, 0;
  @%z mbarrier.init.shared::cta.b64 [%b], 1;
  @%z fence.proxy.async;
  @%z mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], {size};
  @%z cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%t], [%m, {{{names}}}], [%b];
  bar.sync 0;
W: mbarrier.try_wait.parity.shared::cta.b64 %d, [%b], 0;
  @!%d bra W;
  @%z cp{".reduce" if store else ""}.async.bulk.tensor.{rank}d.global.shared::cta{store}.tile.bulk_group [%n, {{{names}}}], [%t];
  @%z cp.async.bulk.commit_group;
  @%z cp.async.bulk.wait_group 0;
  ld.param.u64 %q, [o];
  mad.wide.u32 %q, %i, 4, %q; mad.lo.u32 %t, %i, 4, %t;
L: setp.ge.u32 %p, %i, {size // 4};
  @%p bra E;
  ld.shared.u32 %v0, [%t]; st.global.u32 [%q], %v0;
  add.u32 %i, %i, 32; add.u32 %t, %t, 128; add.u64 %q, %q, 128; bra L;
E: ret; }}"""


def expected(
    x: np.ndarray, corner: tuple[int, ...], box: tuple[int, ...], fill: object
) -> np.ndarray:
    grid = np.meshgrid(*(c + np.arange(n) for c, n in zip(corner, box, strict=True)), indexing="ij")
    inside = np.logical_and.reduce([(g >= 0) & (g < n) for g, n in zip(grid, x.shape, strict=True)])
    clipped = tuple(np.clip(g, 0, n - 1) for g, n in zip(grid, x.shape, strict=True))
    return np.where(inside, x[clipped], fill).astype(x.dtype)


CASES = [
    ((100,), (64,), (3,), np.int32), ((100,), (64,), (60,), np.int32), ((40, 64), (8, 32), (36, 32), np.float32),
    ((40, 64), (8, 32), (-3, -4), np.float32), ((9, 24, 64), (2, 3, 64), (8, 22, 0), np.float16),
    ((3, 5, 6, 32), (2, 2, 3, 32), (2, 4, 5, 8), np.float16), ((2, 3, 4, 5, 16), (2, 1, 2, 3, 16), (1, 1, 3, 4, 0), np.uint8),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "box", "corner", "dtype"), CASES)
def test_boxes_of_every_rank_clip_at_the_edges(
    shape: tuple[int, ...], box: tuple[int, ...], corner: tuple[int, ...], dtype: type
) -> None:
    rng = np.random.default_rng()
    x = rng.integers(1, 100, shape).astype(dtype)
    y = np.zeros(shape, dtype)
    rank, item = len(shape), np.dtype(dtype).itemsize
    size = int(np.prod(box)) * item
    inner = box[-1] * item
    for swizzle in [0] + [s for s in (32, 64, 128) if inner == s]:
        out = np.zeros(size // item, dtype)
        y[:] = 0
        maps = [vm.TensorMap(t, box, swizzle=swizzle) for t in (x, y)]
        text = program(rank, size, "")
        report = vm.run(text, "k", 1, 32, [*maps, out, *corner[::-1]], shared=SHARED, checks="all")
        want = expected(x, corner, box, 0)
        place = np.arange(0, size, item)
        mask = {0: 0, 32: 1, 64: 3, 128: 7}[swizzle]
        place ^= (place >> 7 & mask) << 4
        np.testing.assert_array_equal(out[place // item], want.ravel())
        region = tuple(slice(max(c, 0), max(c + n, 0)) for c, n in zip(corner, box, strict=True))
        copied = np.zeros_like(x)
        copied[region] = x[region]
        np.testing.assert_array_equal(y, copied)
        assert report.races == []


def test_reductions_add_in_place() -> None:
    x = np.random.default_rng().integers(-9, 9, (16, 32)).astype("f")
    y = np.ones((16, 32), "f")
    out = np.zeros(8 * 32, "f")
    maps = [vm.TensorMap(t, (8, 32)) for t in (x, y)]
    vm.run(program(2, 1024, ".add"), "k", 1, 32, [*maps, out, 0, 4], shared=SHARED)
    want = np.ones((16, 32), "f")
    want[4:12] += x[4:12]
    np.testing.assert_array_equal(y, want)


def test_outside_can_be_filled_with_nan() -> None:
    x = np.ones((4, 32), np.float16)
    out = np.zeros((8, 32), np.float16)
    maps = [vm.TensorMap(x, (8, 32), fill="nan"), vm.TensorMap(x.copy(), (8, 32))]
    vm.run(program(2, 512, ""), "k", 1, 32, [*maps, out, 0, 2], shared=SHARED)
    assert (out[:2] == 1).all() and np.isnan(out[2:]).all()


def test_a_wrong_byte_count_is_a_deadlock_and_a_stray_map_a_fault() -> None:
    x = np.ones((4, 32), np.float16)
    maps = [vm.TensorMap(x, (4, 32)), vm.TensorMap(x.copy(), (4, 32))]
    out = np.zeros((4, 32), np.float16)
    with pytest.raises(vm.Fault, match=r"deadlock(.|\n)*64 bytes are outstanding"):
        vm.run(program(2, 320, ""), "k", 1, 32, [*maps, out, 0, 0], shared=SHARED)
    with pytest.raises(vm.Fault, match="does not hold a tensor map"):
        vm.run(program(2, 256, ""), "k", 1, 32, [bytes(128), maps[1], out, 0, 0], shared=SHARED)
    with pytest.raises(vm.Fault, match="1 coordinates for a tensor map of rank 2"):
        vm.run(program(1, 256, ""), "k", 1, 32, [*maps, out, 0], shared=SHARED)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("first", [-3, 0])
def test_the_fill_is_nan_for_every_width_and_corner(dtype: type, first: int) -> None:
    """Boxes that cut an axis go element by element, others by 16 bytes."""
    x = np.random.default_rng().standard_normal((4, 32)).astype(dtype)
    out = np.zeros((8, 32), dtype)
    maps = [vm.TensorMap(x, (8, 32), fill="nan"), vm.TensorMap(x.copy(), (8, 32))]
    size = out.nbytes
    vm.run(program(2, size, ""), "k", 1, 32, [*maps, out, first, 2], shared=SHARED)
    want = np.full((8, 32), np.nan, dtype)
    want[:2, -first:] = x[2:, : 32 + first]
    np.testing.assert_array_equal(out, want)


def test_element_strides_thin_out_all_axes_but_the_last() -> None:
    x = np.random.default_rng().standard_normal((9, 32)).astype("f")
    out = np.zeros((3, 32), "f")
    maps = [vm.TensorMap(t, (5, 32), element_strides=(2, 1)) for t in (x, x.copy())]
    vm.run(program(2, out.nbytes, ""), "k", 1, 32, [*maps, out, 0, 3], shared=SHARED)
    np.testing.assert_array_equal(out, x[3:8:2])


@pytest.mark.parametrize("offset", [4, 16, 64])
def test_boxes_lie_at_multiples_of_128_bytes(offset: int) -> None:
    x, out = np.ones((8, 32), "f"), np.zeros((8, 32), "f")
    maps = [vm.TensorMap(t, (8, 32)) for t in (x, x.copy())]
    text = program(2, out.nbytes, "").replace("mov.u32 %t, tile;", f"mov.u32 %t, tile+{offset};")
    with pytest.raises(vm.Fault, match="misaligned: the box of a tensor copy"):
        vm.run(text, "k", 1, 32, [*maps, out, 0, 0], shared=SHARED)


def test_tensors_of_maps_lie_at_multiples_of_16_bytes() -> None:
    x = np.ones(256 + 1, "f")
    map_ = vm.TensorMap(x[1:].reshape(8, 32), (8, 32))
    with pytest.raises(vm.Fault, match="misaligned: the tensor of a tensor map"):
        vm.run(program(2, 1024, ""), "k", 1, 32, [map_, map_, x, 0, 0], shared=SHARED)
