// sm_80: one warp copies with cp.async and arrives on an mbarrier when its copies are there, another one reads them; two
// stages, freed through a second pair of mbarriers. y[i] = sum over steps of x[step][31 - i]. 64 threads.
extern "C" __global__ void __launch_bounds__(64) arrivals(const int* x, int* y, int steps) {
  __shared__ __align__(16) int stage[2][128];
  __shared__ __align__(8) u64 full[2], empty[2];
  int lane = threadIdx.x % 32;
  if (threadIdx.x < 2) {
    ASM("mbarrier.init.shared.b64 [%0], 32;", "r"(at(full + threadIdx.x)));
    ASM("mbarrier.init.shared.b64 [%0], 32;", "r"(at(empty + threadIdx.x)));
  }
  __syncthreads();
  int sum = 0;
#pragma unroll 1
  for (int i = 0; i < steps; i++) {
    int s = i % 2;
    if (threadIdx.x < 32) {
      ASM("{\n\t.reg .pred %%p;\n\tAGAIN:\n\tmbarrier.test_wait.parity.shared.b64 %%p, [%0], %1;\n\t@!%%p bra AGAIN;\n\t}", "r"(at(empty + s)), "r"((i / 2 + 1) & 1));
      ASM("cp.async.cg.shared.global [%0], [%1], 16;", "r"(at(stage[s] + lane * 4)), "l"(x + i * 128 + lane * 4));
      ASM("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];", "r"(at(full + s)));
    } else {
      ASM("{\n\t.reg .pred %%p;\n\tAGAIN:\n\tmbarrier.test_wait.parity.shared.b64 %%p, [%0], %1;\n\t@!%%p bra AGAIN;\n\t}", "r"(at(full + s)), "r"(i / 2 & 1));
      for (int j = 0; j < 4; j++) sum += stage[s][(31 - lane) * 4 + j];
      ASM("mbarrier.arrive.shared.b64 _, [%0];", "r"(at(empty + s)));
    }
  }
  if (threadIdx.x >= 32) y[lane] = sum;
}
