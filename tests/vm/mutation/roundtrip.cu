// y[i] = x[i] + 1 by bulk copies: in through an mbarrier, changed in place, out through bulk groups from two buffers that
// are reused once their reads are done. 64 threads; chunks of 256 bytes.
extern "C" __global__ void __launch_bounds__(64) roundtrip(const int* x, int* y, int chunks) {
  __shared__ __align__(128) int in[64], out[2][64];
  __shared__ __align__(8) u64 bar;
  if (threadIdx.x == 0) {
    init(at(&bar), 1);
    fence_async();
  }
  __syncthreads();
#pragma unroll 1
  for (int c = 0; c < chunks; c++) {
    if (threadIdx.x == 0) {
      expect(at(&bar), 256);
      ASM("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];", "r"(at(in)),
          "l"(x + c * 64), "r"(256), "r"(at(&bar)));
      ASM("cp.async.bulk.wait_group.read 1;", );
    }
    __syncthreads();
    wait(at(&bar), c & 1);
    out[c % 2][threadIdx.x] = in[63 - threadIdx.x] + 1;
    fence_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      ASM("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;", "l"(y + c * 64), "r"(at(out[c % 2])), "r"(256));
      ASM("cp.async.bulk.commit_group;", );
    }
  }
  if (threadIdx.x == 0) ASM("cp.async.bulk.wait_group 0;", );
}
