// Block 0 hands a tile to block 1 through a flag in global memory (release and acquire of gpu scope), block 1 hands a sum
// back through fences. 64 threads, 2 blocks.
extern "C" __global__ void __launch_bounds__(64) handover(int* data, u32* flags, int* y) {
  __shared__ int s[64];
  u32 seen;
  if (blockIdx.x == 0) {
    data[threadIdx.x] = 7 * threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 0) {
      ASM("st.release.gpu.global.u32 [%0], 1;", "l"(flags));
      do { asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flags + 1) : "memory"); } while (seen == 0);
      ASM("fence.acq_rel.gpu;", );
    }
    __syncthreads();
    y[threadIdx.x] = data[64 + (threadIdx.x ^ 3)];
  } else {
    if (threadIdx.x == 0)
      do { asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flags) : "memory"); } while (seen == 0);
    __syncthreads();
    s[threadIdx.x] = data[63 - threadIdx.x];
    __syncthreads();
    data[64 + threadIdx.x] = s[threadIdx.x ^ 9] + 1;
    __syncthreads();
    if (threadIdx.x == 0) {
      ASM("fence.acq_rel.gpu;", );
      ASM("red.relaxed.gpu.global.add.u32 [%0], 1;", "l"(flags + 1));
    }
  }
}
