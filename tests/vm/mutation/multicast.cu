// Each block of a cluster of two loads half of every tile for both, through a ring of two stages whose empty barriers
// live in every block and count both. y[block] = sum of the tiles. 64 threads; tiles of 64 ints.
extern "C" __global__ void __launch_bounds__(64) multicast(const __grid_constant__ Map map, int* y, int steps) {
  __shared__ __align__(128) int stage[2][64];
  __shared__ __align__(8) u64 full[2], empty[2];
  u32 rank = cluster_rank();
  int lane = threadIdx.x % 32, sum = 0;
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int s = 0; s < 2; s++) { init(at(full + s), 1); init(at(empty + s), 2); }
    ASM("fence.mbarrier_init.release.cluster;", );
  }
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
  if (threadIdx.x >= 32) {
    if (lane == 0)
#pragma unroll 1
      for (int i = 0; i < steps; i++) {
        int s = i % 2;
        ASM("{\n\t.reg .pred %%p;\n\tAGAIN:\n\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %%p, [%0], %1;\n\t@!%%p bra AGAIN;\n\t}",
            "r"(at(empty + s)), "r"((i / 2 + 1) & 1));
        expect(at(full + s), 256);
        ASM("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;",
            "r"(at(stage[s]) + rank * 128), "l"(&map), "r"(rank * 32), "r"(i), "r"(at(full + s)), "h"((unsigned short)3));
      }
  } else {
#pragma unroll 1
    for (int i = 0; i < steps; i++) {
      int s = i % 2;
      wait(at(full + s), i / 2 & 1);
      sum += stage[s][lane] + stage[s][63 - lane];
      __syncwarp();
      if (lane < 2) ASM("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];", "r"(in_block(at(empty + s), lane)));
    }
    y[blockIdx.x * 32 + lane] = sum;
  }
  __syncwarp();
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
}
