// sm_80
// cooperative_groups.h: tiles, coalesced and labeled groups, reductions, scans, asynchronous copies.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda/barrier>
namespace cg = cooperative_groups;

extern "C" __global__ void tiles(const int* x, int* o, int n) {
  auto block = cg::this_thread_block();
  auto tile = cg::tiled_partition<8>(block);
  auto warp = cg::tiled_partition<32>(block);
  int i = block.group_index().x * block.size() + block.thread_rank();
  int v = i < n ? x[i] : 0;
  int sum = cg::reduce(tile, v, cg::plus<int>());
  int most = cg::reduce(warp, v, cg::greater<int>());
  int before = cg::exclusive_scan(tile, v, cg::plus<int>());
  int upto = cg::inclusive_scan(warp, v);
  int next = tile.shfl_down(v, 1);
  int any = tile.any(v > 90);
  unsigned same = warp.match_any(v & 3);
  if (i < n) {
    o[i] = sum; o[n + i] = most; o[2 * n + i] = before; o[3 * n + i] = upto; o[4 * n + i] = tile.thread_rank() < 7 ? next : -1;
    o[5 * n + i] = any; o[6 * n + i] = __popc(same); o[7 * n + i] = tile.meta_group_rank();
  }
}

extern "C" __global__ void coalesced(const int* x, int* o, int* count, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int v = i < n ? x[i] : 0;
  if (v & 1) {
    auto active = cg::coalesced_threads();
    int place = 0;
    if (active.thread_rank() == 0) place = atomicAdd(count, active.size());
    place = active.shfl(place, 0) + active.thread_rank();
    o[place] = v;
    auto kin = cg::labeled_partition(active, v % 3);
    o[n + i] = kin.size() * 100 + kin.thread_rank();
  } else if (i < n) o[n + i] = -1;
}

extern "C" __global__ void copies(const float* x, float* o, int n) {
  extern __shared__ float stage[];
  auto block = cg::this_thread_block();
  const int size = 192;
  cg::memcpy_async(block, stage, x + blockIdx.x * size, cuda::aligned_size_t<16>(size * sizeof(float)));
  cg::memcpy_async(block, stage + size, x + (blockIdx.x + 1) * size, size * sizeof(float));
  cg::wait_prior<1>(block);
  float v = 0;
  for (int i = block.thread_rank(); i < size; i += block.size()) v += stage[size - 1 - i];
  cg::wait(block);
  for (int i = block.thread_rank(); i < size; i += block.size()) v -= stage[size + (i + 7) % size];
  o[blockIdx.x * block.size() + block.thread_rank()] = v;
}
