"""Tensor descriptors on Hopper: TMA loads, stores and reductions, made on the host and in the kernel."""

# ruff: noqa: E501  (a program of the table stays one line)

import triton
import triton.language as tl
from programs import Program


@triton.jit
def copy(x, z, R: tl.constexpr, C: tl.constexpr):
    """z = x + 1 by tiles."""
    i, j = tl.program_id(0) * R, tl.program_id(1) * C
    z.store([i, j], x.load([i, j]) + 1)


@triton.jit
def copy_cube(x, z, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    """z[b, a, c] = x[a, b, c] by boxes of rank 3."""
    a, b, c = tl.program_id(0) * A, tl.program_id(1) * B, tl.program_id(2) * C
    z.store([b, a, c], tl.permute(x.load([a, b, c]), (1, 0, 2)))


@triton.jit
def copy_made(x, z, m, n, R: tl.constexpr, C: tl.constexpr):
    """z = -x with descriptors that the kernel makes."""
    source = tl.make_tensor_descriptor(x, [m, n], [n, 1], [R, C])
    target = tl.make_tensor_descriptor(z, [m, n], [n, 1], [R, C])
    i, j = tl.program_id(0) * R, tl.program_id(1) * C
    target.store([i, j], -source.load([i, j]))


@triton.jit
def reduce(x, sums, most, m, n, R: tl.constexpr, C: tl.constexpr):
    """Adds and maximizes all row tiles into one."""
    j = tl.program_id(1) * C
    source = tl.make_tensor_descriptor(x, [m, n], [n, 1], [R, C])
    total = tl.make_tensor_descriptor(sums, [R, n], [n, 1], [R, C])
    high = tl.make_tensor_descriptor(most, [R, n], [n, 1], [R, C])
    v = source.load([tl.program_id(0) * R, j])
    total.atomic_add([0, j], v)
    high.atomic_max([0, j], v.to(tl.int32))


@triton.jit
def matmul(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
           TRANSPOSED: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """c = a · b (or bᵀ)."""
    i, j = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), ACC)
    for k in range(0, K, BK):
        va = a.load([i, k])
        if TRANSPOSED:
            acc = tl.dot(va, b.load([j, k]).T, acc, out_dtype=ACC)
        else:
            acc = tl.dot(va, b.load([k, j]), acc, out_dtype=ACC)
    c.store([i, j], acc.to(c.dtype))


@triton.jit
def matmul_persistent(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
                      FLATTEN: tl.constexpr):  # fmt: skip
    """c = a · bᵀ; each block takes every n-th tile, with descriptors that it makes itself."""
    da = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BM, BK])
    db = tl.make_tensor_descriptor(b, [N, K], [K, 1], [BN, BK])
    dc = tl.make_tensor_descriptor(c, [M, N], [N, 1], [BM, BN])
    columns = tl.cdiv(N, BN)
    tiles = tl.cdiv(M, BM) * columns
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), flatten=FLATTEN):
        i, j = tile // columns * BM, tile % columns * BN
        acc = tl.zeros((BM, BN), tl.float32)
        for k in range(0, K, BK):
            acc = tl.dot(da.load([i, k]), db.load([j, k]).T, acc)
        dc.store([i, j], acc.to(tl.float16))


@triton.jit
def matmul_roles(a, b, c, n, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """c = a · bᵀ with the loop split over specialized warps."""
    i, j = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in tl.range(0, tl.cdiv(K, BK), warp_specialize=True, num_stages=3):
        acc = tl.dot(a.load([i, k * BK]), b.load([j, k * BK]).T, acc)
    rows, columns = i + tl.arange(0, BM), j + tl.arange(0, BN)
    tl.store(c + rows[:, None] * n + columns[None, :], acc.to(tl.float16))


@triton.jit
def matmul_consumers(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """The same with descriptors of its own, and rows enough for two warpgroups that multiply. One
    tile of rows: where they start elsewhere, this compiler adds half a tile twice.
    """
    i, j = 0, tl.program_id(0) * BN
    da = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BM, BK])
    db = tl.make_tensor_descriptor(b, [N, K], [K, 1], [BN, BK])
    acc = tl.zeros((BM, BN), tl.float32)
    for k in tl.range(0, tl.cdiv(K, BK), warp_specialize=True, num_stages=3):
        acc = tl.dot(da.load([i, k * BK]), db.load([j, k * BK]).T, acc)
    rows, columns = tl.arange(0, BM), j + tl.arange(0, BN)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c + rows[:, None] * N + columns[None, :], acc.to(tl.float16), inside)


@triton.jit
def attention(q, k, v, o, scale, length, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Causal attention of one head through descriptors."""
    start = tl.program_id(0) * BM
    i = start + tl.arange(0, BM)
    vq = q.load([start, 0])
    most = tl.full((BM,), -1e30, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, D), tl.float32)
    for at in range(0, tl.minimum(length, start + BM), BN):
        j = at + tl.arange(0, BN)
        score = tl.dot(vq, k.load([at, 0]).T) * (scale * 1.4426950408889634)
        score = tl.where((j[None, :] <= i[:, None]) & (j[None, :] < length), score, -1e30)
        new = tl.maximum(most, tl.max(score, 1))
        p = tl.exp2(score - new[:, None])
        decay = tl.exp2(most - new)
        total = total * decay + tl.sum(p, 1)
        acc = tl.dot(p.to(tl.bfloat16), v.load([at, 0]), acc * decay[:, None])
        most = new
    o.store([start, 0], (acc / total[:, None]).to(tl.bfloat16))


def _tiles(type: str, *shapes: str) -> str:
    names = "abc" if len(shapes) == 3 else "xz"
    return " ".join(f"{n}:tensordesc<{type}[{s}]>" for n, s in zip(names, shapes, strict=True))


_PERSISTENT = "a:*fp16:16 b:*fp16:16 c:*fp16:16 M:i32 N:i32:16 K:i32:16"
_E4 = "a:tensordesc<fp8e4nv[64,128]> b:tensordesc<fp8e4nv[64,128]> c:tensordesc<fp16[64,64]> K:i32"
_QKV = " ".join(
    f"{n}:tensordesc<bf16[{r},64]>" for n, r in zip("qkvo", (64, 32, 32, 64), strict=True)
)
PROGRAMS = [
    Program("tma_copy_f32", copy, 90, _tiles("fp32", "32,32", "32,32"), {"R": 32, "C": 32}),
    Program("tma_copy_i8", copy, 90, _tiles("i8", "64,64", "64,64"), {"R": 64, "C": 64}),
    Program("tma_copy_f16_wide", copy, 90, _tiles("fp16", "16,256", "16,256"), {"R": 16, "C": 256}),
    Program("tma_copy_cube", copy_cube, 90, _tiles("fp16", "4,8,32", "8,4,32"), {"A": 4, "B": 8, "C": 32}),
    Program("tma_made_f32", copy_made, 90, "x:*fp32:16 z:*fp32:16 m:i32 n:i32:16", {"R": 16, "C": 64}),
    Program("tma_made_sm80", copy_made, 80, "x:*fp32:16 z:*fp32:16 m:i32 n:i32:16", {"R": 16, "C": 64}),
    Program("tma_reduce", reduce, 90, "x:*fp32:16 sums:*fp32:16 most:*i32:16 m:i32 n:i32:16", {"R": 16, "C": 32}),
    Program("tma_matmul_f16", matmul, 90, _tiles("fp16", "64,64", "64,128", "64,128") + " K:i32",
            {"BM": 64, "BN": 128, "BK": 64, "TRANSPOSED": False, "ACC": tl.float32}),
    Program("tma_matmul_bf16_two_warpgroups", matmul, 90, _tiles("bf16", "128,64", "64,64", "128,64") + " K:i32",
            {"BM": 128, "BN": 64, "BK": 64, "TRANSPOSED": True, "ACC": tl.float32}, {"num_warps": 8, "num_stages": 4}),
    Program("tma_matmul_f16_narrow", matmul, 90, _tiles("fp16", "64,32", "32,32", "64,32") + " K:i32",
            {"BM": 64, "BN": 32, "BK": 32, "TRANSPOSED": True, "ACC": tl.float32}, {"num_stages": 2}),
    Program("tma_matmul_two_blocks", matmul, 90, _tiles("fp16", "128,64", "64,128", "128,128") + " K:i32",
            {"BM": 128, "BN": 128, "BK": 64, "TRANSPOSED": False, "ACC": tl.float32}, {"num_ctas": 2}),
    Program("tma_matmul_e4m3", matmul, 90, _E4, {"BM": 64, "BN": 64, "BK": 128, "TRANSPOSED": True, "ACC": tl.float32}),
    Program("tma_matmul_tf32", matmul, 90, _tiles("fp32", "64,32", "64,32", "64,64") + " K:i32",
            {"BM": 64, "BN": 64, "BK": 32, "TRANSPOSED": True, "ACC": tl.float32}),
    Program("tma_matmul_persistent", matmul_persistent, 90, _PERSISTENT, {"BM": 64, "BN": 64, "BK": 64, "FLATTEN": False}),
    Program("tma_matmul_persistent_flat", matmul_persistent, 90, _PERSISTENT, {"BM": 64, "BN": 64, "BK": 64, "FLATTEN": True}),
    Program("tma_matmul_roles", matmul_roles, 90,
            "a:tensordesc<fp16[64,64]> b:tensordesc<fp16[128,64]> c:*fp16:16 n:i32:16 K:i32",
            {"BM": 64, "BN": 128, "BK": 64}),
    Program("tma_matmul_two_consumers", matmul_consumers, 90, _PERSISTENT, {"BM": 128, "BN": 128, "BK": 64}),
    Program("tma_attention", attention, 90, _QKV + " scale:fp32 length:i32", {"D": 64, "BM": 64, "BN": 32}),
]  # fmt: skip
