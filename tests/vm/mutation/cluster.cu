// Each block of a cluster of two reads what the other wrote, twice, the second time with the roles of the buffers swapped
// back. y[block][i] = 100 * (block ^ 1) + (i ^ 5), then plus what the own block had. 32 threads.
extern "C" __global__ void __launch_bounds__(32) cluster(int* y) {
  __shared__ int s[32];
  u32 rank = cluster_rank(), peer = in_block(at(s + (threadIdx.x ^ 5)), rank ^ 1);
  int first, second;
  s[threadIdx.x] = 100 * rank + threadIdx.x;
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(first) : "r"(peer) : "memory");
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
  s[threadIdx.x] = first;
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(second) : "r"(peer) : "memory");
  y[blockIdx.x * 32 + threadIdx.x] = first * 1000 + second;
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
}
