"""Matrix products through pointers: pipelined with cp.async, mma.sync and wgmma of every type."""

# ruff: noqa: E501  (a program of the table stays one line)

import triton
import triton.language as tl
from programs import Program


@triton.jit
def matmul(a, b, c, M, N, K, sa, sb, sc, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
           ACC: tl.constexpr, PRECISION: tl.constexpr, TRANSPOSED: tl.constexpr):  # fmt: skip
    """c[M, N] = a[M, K] · b[K, N] (or b[N, K]ᵀ), rows first along the grid."""
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    j = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    pa = a + i[:, None] * sa + k[None, :]
    if TRANSPOSED:
        pb = b + j[None, :] * sb + k[:, None]
    else:
        pb = b + k[:, None] * sb + j[None, :]
    acc = tl.zeros((BM, BN), ACC)
    for at in range(0, K, BK):
        va = tl.load(pa, (i[:, None] < M) & (k[None, :] < K - at), other=0.0)
        vb = tl.load(pb, (k[:, None] < K - at) & (j[None, :] < N), other=0.0)
        acc = tl.dot(va, vb, acc, input_precision=PRECISION, out_dtype=ACC)
        pa += BK
        pb += BK if TRANSPOSED else BK * sb
    inside = (i[:, None] < M) & (j[None, :] < N)
    tl.store(c + i[:, None] * sc + j[None, :], acc.to(c.dtype.element_ty), inside)


@triton.jit
def matmul_split(a, b, c, M, N, K, sa, sb, sc, BM: tl.constexpr, BN: tl.constexpr,
                 BK: tl.constexpr, PARTS: tl.constexpr):  # fmt: skip
    """c += a · b, each of PARTS blocks adding its share of the sum atomically."""
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    j = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for _ in range(tl.cdiv(K, BK * PARTS)):
        va = tl.load(
            a + i[:, None] * sa + k[None, :], (i[:, None] < M) & (k[None, :] < K), other=0.0
        )
        vb = tl.load(
            b + k[:, None] * sb + j[None, :], (k[:, None] < K) & (j[None, :] < N), other=0.0
        )
        acc += tl.dot(va, vb)
        k += BK * PARTS
    inside = (i[:, None] < M) & (j[None, :] < N)
    tl.atomic_add(
        c + i[:, None] * sc + j[None, :], acc.to(c.dtype.element_ty), inside, sem="relaxed"
    )


@triton.jit
def matmul_u4(a, q, scale, zero, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr,
              BK: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    """c = a · ((q - zero) · scale): q[K / 8, N] holds eight 4-bit values of a column per word;
    scale and zero [K / GROUP, N].
    """
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    j = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for at in range(0, K, BK):
        kk = at + k
        va = tl.load(
            a + i[:, None] * K + kk[None, :], (i[:, None] < M) & (kk[None, :] < K), other=0.0
        )
        within = (kk[:, None] < K) & (j[None, :] < N)
        word = tl.load(q + (kk[:, None] // 8) * N + j[None, :], within, other=0)
        digit = (word >> ((kk[:, None] % 8) * 4)) & 15
        s = tl.load(scale + (kk[:, None] // GROUP) * N + j[None, :], within, other=0.0)
        z = tl.load(zero + (kk[:, None] // GROUP) * N + j[None, :], within, other=0.0)
        acc = tl.dot(va, (digit.to(tl.float16) - z) * s, acc)
    tl.store(
        c + i[:, None] * N + j[None, :], acc.to(tl.float16), (i[:, None] < M) & (j[None, :] < N)
    )


@triton.jit
def attention(q, k, v, o, scale, length, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
              CAUSAL: tl.constexpr):  # fmt: skip
    """o = softmax(q · kᵀ · scale) · v for one head per block of the second grid axis."""
    head = tl.program_id(1) * length * D
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    d = tl.arange(0, D)
    vq = tl.load(q + head + i[:, None] * D + d[None, :], i[:, None] < length, other=0.0)
    most = tl.full((BM,), -1e30, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, D), tl.float32)
    end = tl.minimum(length, (tl.program_id(0) + 1) * BM) if CAUSAL else length
    for at in range(0, end, BN):
        j = at + tl.arange(0, BN)
        vk = tl.load(k + head + j[None, :] * D + d[:, None], j[None, :] < length, other=0.0)
        score = tl.dot(vq, vk) * (scale * 1.4426950408889634)
        seen = j[None, :] < length
        if CAUSAL:
            seen &= j[None, :] <= i[:, None]
        score = tl.where(seen, score, -1e30)
        new = tl.maximum(most, tl.max(score, 1))
        p = tl.exp2(score - new[:, None])
        decay = tl.exp2(most - new)
        total = total * decay + tl.sum(p, 1)
        vv = tl.load(v + head + j[:, None] * D + d[None, :], j[:, None] < length, other=0.0)
        acc = tl.dot(p.to(vv.dtype), vv, acc * decay[:, None])
        most = new
    out = acc / total[:, None]
    tl.store(
        o + head + i[:, None] * D + d[None, :], out.to(o.dtype.element_ty), i[:, None] < length
    )


@triton.jit
def batched(a, b, c, BATCH: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """Several small products in one tile."""
    n, i, j, k = tl.arange(0, BATCH), tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    va = tl.load(a + n[:, None, None] * M * K + i[None, :, None] * K + k[None, None, :])
    vb = tl.load(b + n[:, None, None] * K * N + k[None, :, None] * N + j[None, None, :])
    out = tl.dot(va, vb)
    tl.store(c + n[:, None, None] * M * N + i[None, :, None] * N + j[None, None, :], out)


@triton.jit
def matmul_scaled(a, sa, b, sb, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """c = (a · 2^sa) · (b · 2^sb): microscaled fp8 and fp4 (packed in pairs along K)."""
    i, j = tl.arange(0, M), tl.arange(0, N)
    va = tl.load(a + i[:, None] * K + tl.arange(0, K)[None, :])
    vb = tl.load(b + tl.arange(0, K // 2)[:, None] * N + j[None, :])
    xa = tl.load(sa + i[:, None] * (K // 32) + tl.arange(0, K // 32)[None, :])
    xb = tl.load(sb + j[:, None] * (K // 32) + tl.arange(0, K // 32)[None, :])
    out = tl.dot_scaled(va, xa, "e4m3", vb, xb, "e2m1")
    tl.store(c + i[:, None] * N + j[None, :], out)


def product(name, arch, type, out, blocks, *, accumulate=tl.float32, precision="tf32", other=None,
            transposed=False, aligned=True, **options):  # fmt: skip
    """A `matmul` of one type and tile."""
    unit = ":16" if aligned else ""
    sizes = f" M:i32 N:i32 K:i32{unit} sa:i32{unit} sb:i32{unit} sc:i32{unit}"
    signature = f"a:*{type}:16 b:*{other or type}:16 c:*{out}:16{sizes}"
    constants = dict(zip(("BM", "BN", "BK"), blocks, strict=True))
    constants |= {"ACC": accumulate, "PRECISION": precision, "TRANSPOSED": transposed}
    return Program(name, matmul, arch, signature, constants, options)


_SPLIT = "M:i32 N:i32 K:i32 sa:i32:16 sb:i32:16 sc:i32:16"
_QKVO = "q:*{0}:16 k:*{0}:16 v:*{0}:16 o:*{0}:16 scale:fp32 length:i32"
_U4 = "a:*fp16:16 q:*i32:16 scale:*fp16:16 zero:*fp16:16 c:*fp16:16 M:i32 N:i32:16 K:i32:16"
PROGRAMS = [
    *(product(f"matmul_f16_sm80_stages{s}", 80, "fp16", "fp16", (64, 64, 32), num_stages=s) for s in (1, 3, 4)),
    *(product(f"matmul_bf16_sm90_stages{s}", 90, "bf16", "bf16", (64, 128, 64), num_stages=s) for s in (1, 3, 4)),
    product("matmul_bf16_sm89", 89, "bf16", "bf16", (128, 64, 32), num_warps=8),
    product("matmul_f16_unaligned", 80, "fp16", "fp32", (32, 32, 32), aligned=False, num_warps=2),
    product("matmul_f16_sums_f16", 80, "fp16", "fp16", (64, 32, 32), accumulate=tl.float16),
    product("matmul_f16_sums_f16_sm90", 90, "fp16", "fp16", (64, 64, 64), accumulate=tl.float16),
    product("matmul_f16_sm90_transposed", 90, "fp16", "fp32", (128, 64, 64), transposed=True, num_warps=8),
    product("matmul_e4m3_sm89", 89, "fp8e4nv", "fp32", (64, 64, 64), transposed=True),
    product("matmul_e4m3_sm90", 90, "fp8e4nv", "fp32", (64, 64, 128), transposed=True),
    product("matmul_e5m2_sm90", 90, "fp8e5", "fp16", (64, 64, 64), transposed=True),
    product("matmul_e5m2_sm80", 80, "fp8e5", "fp32", (64, 64, 64), transposed=True),
    product("matmul_s8_sm80", 80, "i8", "i32", (64, 64, 64), accumulate=tl.int32, transposed=True),
    product("matmul_s8_sm90", 90, "i8", "i32", (64, 64, 128), accumulate=tl.int32, transposed=True),
    product("matmul_tf32_sm80", 80, "fp32", "fp32", (64, 64, 32)),
    product("matmul_tf32_sm90", 90, "fp32", "fp32", (64, 64, 32), transposed=True),
    product("matmul_tf32x3", 80, "fp32", "fp32", (32, 64, 32), precision="tf32x3"),
    product("matmul_bf16x3", 90, "fp32", "fp32", (64, 32, 32), precision="bf16x3"),
    product("matmul_f32_exact", 80, "fp32", "fp32", (32, 32, 16), precision="ieee"),
    product("matmul_f64", 80, "fp64", "fp64", (32, 32, 16), accumulate=tl.float64, precision="ieee"),
    product("matmul_f16_one_warp", 80, "fp16", "fp32", (16, 16, 16), num_warps=1, num_stages=2),
    product("matmul_bf16_four_blocks", 90, "bf16", "fp32", (128, 128, 64), num_warps=8, num_ctas=4),
    product("matmul_e4m3_e5m2", 90, "fp8e4nv", "fp32", (64, 64, 64), other="fp8e5", transposed=True),
    Program("matmul_split_f32", matmul_split, 80, "a:*bf16:16 b:*bf16:16 c:*fp32:16 " + _SPLIT, {"BM": 32, "BN": 64, "BK": 32, "PARTS": 3}),
    Program("matmul_split_f16", matmul_split, 90, "a:*fp16:16 b:*fp16:16 c:*fp16:16 " + _SPLIT, {"BM": 64, "BN": 64, "BK": 32, "PARTS": 2}),
    Program("matmul_u4_sm80", matmul_u4, 80, _U4, {"BM": 32, "BN": 64, "BK": 32, "GROUP": 64}),
    Program("matmul_u4_sm90", matmul_u4, 90, _U4, {"BM": 64, "BN": 64, "BK": 64, "GROUP": 64}),
    Program("attention_f16_sm80", attention, 80, _QKVO.format("fp16"), {"D": 64, "BM": 64, "BN": 32, "CAUSAL": True}),
    Program("attention_bf16_sm90", attention, 90, _QKVO.format("bf16"), {"D": 64, "BM": 128, "BN": 64, "CAUSAL": True}, {"num_warps": 8}),
    Program("attention_full_sm90", attention, 90, _QKVO.format("fp16"), {"D": 128, "BM": 64, "BN": 64, "CAUSAL": False}),
    Program("batched", batched, 80, "a:*fp16:16 b:*fp16:16 c:*fp32:16", {"BATCH": 4, "M": 16, "N": 16, "K": 32}),
    Program("matmul_scaled_sm90", matmul_scaled, 90, "a:*fp8e4nv:16 sa:*u8:16 b:*u8:16 sb:*u8:16 c:*fp32:16", {"M": 64, "N": 64, "K": 128}),
]  # fmt: skip
