"""The programs whose speed on the virtual machine is measured, as PTX and CUDA texts.

The arithmetic programs repeat one instruction on registers with ordinary values, so that what is
measured is the instruction: 64 of them per turn of the loop, plus its three.
"""

from __future__ import annotations

ARITHMETIC = {
    "add.f32": "add.f32 %f{d}, %f{a}, %f{b};",
    "mul.f32": "mul.f32 %f{d}, %f{a}, %f{b};",
    "fma.rn.f32": "fma.rn.f32 %f{d}, %f{a}, %f{b}, %f{c};",
    "fma.rn.ftz.f32": "fma.rn.ftz.f32 %f{d}, %f{a}, %f{b}, %f{c};",
    "max.f32": "max.f32 %f{d}, %f{a}, %f{b};",
    "neg.f32": "neg.f32 %f{d}, %f{a};",
    "ex2.approx.ftz.f32": "ex2.approx.ftz.f32 %f{d}, %f{a};",
    "rcp.approx.ftz.f32": "rcp.approx.ftz.f32 %f{d}, %f{a};",
    "add.f64": "add.f64 %e{d}, %e{a}, %e{b};",
    "fma.rn.f64": "fma.rn.f64 %e{d}, %e{a}, %e{b}, %e{c};",
    "add.f16x2": "add.f16x2 %h{d}, %h{a}, %h{b};",
    "fma.rn.f16x2": "fma.rn.f16x2 %h{d}, %h{a}, %h{b}, %h{c};",
    "mul.bf16x2": "mul.bf16x2 %g{d}, %g{a}, %g{b};",
    "fma.rn.bf16x2": "fma.rn.bf16x2 %g{d}, %g{a}, %g{b}, %g{c};",
    "add.s32": "add.s32 %r{d}, %r{a}, %r{b};",
    "mul.lo.s32": "mul.lo.s32 %r{d}, %r{a}, %r{b};",
    "mad.lo.s32": "mad.lo.s32 %r{d}, %r{a}, %r{b}, %r{c};",
    "mul.wide.u32": "mul.wide.u32 %l{d}, %r{a}, %r{b};",
    "mad.wide.s32": "mad.wide.s32 %l{d}, %r{a}, %r{b}, %l{c};",
    "mul.hi.u32": "mul.hi.u32 %r{d}, %r{a}, %r{b};",
    "add.s64": "add.s64 %l{d}, %l{a}, %l{b};",
    "min.s32": "min.s32 %r{d}, %r{a}, %r{b};",
    "and.b32": "and.b32 %r{d}, %r{a}, %r{b};",
    "shl.b32": "shl.b32 %r{d}, %r{a}, 3;",
    "shr.u32": "shr.u32 %r{d}, %r{a}, %r3;",
    "lop3.b32": "lop3.b32 %r{d}, %r{a}, %r{b}, %r{c}, 0x96;",
    "prmt.b32": "prmt.b32 %r{d}, %r{a}, %r{b}, 0x5410;",
    "bfe.u32": "bfe.u32 %r{d}, %r{a}, 4, 7;",
    "shf.l.wrap.b32": "shf.l.wrap.b32 %r{d}, %r{a}, %r{b}, 5;",
    "mov.b32": "mov.b32 %r{d}, %r{a};",
    "mov.b32 {b16, b16}": "mov.b32 %r{d}, {{%s{a}, %s{b}}};",
    "mov.b64 {b32, b32}": "mov.b64 {{%r{d}, %r{e}}}, %l{a};",
    "setp.lt.s32": "setp.lt.s32 %q{d}, %r{a}, %r{b};",
    "setp.gt.f32": "setp.gt.f32 %q{d}, %f{a}, %f{b};",
    "setp.ne.f32": "setp.ne.f32 %q{d}, %f{a}, %f{b};",
    "setp.lt.and.s32": "setp.lt.and.s32 %q{d}, %r{a}, %r{b}, %q{a};",
    "selp.b32": "selp.b32 %r{d}, %r{a}, %r{b}, %q{c};",
    "@p mov.b32": "@%q{c} mov.b32 %r{d}, %r{a};",
    "cvt.rn.f32.s32": "cvt.rn.f32.s32 %f{d}, %r{a};",
    "cvt.rzi.s32.f32": "cvt.rzi.s32.f32 %r{d}, %f{a};",
    "cvt.s64.s32": "cvt.s64.s32 %l{d}, %r{a};",
    "cvt.u32.u64": "cvt.u32.u64 %r{d}, %l{a};",
    "cvt.f32.f16": "cvt.f32.f16 %f{d}, %s{a};",
    "cvt.rn.f16.f32": "cvt.rn.f16.f32 %s{d}, %f{a};",
    "cvt.f32.bf16": "cvt.f32.bf16 %f{d}, %t{a};",
    "cvt.rn.bf16.f32": "cvt.rn.bf16.f32 %t{d}, %f{a};",
    "cvt.rn.f16x2.f32": "cvt.rn.f16x2.f32 %h{d}, %f{a}, %f{b};",
    "cvt.rn.bf16x2.f32": "cvt.rn.bf16x2.f32 %g{d}, %f{a}, %f{b};",
    "cvt.rn.satfinite.e4m3x2.f32": "cvt.rn.satfinite.e4m3x2.f32 %s{d}, %f{a}, %f{b};",
    "cvt.rn.f16x2.e4m3x2": "cvt.rn.f16x2.e4m3x2 %h{d}, %u{a};",
}
"""By name: the instruction; `a`, `b`, `c` stand for sources, `d` (and `e`) for destinations."""

MATRIX = {
    "mma.m16n8k16.bf16": (
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%g0, %g1, %g2, %g3}}, {{%g{a}, %g{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k16.f16": (
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%h0, %h1, %h2, %h3}}, {{%h{a}, %h{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k8.tf32": (
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%r0, %r1, %r2, %r3}}, {{%r{a}, %r{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k32.s8": (
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{{%r{d}, %r{e}, %r{x}, %r{y}}}, {{%r0, %r1, %r2, %r3}}, {{%r{a}, %r{b}}}, "
        "{{%r{d}, %r{e}, %r{x}, %r{y}}};"
    ),
}
"""By name: the instruction; `a` and `b` stand for B, `d`, `e`, `x`, `y` for the accumulator."""

_REPEATED = """.version 8.6
.target sm_90
.address_size 64
.visible .entry repeated(.param .u64 floats, .param .u64 integers, .param .u32 turns) {{
  .reg .f32 %f<48>; .reg .f64 %e<48>; .reg .b32 %r<48>; .reg .b64 %l<48>; .reg .pred %q<48>;
  .reg .b32 %h<48>, %g<48>; .reg .b16 %s<48>, %t<48>, %u<48>;
  .reg .b32 %lane, %left; .reg .b64 %at, %p; .reg .pred %again;
  mov.u32 %lane, %tid.x;
  ld.param.u64 %p, [floats];
  mad.wide.u32 %at, %lane, 32, %p;
{floats}
  ld.param.u64 %p, [integers];
  mad.wide.u32 %at, %lane, 32, %p;
{integers}
  mov.b32 %r3, 3;
  ld.param.u32 %left, [turns];
LOOP:
{body}
  sub.s32 %left, %left, 1;
  setp.ne.s32 %again, %left, 0;
  @%again bra LOOP;
  ret;
}}
"""
_FLOATS = """  ld.global.f32 %f{i}, [%at+{at}];
  cvt.f64.f32 %e{i}, %f{i};
  cvt.rn.f16.f32 %s{i}, %f{i};
  cvt.rn.bf16.f32 %t{i}, %f{i};
  cvt.rn.f16x2.f32 %h{i}, %f{i}, %f{i};
  cvt.rn.bf16x2.f32 %g{i}, %f{i}, %f{i};
  cvt.rn.satfinite.e4m3x2.f32 %u{i}, %f{i}, %f{i};"""
_INTEGERS = """  ld.global.b32 %r{i}, [%at+{at}];
  cvt.s64.s32 %l{i}, %r{i};
  setp.gt.s32 %q{i}, %r{i}, 0;"""


def repeated(instruction: str, copies: int = 64) -> str:
    """The program `repeated(floats, integers, turns)` around copies of one instruction."""
    body = []
    for i in range(copies):
        places = {"a": i % 8, "b": (i + 1) % 8, "c": (i + 2) % 8}
        results = {"d": 8 + i % 8, "e": 16 + i % 8, "x": 24 + i % 8, "y": 32 + i % 8}
        body.append("  " + instruction.format(**places, **results))
    return _REPEATED.format(
        floats="\n".join(_FLOATS.format(i=i, at=4 * i) for i in range(8)),
        integers="\n".join(_INTEGERS.format(i=i, at=4 * i) for i in range(8)),
        body="\n".join(body),
    )


STORES = """.version 8.6
.target sm_90
.address_size 64
.shared .align 16 .b8 tile[32768];
.visible .entry stores(.param .u32 turns) {
  .reg .b32 %lane, %at, %left, %v<4>; .reg .pred %again;
  mov.u32 %lane, %tid.x;
  mov.b32 %at, tile;
  mad.lo.s32 %at, %lane, 16, %at;
  mov.b32 %v0, 1; mov.b32 %v1, 2; mov.b32 %v2, 3; mov.b32 %v3, 4;
  ld.param.u32 %left, [turns];
LOOP:
BODY
  sub.s32 %left, %left, 1;
  setp.ne.s32 %again, %left, 0;
  @%again bra LOOP;
  ret;
}
""".replace("BODY", "\n".join(["  st.shared.v4.b32 [%at], {%v0, %v1, %v2, %v3};"] * 16))
"""Every lane stores 16 bytes to a place of its own, 16 times per turn."""

_ACCUMULATORS = 64  # of each lane: 64 rows by 128 columns over the 128 lanes of a warpgroup
WGMMA_SHARED = 3 * (128 + 128) * 64 * 2 + 128 * 128 * 4 + 1024
WGMMA = """
// c[m, n] = sum_k a[m, k] * b[n, k], bf16 in, f32 out: one load warp (TMA, mbarriers), two math
// warpgroups (wgmma), blocks of 128 x 128 x 64, three stages, a TMA store.
typedef unsigned int u32;
typedef unsigned long long u64;
#define STAGES 3
#define A_BYTES (128 * 64 * 2)
#define STAGE_BYTES (2 * A_BYTES)
struct alignas(64) Map { char bytes[128]; };
__device__ __forceinline__ void wait(u32 bar, int parity) {
  asm volatile("{ .reg .pred p; LOOP: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;"
               " @p bra DONE; bra LOOP; DONE: }" ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void load(u32 dst, const Map* map, int x, int y, u32 bar) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
               " [%0], [%1, {%2, %3}], [%4];" ::"r"(dst), "l"(map), "r"(x), "r"(y), "r"(bar)
               : "memory");
}
__device__ __forceinline__ u64 describe(u32 address) {  // K-major, 128-byte swizzle
  return (u64)(address >> 4 & 0x3FFF) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62;
}
extern "C" __global__ void __launch_bounds__(288)
gemm(const __grid_constant__ Map ma, const __grid_constant__ Map mb,
     const __grid_constant__ Map mc, int k) {
  extern __shared__ __align__(1024) char shared[];
  __shared__ u64 bars[2 * STAGES];
  u32 base = (u32)__cvta_generic_to_shared(shared), full = (u32)__cvta_generic_to_shared(bars);
  u32 empty = full + 8 * STAGES;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, steps = k / 64;
  int row0 = blockIdx.y * 128, col0 = blockIdx.x * 128;
  if (threadIdx.x == 0) {
    for (int s = 0; s < 2 * STAGES; s++)
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                   ::"r"(full + 8 * s), "r"(s < STAGES ? 1 : 2));
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (warp == 8) {
    if (lane == 0)
      for (int i = 0; i < steps; i++) {
        int s = i % STAGES;
        if (i >= STAGES) wait(empty + 8 * s, (i / STAGES - 1) & 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                     ::"r"(full + 8 * s), "r"(STAGE_BYTES) : "memory");
        load(base + s * STAGE_BYTES, &ma, i * 64, row0, full + 8 * s);
        load(base + s * STAGE_BYTES + A_BYTES, &mb, i * 64, col0, full + 8 * s);
      }
    return;
  }
  int group = warp / 4;
  float d[64] = {};
  for (int i = 0; i < steps; i++) {
    int s = i % STAGES;
    wait(full + 8 * s, i / STAGES & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    u32 a = base + s * STAGE_BYTES + group * 64 * 128, b = base + s * STAGE_BYTES + A_BYTES;
    for (int kk = 0; kk < 4; kk++)
      asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {REGISTERS},"
                   " %64, %65, 1, 1, 1, 0, 0;"
                   : OUTPUTS : "l"(describe(a + kk * 32)), "l"(describe(b + kk * 32)));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    if (threadIdx.x % 128 == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(empty + 8 * s) : "memory");
  }
  u32 out = base + STAGES * STAGE_BYTES;
  int row = group * 64 + warp % 4 * 16 + lane / 4;
  for (int j = 0; j < 16; j++)
    for (int e = 0; e < 4; e++) {
      u32 at = out + ((row + (e >> 1) * 8) * 128 + j * 8 + lane % 4 * 2 + (e & 1)) * 4;
      asm volatile("st.shared.f32 [%0], %1;" ::"r"(at), "f"(d[j * 4 + e]) : "memory");
    }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("bar.sync 1, 256;" ::: "memory");
  if (threadIdx.x == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];"
                 ::"l"(&mc), "r"(col0), "r"(row0), "r"(out) : "memory");
    asm volatile("cp.async.bulk.commit_group;");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
""".replace("REGISTERS", ",".join(f"%{i}" for i in range(_ACCUMULATORS))).replace(
    "OUTPUTS", ", ".join(f'"+f"(d[{i}])' for i in range(_ACCUMULATORS))
)
"""A warp-specialized Hopper GEMM by hand; `WGMMA_SHARED` bytes of dynamic shared memory."""

ROWS = """
// Every block sums its own rows: work without any traffic between blocks.
extern "C" __global__ void rows(const float *x, float *y, int length) {
    const float *row = x + (blockIdx.x * 256 + threadIdx.x) * 4;
    float sum = 0;
    for (int i = 0; i < length; ++i) sum = fmaf(row[i & 3], 0.5f, sum + 1.0f);
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}
"""
