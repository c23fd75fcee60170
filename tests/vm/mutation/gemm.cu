// c = a * b^T, 64 x 8 x k, bf16 to f32: a load warp with TMA, one warpgroup with wgmma that keeps one group in flight,
// and a store through shared memory by TMA. 160 threads.
__device__ __forceinline__ u64 describe(u32 address) {  // K-major, 128-byte swizzle
  return (u64)(address >> 4 & 0x3FFF) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62;
}
extern "C" __global__ void __launch_bounds__(160) gemm(const __grid_constant__ Map ma, const __grid_constant__ Map mb,
                                                       const __grid_constant__ Map mc, int steps) {
  extern __shared__ __align__(1024) char memory[];  // 2 stages of a (8192) and b (1024), then c (2048)
  __shared__ __align__(8) u64 full[2], empty[2];
  u32 base = at(memory);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int s = 0; s < 2; s++) { init(at(full + s), 1); init(at(empty + s), 1); }
    fence_async();
  }
  __syncthreads();
  if (warp == 4) {
    if (lane == 0)
#pragma unroll 1
      for (int i = 0; i < steps; i++) {
        int s = i % 2;
        wait(at(empty + s), (i / 2 + 1) & 1);
        expect(at(full + s), 9216);
        tile(base + s * 9216, &ma, i * 64, 0, at(full + s));
        tile(base + s * 9216 + 8192, &mb, i * 64, 0, at(full + s));
      }
    return;
  }
  float d[4] = {};
#pragma unroll 1
  for (int i = 0; i < steps; i++) {
    int s = i % 2;
    wait(at(full + s), i / 2 & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < 4; k++) {
      u64 da = describe(base + s * 9216 + k * 32), db = describe(base + s * 9216 + 8192 + k * 32);
      asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, %4, %5, 1, 1, 1, 0, 0;"
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(da), "l"(db));
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])::"memory");
    if (i > 0 && threadIdx.x == 0) arrive(at(empty + (i - 1) % 2));
  }
  asm volatile("wgmma.wait_group.sync.aligned 0;" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])::"memory");
  float* out = (float*)(memory + 18432);
  int row = warp * 16 + lane / 4, column = lane % 4 * 2;
  for (int e = 0; e < 4; e++) out[(row + e / 2 * 8) * 8 + column + e % 2] = d[e];
  fence_async();
  ASM("bar.sync 1, 128;", );
  if (threadIdx.x == 0) {
    store_tile(&mc, 0, 0, base + 18432);
    ASM("cp.async.bulk.commit_group;", );
    ASM("cp.async.bulk.wait_group 0;", );
  }
}
