// total[0] = sum of x by three blocks; the last one to arrive adds the parts. 64 threads.
extern "C" __global__ void __launch_bounds__(64) split(const int* x, int* parts, u32* count, int* total) {
  __shared__ int s[2];
  __shared__ bool last;
  int v = x[blockIdx.x * 64 + threadIdx.x];
  for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = s[0] + s[1];
    __threadfence();
    last = atomicAdd(count, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 32) {
    int sum = 0;
    for (int i = 0; i < gridDim.x; i++) sum += parts[i];
    *total = sum;
  }
}
