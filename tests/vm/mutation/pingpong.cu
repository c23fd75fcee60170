// Two groups of two warps take turns at one buffer: each turn, a group writes, its partner reads, through four named
// barriers. y[turn][i] = 10 * turn + (i ^ 33). 128 threads.
extern "C" __global__ void __launch_bounds__(128) pingpong(int* y, int turns) {
  __shared__ int buffer[64];
  int group = threadIdx.x / 64, i = threadIdx.x % 64;
#pragma unroll 1
  for (int turn = 0; turn < turns; turn++) {
    if (group == 0) {
      if (turn > 0) ASM("bar.sync 2, 128;", );
      buffer[i] = 10 * turn + i;
      ASM("bar.arrive 1, 128;", );
    } else {
      ASM("bar.sync 1, 128;", );
      y[turn * 64 + i] = buffer[i ^ 33];
      if (turn + 1 < turns) ASM("bar.arrive 2, 128;", );
    }
  }
}
