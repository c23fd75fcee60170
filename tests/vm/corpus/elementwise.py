"""Kernels without products: masks, functions, random numbers, integers, narrow types, atomics."""

# ruff: noqa: E501  (a program of the table stays one line)

import triton
import triton.language as tl
from programs import Program
from triton.language.extra import libdevice
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def add(x, y, z, n, B: tl.constexpr):
    """z = x + y over n elements."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    tl.store(z + i, tl.load(x + i, inside) + tl.load(y + i, inside), inside)


@triton.jit
def add_overlapped(x, y, z, n, B: tl.constexpr):
    """The same, launched before the kernel that it depends on has ended."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    gdc_wait()
    sum = tl.load(x + i, inside, other=0.0) + tl.load(y + i, inside, other=0.0)
    gdc_launch_dependents()
    tl.store(z + i, sum, inside, cache_modifier=".cs")


@triton.jit
def functions(x, z, n, B: tl.constexpr):
    """One row of z per function of x."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=1.0, eviction_policy="evict_first")
    tl.store(z + i, tl.sigmoid(v), inside)
    tl.store(z + n + i, libdevice.tanh(v), inside)
    tl.store(z + 2 * n + i, tl.erf(v), inside)
    tl.store(z + 3 * n + i, tl.exp(v), inside)
    tl.store(z + 4 * n + i, tl.log(tl.abs(v)), inside)
    tl.store(z + 5 * n + i, tl.sin(v), inside)
    tl.store(z + 6 * n + i, tl.cos(v), inside)
    tl.store(z + 7 * n + i, tl.rsqrt(tl.abs(v)), inside)
    tl.store(z + 8 * n + i, tl.sqrt_rn(tl.abs(v)), inside)
    tl.store(z + 9 * n + i, tl.div_rn(1.0, v), inside)
    tl.store(z + 10 * n + i, 3.0 / v, inside)
    tl.store(z + 11 * n + i, tl.exp2(v), inside)
    tl.store(z + 12 * n + i, tl.log2(tl.abs(v)), inside)
    tl.store(z + 13 * n + i, tl.floor(v), inside)
    tl.store(z + 14 * n + i, tl.ceil(v), inside)
    tl.store(z + 15 * n + i, tl.fma(v, v, -1.0), inside)
    tl.store(z + 16 * n + i, libdevice.pow(tl.abs(v), v), inside)
    tl.store(z + 17 * n + i, libdevice.log1p(tl.abs(v)), inside)
    tl.store(z + 18 * n + i, libdevice.expm1(v), inside)
    tl.store(z + 19 * n + i, libdevice.lgamma(tl.abs(v)), inside)
    tl.store(z + 20 * n + i, libdevice.atan2(v, 0.5), inside)
    tl.store(z + 21 * n + i, libdevice.fmod(v, 0.75), inside)
    tl.store(z + 22 * n + i, tl.clamp(v, -0.5, 0.5), inside)
    tl.store(z + 23 * n + i, libdevice.nearbyint(v * 2.5), inside)


@triton.jit
def functions64(x, z, n, B: tl.constexpr):
    """The same in double precision."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=1.0)
    tl.store(z + i, tl.exp(v), inside)
    tl.store(z + n + i, tl.log(tl.abs(v)), inside)
    tl.store(z + 2 * n + i, tl.sin(v), inside)
    tl.store(z + 3 * n + i, tl.erf(v), inside)
    tl.store(z + 4 * n + i, 1.0 / v, inside)
    tl.store(z + 5 * n + i, tl.sqrt(tl.abs(v)), inside)
    tl.store(z + 6 * n + i, libdevice.tanh(v), inside)
    tl.store(z + 7 * n + i, libdevice.pow(tl.abs(v), v), inside)


@triton.jit
def integers(x, y, z, n, B: tl.constexpr):
    """One row of z (64 bits) per operation on 32-bit integers."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    a = tl.load(x + i, inside, other=1)
    b = tl.load(y + i, inside, other=1)
    ua = a.to(tl.uint32, bitcast=True)
    ub = b.to(tl.uint32, bitcast=True)
    wide = a.to(tl.int64)
    tl.store(z + i, (a // b).to(tl.int64), inside)
    tl.store(z + n + i, (a % b).to(tl.int64), inside)
    tl.store(z + 2 * n + i, tl.umulhi(ua, ub).to(tl.int64), inside)
    tl.store(z + 3 * n + i, (ua // ub).to(tl.int64), inside)
    tl.store(z + 4 * n + i, (ua % ub).to(tl.int64), inside)
    tl.store(z + 5 * n + i, (a >> (b & 31)).to(tl.int64), inside)
    tl.store(z + 6 * n + i, (ua >> (ub & 31)).to(tl.int64), inside)
    tl.store(z + 7 * n + i, (a << (b & 31)).to(tl.int64), inside)
    tl.store(z + 8 * n + i, wide * b * 0x9E3779B97F4A7C1, inside)
    tl.store(z + 9 * n + i, wide * wide // b, inside)
    tl.store(z + 10 * n + i, libdevice.popc(a).to(tl.int64), inside)
    tl.store(z + 11 * n + i, libdevice.clz(a).to(tl.int64), inside)
    tl.store(z + 12 * n + i, libdevice.brev(a).to(tl.int64), inside)
    tl.store(z + 13 * n + i, tl.minimum(a, b).to(tl.int64), inside)
    tl.store(z + 14 * n + i, tl.maximum(ua, ub).to(tl.int64), inside)
    tl.store(z + 15 * n + i, ((a ^ b) | (~a & b)).to(tl.int64), inside)
    tl.store(z + 16 * n + i, tl.abs(a).to(tl.int64), inside)
    tl.store(z + 17 * n + i, a.to(tl.int8).to(tl.int64), inside)
    tl.store(z + 18 * n + i, a.to(tl.uint16).to(tl.int64), inside)
    tl.store(z + 19 * n + i, a.to(tl.float32).to(tl.int64), inside)
    tl.store(z + 20 * n + i, tl.where(ua > ub, wide, -1), inside)
    tl.store(z + 21 * n + i, ua.to(tl.uint64).to(tl.float64).to(tl.int64), inside)


@triton.jit
def dropout(x, z, n, keep, seed, B: tl.constexpr):
    """z = x / keep where a random number of the counter-based generator is below `keep`."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside)
    kept = tl.rand(seed, i) < keep
    tl.store(z + i, tl.where(kept, v / keep, 0.0), inside)


@triton.jit
def normals(z, n, seed, B: tl.constexpr):
    """Normally distributed numbers (Box-Muller over Philox)."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(z + i, tl.randn(seed, i), i < n)


@triton.jit
def narrow(x, e4, e5, h, b, w, n, B: tl.constexpr):
    """f32 to fp8, f16 and bf16, and everything back to f32: five rows of w."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=0.0)
    tl.store(e4 + i, v.to(e4.dtype.element_ty), inside)
    tl.store(e5 + i, v.to(tl.float8e5), inside)
    tl.store(h + i, v.to(tl.float16), inside)
    tl.store(b + i, v.to(tl.bfloat16), inside)
    tl.debug_barrier()
    tl.store(w + i, tl.load(e4 + i, inside, other=0.0).to(tl.float32), inside)
    tl.store(w + n + i, tl.load(e5 + i, inside, other=0.0).to(tl.float32), inside)
    tl.store(w + 2 * n + i, v.to(tl.float16, fp_downcast_rounding="rtz").to(tl.float32), inside)
    tl.store(w + 3 * n + i, v.to(tl.float8e5).to(tl.bfloat16).to(tl.float32), inside)
    tl.store(w + 4 * n + i, v.to(e4.dtype.element_ty).to(tl.float16).to(tl.float32), inside)


@triton.jit
def halves(x, y, z, n, B: tl.constexpr):
    """Arithmetic within a narrow type: seven rows of z."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    a = tl.load(x + i, inside, other=1.0)
    b = tl.load(y + i, inside, other=1.0)
    tl.store(z + i, a * b + a, inside)
    tl.store(z + n + i, tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL), inside)
    tl.store(z + 2 * n + i, tl.minimum(a, b), inside)
    tl.store(z + 3 * n + i, tl.where(a < b, a - b, -a), inside)
    tl.store(z + 4 * n + i, (a / b).to(z.dtype.element_ty), inside)
    tl.store(z + 5 * n + i, tl.abs(b), inside)
    tl.store(z + 6 * n + i, tl.clamp(a, -1.0, 1.0), inside)


@triton.jit
def histogram(x, counts, n, B: tl.constexpr, BINS: tl.constexpr):
    """counts += how often each of 0 … BINS-1 occurs in x."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=0)
    found = tl.histogram(v, BINS, mask=inside)
    tl.atomic_add(counts + tl.arange(0, BINS), found)


@triton.jit
def scatter_atomics(x, where, sums, halves, most, least, bits, n, B: tl.constexpr):
    """Atomics of several kinds at indices from memory."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=0.0)
    at = tl.load(where + i, inside, other=0)
    tl.atomic_add(sums + at, v, inside)
    tl.atomic_add(halves + at, v.to(tl.float16), inside, sem="relaxed")
    tl.atomic_max(most + at, v, inside)
    tl.atomic_min(least + at, (v * 64).to(tl.int32), inside, scope="cta")
    tl.atomic_or(bits + at, (1 << (i % 31)).to(tl.int32), inside)


@triton.jit
def locked_sum(x, total, lock, n, B: tl.constexpr):
    """Adds up blocks under a spin lock."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    sum = tl.sum(tl.load(x + i, i < n, other=0.0))
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(total, tl.load(total, volatile=True) + sum)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def gather(x, where, z, columns, R: tl.constexpr, C: tl.constexpr):
    """z[r, c] = x[where[r], c] from memory, then columns permuted within the block."""
    r = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.arange(0, C)
    rows = tl.load(where + r)
    v = tl.load(x + rows[:, None] * columns + c[None, :], c[None, :] < columns, other=-1.0)
    flip = tl.broadcast_to((columns - 1 - c)[None, :], (R, C))
    v = tl.gather(v, tl.maximum(flip, 0), axis=1)
    tl.store(z + r[:, None] * columns + c[None, :], v, c[None, :] < columns)


@triton.jit
def transpose(x, z, m, n, M: tl.constexpr, N: tl.constexpr):
    """z = xᵀ by tiles."""
    i = tl.program_id(0) * M + tl.arange(0, M)
    j = tl.program_id(1) * N + tl.arange(0, N)
    v = tl.load(x + i[:, None] * n + j[None, :], (i[:, None] < m) & (j[None, :] < n))
    tl.store(z + j[:, None] * m + i[None, :], v.T, (j[:, None] < n) & (i[None, :] < m))


@triton.jit
def shuffles(x, z, B: tl.constexpr):
    """Interleaves, splits, reverses and reshapes within a block: four rows of z."""
    i = tl.arange(0, B)
    v = tl.load(x + i)
    even, odd = tl.split(tl.reshape(v, (B // 2, 2)))
    tl.store(z + i, tl.interleave(odd, even))
    tl.store(z + B + i, tl.flip(v, 0))
    cube = tl.permute(tl.reshape(v, (B // 16, 4, 4)), (1, 2, 0))
    tl.store(z + 2 * B + i, tl.reshape(cube, (B,)))
    tl.store(z + 3 * B + i, tl.reshape(tl.join(even, odd).trans(), (B,)))


@triton.jit
def assembly(x, z, n, B: tl.constexpr):
    """Packed bytes by inline assembly: each byte of x doubled with saturation of the whole word."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    inside = i < n
    v = tl.load(x + i, inside, other=0)
    w = tl.inline_asm_elementwise(
        "{ .reg .b32 t; shl.b32 t, $1, 1; and.b32 t, t, 0xFEFEFEFE; lop3.b32 $0, t, $1, 3, 0x6A; }",
        "=r,r", [v], dtype=tl.int8, is_pure=True, pack=4,
    )  # fmt: skip
    tl.store(z + i, w, inside)


@triton.jit
def talkative(x, n, B: tl.constexpr):
    """Prints and asserts."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, i < n, other=0)
    tl.device_assert(v >= 0, "negative")
    tl.device_print("seen ", v)


_XYZ = "x:*fp32:16 y:*fp32:16 z:*fp32:16 n:i32"
_XZ = "x:*fp32:16 z:*fp32:16 n:i32"
_FP8 = "e5:*fp8e5:16 h:*fp16:16 b:*bf16:16 w:*fp32:16 n:i32"
_ATOMICS = (
    "x:*fp32:16 where:*i32:16 sums:*fp32:16 halves:*fp16:16 most:*fp32:16 least:*i32:16 "
    "bits:*i32:16 n:i32"
)
PROGRAMS = [
    Program("add", add, 80, _XYZ, {"B": 256}, lines=True),
    Program("add_vectors", add, 80, _XYZ + ":16", {"B": 1024}),
    Program("add_f16_scalar", add, 80, "x:*fp16 y:*fp16 z:*fp16 n:i32", {"B": 512}),
    Program("add_i8", add, 80, "x:*i8:16 y:*i8:16 z:*i8:16 n:i32:16", {"B": 2048}),
    Program("add_overlapped", add_overlapped, 90, _XYZ, {"B": 256}, {"launch_pdl": True}),
    Program("functions", functions, 80, _XZ, {"B": 128}),
    Program("functions64", functions64, 80, "x:*fp64:16 z:*fp64:16 n:i32", {"B": 128}),
    Program("integers", integers, 80, "x:*i32:16 y:*i32:16 z:*i64:16 n:i32", {"B": 256}),
    Program("dropout", dropout, 80, _XZ + " keep:fp32 seed:i32", {"B": 512}),
    Program("normals", normals, 80, "z:*fp32:16 n:i32 seed:i32", {"B": 256}),
    Program("narrow_sm80", narrow, 80, "x:*fp32:16 e4:*fp8e4b15:16 " + _FP8, {"B": 512}),
    Program("narrow_sm89", narrow, 89, "x:*fp32:16 e4:*fp8e4nv:16 " + _FP8, {"B": 512}),
    Program("narrow_sm90", narrow, 90, "x:*fp32:16 e4:*fp8e4nv:16 " + _FP8, {"B": 512}),
    Program("halves_f16", halves, 80, "x:*fp16:16 y:*fp16:16 z:*fp16:16 n:i32", {"B": 512}),
    Program("halves_bf16_sm80", halves, 80, "x:*bf16:16 y:*bf16:16 z:*bf16:16 n:i32", {"B": 512}),
    Program("halves_bf16_sm90", halves, 90, "x:*bf16:16 y:*bf16:16 z:*bf16:16 n:i32", {"B": 512}),
    Program("histogram", histogram, 80, "x:*i32:16 counts:*i32:16 n:i32", {"B": 512, "BINS": 64}),
    Program("scatter_atomics_sm80", scatter_atomics, 80, _ATOMICS, {"B": 256}),
    Program("scatter_atomics_sm90", scatter_atomics, 90, _ATOMICS, {"B": 256}),
    Program("locked_sum", locked_sum, 80, "x:*fp32:16 total:*fp32:16 lock:*i32:16 n:i32", {"B": 128}),
    Program("gather", gather, 80, "x:*fp32:16 where:*i32:16 z:*fp32:16 columns:i32", {"R": 16, "C": 64}),
    Program("transpose", transpose, 80, "x:*fp16:16 z:*fp16:16 m:i32 n:i32", {"M": 64, "N": 32}),
    Program("shuffles", shuffles, 80, "x:*i32:16 z:*i32:16", {"B": 256}),
    Program("assembly", assembly, 80, "x:*i8:16 z:*i8:16 n:i32", {"B": 512}),
    Program("talkative", talkative, 80, "x:*i32:16 n:i32", {"B": 32}, {"debug": True, "num_warps": 1}),
]  # fmt: skip
