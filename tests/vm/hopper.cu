// c[m, n] = sum_k a[m, k] * b[n, k], bf16 in, f32 out, for sm_90a. Block tile 128 x 64 x 64: one load warp with TMA,
// two math warpgroups with wgmma, full and empty mbarriers, a TMA store through shared memory.
typedef unsigned int u32;
typedef unsigned long long u64;
#define STAGES 3
#define BM 128
#define BN 64
#define BK 64
#define A_BYTES (BM * BK * 2)
#define B_BYTES (BN * BK * 2)
#define STAGE_BYTES (A_BYTES + B_BYTES)
struct alignas(64) Map { char bytes[128]; };

__device__ __forceinline__ void init(u32 bar, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count));
}
__device__ __forceinline__ void wait(u32 bar, int parity) {
  asm volatile(
      "{ .reg .pred p; LOOP: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra DONE; bra LOOP; DONE: }" ::"r"(bar),
      "r"(parity) : "memory");
}
__device__ __forceinline__ void arrive(u32 bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}
__device__ __forceinline__ void expect(u32 bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
__device__ __forceinline__ void load(u32 dst, const Map* map, int x, int y, u32 bar) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(dst),
      "l"(map), "r"(x), "r"(y), "r"(bar) : "memory");
}
__device__ __forceinline__ u64 describe(u32 address) {  // K-major, 128-byte swizzle
  return (u64)(address >> 4 & 0x3FFF) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

extern "C" __global__ void __launch_bounds__(288) gemm(const __grid_constant__ Map ma, const __grid_constant__ Map mb,
                                                       const __grid_constant__ Map mc, int k) {
  extern __shared__ __align__(1024) char shared[];
  __shared__ u64 bars[2 * STAGES];
  u32 base = (u32)__cvta_generic_to_shared(shared), full = (u32)__cvta_generic_to_shared(bars), empty = full + 8 * STAGES;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, steps = k / BK;
  int row0 = blockIdx.y * BM, col0 = blockIdx.x * BN;
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) { init(full + 8 * s, 1); init(empty + 8 * s, 2); }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (warp == 8) {
    if (lane == 0) {
      for (int i = 0; i < steps; i++) {
        int s = i % STAGES;
        if (i >= STAGES) wait(empty + 8 * s, (i / STAGES - 1) & 1);  // EMPTY
        expect(full + 8 * s, STAGE_BYTES);
        load(base + s * STAGE_BYTES, &ma, i * BK, row0, full + 8 * s);
        load(base + s * STAGE_BYTES + A_BYTES, &mb, i * BK, col0, full + 8 * s);
      }
    }
    return;
  }
  int group = warp / 4;
  float d[32] = {};
  for (int i = 0; i < steps; i++) {
    int s = i % STAGES;
    wait(full + 8 * s, i / STAGES & 1);  // FULL
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    u32 a = base + s * STAGE_BYTES + group * 64 * 128, b = base + s * STAGE_BYTES + A_BYTES;
    for (int kk = 0; kk < BK / 16; kk++) {
      u64 da = describe(a + kk * 32), db = describe(b + kk * 32);
      asm volatile(
          "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
          "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, 1, 1, 1, 0, 0;"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
            "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),
            "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
            "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
          : "l"(da), "l"(db));
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");  // MATRIX
    if (threadIdx.x % 128 == 0) arrive(empty + 8 * s);
  }
  u32 out = base + STAGES * STAGE_BYTES;
  int row = group * 64 + warp % 4 * 16 + lane / 4;
  for (int j = 0; j < 8; j++)
    for (int e = 0; e < 4; e++) {
      u32 at = out + ((row + (e >> 1) * 8) * BN + j * 8 + lane % 4 * 2 + (e & 1)) * 4;
      asm volatile("st.shared.f32 [%0], %1;" ::"r"(at), "f"(d[j * 4 + e]) : "memory");
    }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // FENCE
  asm volatile("bar.sync 1, 256;" ::: "memory");                // NAMED
  if (threadIdx.x == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&mc), "r"(col0),
                 "r"(row0), "r"(out) : "memory");
    asm volatile("cp.async.bulk.commit_group;");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
