// y[i] = sum over tiles of x[tile][i]: a load warp fills a ring of 3 stages, two math warps empty it.
// 96 threads; x is steps x 64 ints, one row of 256 bytes per stage.
extern "C" __global__ void __launch_bounds__(96) ring(const __grid_constant__ Map map, int* y, int steps) {
  __shared__ __align__(128) int stage[3][64];
  __shared__ __align__(8) u64 full[3], empty[3];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int s = 0; s < 3; s++) { init(at(full + s), 1); init(at(empty + s), 2); }
    fence_async();
  }
  __syncthreads();
  if (warp == 2) {
    if (lane == 0)
#pragma unroll 1
      for (int i = 0; i < steps; i++) {
        int s = i % 3;
        wait(at(empty + s), (i / 3 + 1) & 1);
        expect(at(full + s), 256);
        tile(at(stage[s]), &map, 0, i, at(full + s));
      }
    return;
  }
  int sum = 0;
#pragma unroll 1
  for (int i = 0; i < steps; i++) {
    int s = i % 3;
    wait(at(full + s), i / 3 & 1);
    sum += stage[s][threadIdx.x ^ 1];
    __syncwarp();
    if (lane == 0) arrive(at(empty + s));
  }
  y[threadIdx.x] = sum;
}
