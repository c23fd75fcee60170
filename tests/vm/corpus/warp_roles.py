"""Gluon kernels: barriers, tensor copies, warpgroup products and warps with roles, all explicit."""

# ruff: noqa: E501, RUF005  (a program stays one line; the compiler knows no starred lists)

from programs import Program
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import async_copy
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)


@gluon.jit
def _produce(a, b, sa, sb, full, empty, steps, BK: gl.constexpr, STAGES: gl.constexpr):
    """The role that copies."""
    i = gl.program_id(0) * a.block_type.shape[0]
    j = gl.program_id(1) * b.block_type.shape[0]
    for step in range(steps):
        stage = step % STAGES
        mbarrier.wait(empty.index(stage), step // STAGES & 1 ^ 1)
        mbarrier.expect(full.index(stage), a.block_type.nbytes + b.block_type.nbytes)
        tma.async_copy_global_to_shared(a, [i, step * BK], full.index(stage), sa.index(stage))
        tma.async_copy_global_to_shared(b, [j, step * BK], full.index(stage), sb.index(stage))


@gluon.jit
def _consume(c, sa, sb, full, empty, steps, STAGES: gl.constexpr):
    """The role that multiplies, one product behind."""
    BM: gl.constexpr = c.block_type.shape[0]
    BN: gl.constexpr = c.block_type.shape[1]
    layout: gl.constexpr = gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, BN, 16]
    )
    acc = gl.zeros((BM, BN), gl.float32, layout)
    for step in range(steps):
        stage = step % STAGES
        mbarrier.wait(full.index(stage), step // STAGES & 1)
        issued = warpgroup_mma(sa.index(stage), sb.index(stage).permute((1, 0)), acc, is_async=True)
        acc = warpgroup_mma_wait(1, deps=[issued])
        mbarrier.arrive(empty.index((step + STAGES - 1) % STAGES), pred=step > 0)
    acc = warpgroup_mma_wait(0, deps=[acc])
    tile = gl.allocate_shared_memory(c.dtype, c.block_type.shape, c.layout, acc.to(c.dtype))
    fence_async_shared()
    tma.async_copy_shared_to_global(c, [gl.program_id(0) * BM, gl.program_id(1) * BN], tile)
    tma.store_wait(0)


@gluon.jit
def matmul_roles(a, b, c, K, BK: gl.constexpr, STAGES: gl.constexpr):
    """c = a · bᵀ: one warp copies, a warpgroup multiplies, over a ring of stages."""
    sa = gl.allocate_shared_memory(a.dtype, [STAGES] + a.block_type.shape, a.layout)
    sb = gl.allocate_shared_memory(b.dtype, [STAGES] + b.block_type.shape, b.layout)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for s in gl.static_range(STAGES):
        mbarrier.init(full.index(s), count=1)
        mbarrier.init(empty.index(s), count=1)
    fence_async_shared()
    steps = gl.cdiv(K, BK)
    gl.warp_specialize([
        (_consume, (c, sa, sb, full, empty, steps, STAGES)),
        (_produce, (a, b, sa, sb, full, empty, steps, BK, STAGES)),
    ], [1], [24])  # fmt: skip
    for s in gl.static_range(STAGES):
        mbarrier.invalidate(full.index(s))
        mbarrier.invalidate(empty.index(s))


@gluon.jit
def copy_by_barrier(x, z, n, B: gl.constexpr):
    """z = 2 x through shared memory: cp.async that arrives on an mbarrier."""
    layout: gl.constexpr = gl.BlockedLayout([4], [32], [4], [0])
    smem: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
    i = gl.program_id(0) * B + gl.arange(0, B, layout)
    tile = gl.allocate_shared_memory(gl.float32, [B], smem)
    done = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    mbarrier.init(done, count=128)
    tile.store(gl.zeros([B], gl.float32, layout))
    gl.thread_barrier()
    async_copy.async_copy_global_to_shared(tile, x + i, i < n)
    async_copy.mbarrier_arrive(done, increment_count=False)
    mbarrier.wait(done, 0)
    gl.store(z + i, 2 * tile.load(layout), i < n)


def _tile(name: str, rows: int, columns: int, swizzle: int) -> str:
    layout = f"NVMMASharedLayout(swizzle_byte_width={swizzle}, element_bitwidth=16, rank=2)"
    return f"{name}:tensordesc<fp16[{rows},{columns}],{layout.replace(' ', '')}>"


PROGRAMS = [
    Program("gluon_matmul_roles", matmul_roles, 90,
            f"{_tile('a', 64, 64, 128)} {_tile('b', 64, 64, 128)} {_tile('c', 64, 64, 128)} K:i32",
            {"BK": 64, "STAGES": 3}),
    Program("gluon_copy_by_barrier", copy_by_barrier, 80, "x:*fp32:16 z:*fp32:16 n:i32:16", {"B": 512}),
]  # fmt: skip
