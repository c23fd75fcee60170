// sm_90
// Thread block clusters, and libcu++'s barriers, pipelines, atomics and bulk copies.
#include <cooperative_groups.h>
#include <cuda/atomic>
#include <cuda/barrier>
#include <cuda/pipeline>
#include <cuda/ptx>
namespace cg = cooperative_groups;

extern "C" __global__ void __cluster_dims__(4, 1, 1) ring(const int* x, int* o) {
  __shared__ int mine[64], total;
  auto cluster = cg::this_cluster();
  int rank = cluster.block_rank(), i = blockIdx.x * 64 + threadIdx.x;
  mine[threadIdx.x] = x[i];
  if (threadIdx.x == 0) total = 0;
  cluster.sync();
  int* next = cluster.map_shared_rank(mine, (rank + 1) % cluster.num_blocks());
  atomicAdd(cluster.map_shared_rank(&total, 0), mine[threadIdx.x]);
  int v = next[63 - threadIdx.x];
  cluster.sync();
  o[i] = v;
  if (rank == 0 && threadIdx.x == 0) o[gridDim.x * 64 + blockIdx.x / 4] = total;
}

// Double buffering with cuda::pipeline: a row of 256 per step.
extern "C" __global__ void rows(const float* x, float* o, int count) {
  __shared__ float stage[2][256];
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
  auto block = cg::this_thread_block();
  auto pipe = cuda::make_pipeline(block, &state);
  float sum = 0;
  for (int fetch = 0, use = 0; use < count; use++) {
    for (; fetch < count && fetch < use + 2; fetch++) {
      pipe.producer_acquire();
      cuda::memcpy_async(block, stage[fetch % 2], x + fetch * 256, cuda::aligned_size_t<16>(sizeof(stage[0])), pipe);
      pipe.producer_commit();
    }
    pipe.consumer_wait();
    sum = sum * 0.5f + stage[use % 2][255 - threadIdx.x];
    pipe.consumer_release();
  }
  o[threadIdx.x] = sum;
}

// A bulk copy that completes on a cuda::barrier, and one back.
extern "C" __global__ void bulk(const int* x, int* o) {
  __shared__ alignas(16) int stage[512];
  __shared__ cuda::barrier<cuda::thread_scope_block> bar;
  if (threadIdx.x == 0) {
    init(&bar, blockDim.x);
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
  }
  __syncthreads();
  cuda::barrier<cuda::thread_scope_block>::arrival_token token;
  if (threadIdx.x == 0) {
    cuda::device::memcpy_async_tx(stage, x + blockIdx.x * 512, cuda::aligned_size_t<16>(sizeof(stage)), bar);
    token = cuda::device::barrier_arrive_tx(bar, 1, sizeof(stage));
  } else token = bar.arrive();
  bar.wait(std::move(token));
  for (int i = threadIdx.x; i < 512; i += blockDim.x) stage[i] = stage[i] * 3 + 1;
  cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
  __syncthreads();
  if (threadIdx.x == 0) {
    cuda::ptx::cp_async_bulk(cuda::ptx::space_global, cuda::ptx::space_shared, o + blockIdx.x * 512, stage, sizeof(stage));
    cuda::ptx::cp_async_bulk_commit_group();
    cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<0>());
  }
}

// Messages from block to block through release and acquire.
extern "C" __global__ void messages(const int* x, int* data, int* flag, int* o) {
  cuda::atomic_ref<int, cuda::thread_scope_device> ready(flag[blockIdx.x / 2]);
  int i = blockIdx.x / 2 * 32 + threadIdx.x;
  if (blockIdx.x % 2) {
    data[i] = x[i] + 1;
    __syncwarp();
    if (threadIdx.x == 0) ready.store(1, cuda::memory_order_release);
  } else {
    if (threadIdx.x == 0) while (ready.load(cuda::memory_order_acquire) == 0) __nanosleep(20);
    __syncwarp();
    o[i] = data[i] * 2;
  }
}

struct alignas(16) Wide { double a; int b, c; };
extern "C" __global__ void atomics(Wide* wide, unsigned long long* most, float* sum, short* narrow, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  cuda::atomic_ref<unsigned long long, cuda::thread_scope_device>(*most).fetch_max(i * 7ull % 1000, cuda::memory_order_relaxed);
  cuda::atomic_ref<float, cuda::thread_scope_system>(*sum).fetch_add(0.5f);
  cuda::atomic_ref<short, cuda::thread_scope_device>(*narrow).fetch_add(1);
  if (i == 0) { Wide w = {2.5, 3, n}; *wide = w; }
}
