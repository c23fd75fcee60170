// Each block sends its words to the other one's shared memory with st.async, which completes bytes on an mbarrier there.
// y[block][i] = 100 * (block ^ 1) + i, from two rounds. 32 threads, a cluster of two.
extern "C" __global__ void __launch_bounds__(32) remote(int* y) {
  __shared__ __align__(16) int box[32];
  __shared__ __align__(8) u64 bar;
  u32 rank = cluster_rank(), to = in_block(at(box + threadIdx.x), rank ^ 1), signal = in_block(at(&bar), rank ^ 1);
  int total = 0;
  if (threadIdx.x == 0) {
    init(at(&bar), 1);
    ASM("fence.mbarrier_init.release.cluster;", );
  }
  ASM("barrier.cluster.arrive.release.aligned;", );
  ASM("barrier.cluster.wait.acquire.aligned;", );
#pragma unroll 1
  for (int round = 0; round < 2; round++) {
    if (threadIdx.x == 0) expect(at(&bar), 128);
    ASM("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];", "r"(to), "r"(100 * rank + threadIdx.x + round), "r"(signal));
    ASM("{\n\t.reg .pred %%p;\n\tAGAIN:\n\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %%p, [%0], %1;\n\t@!%%p bra AGAIN;\n\t}",
        "r"(at(&bar)), "r"(round));
    total = total * 1000 + box[31 - threadIdx.x];
    ASM("barrier.cluster.arrive.release.aligned;", );
    ASM("barrier.cluster.wait.acquire.aligned;", );
  }
  y[blockIdx.x * 32 + threadIdx.x] = total;
}
