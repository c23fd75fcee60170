// sm_80
// CUB's block and warp algorithms.
#include <cub/block/block_exchange.cuh>
#include <cub/block/block_load.cuh>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/warp/warp_merge_sort.cuh>
#include <cub/warp/warp_scan.cuh>

struct Most { __device__ double operator()(double a, double b) const { return a < b ? b : a; } };

extern "C" __global__ void __launch_bounds__(96) scan_blocks(const int* x, int* o, int* totals, int n) {
  using Load = cub::BlockLoad<int, 96, 4, cub::BLOCK_LOAD_WARP_TRANSPOSE>;
  using Store = cub::BlockStore<int, 96, 4, cub::BLOCK_STORE_TRANSPOSE>;
  using Scan = cub::BlockScan<int, 96>;
  __shared__ union { typename Load::TempStorage load; typename Scan::TempStorage scan; typename Store::TempStorage store; } temp;
  int v[4], total, at = blockIdx.x * 384;
  Load(temp.load).Load(x + at, v, n - at, 0);
  __syncthreads();
  Scan(temp.scan).ExclusiveSum(v, v, total);
  __syncthreads();
  Store(temp.store).Store(o + at, v, n - at);
  if (threadIdx.x == 0) totals[blockIdx.x] = total;
}

extern "C" __global__ void __launch_bounds__(128) reduce_blocks(const double* x, double* o, int n) {
  using Reduce = cub::BlockReduce<double, 128, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  using Other = cub::BlockReduce<double, 128, cub::BLOCK_REDUCE_RAKING>;
  __shared__ typename Reduce::TempStorage one;
  __shared__ typename Other::TempStorage two;
  int i = blockIdx.x * 128 + threadIdx.x, valid = min(128, n - (int)blockIdx.x * 128);
  double v = i < n ? x[i] : 0;
  double sum = Reduce(one).Sum(v, valid);
  double most = Other(two).Reduce(v, Most(), valid);
  if (threadIdx.x == 0) { o[2 * blockIdx.x] = sum; o[2 * blockIdx.x + 1] = most; }
}

extern "C" __global__ void __launch_bounds__(64) sort_blocks(float* keys, int* values) {
  using Sort = cub::BlockRadixSort<float, 64, 5, int>;
  __shared__ typename Sort::TempStorage temp;
  float k[5]; int v[5];
  for (int j = 0; j < 5; j++) { k[j] = keys[blockIdx.x * 320 + threadIdx.x * 5 + j]; v[j] = values[blockIdx.x * 320 + threadIdx.x * 5 + j]; }
  Sort(temp).SortDescending(k, v);
  for (int j = 0; j < 5; j++) { keys[blockIdx.x * 320 + threadIdx.x * 5 + j] = k[j]; values[blockIdx.x * 320 + threadIdx.x * 5 + j] = v[j]; }
}

struct Less { template <class T> __device__ bool operator()(T a, T b) const { return a < b; } };
extern "C" __global__ void __launch_bounds__(64) sort_warps(long long* x, short* scans) {
  using Sort = cub::WarpMergeSort<long long, 3, 16>;
  using Scan = cub::WarpScan<short, 16>;
  __shared__ typename Sort::TempStorage temp[4];
  __shared__ typename Scan::TempStorage scan[4];
  int group = threadIdx.x / 16;
  long long v[3];
  for (int j = 0; j < 3; j++) v[j] = x[threadIdx.x * 3 + j];
  Sort(temp[group]).Sort(v, Less());
  for (int j = 0; j < 3; j++) x[threadIdx.x * 3 + j] = v[j];
  short s = scans[threadIdx.x];
  Scan(scan[group]).InclusiveSum(s, s);
  scans[threadIdx.x] = s;
}
