// sm_80 sm_90a
// CuTe: c = a · bᵀ by tiles of 64, swizzled shared memory filled by cp.async; mma.sync, on Hopper wgmma.
#include <cute/tensor.hpp>
using namespace cute;
#if __CUDA_ARCH__ >= 900
using Atom = SM90_64x64x16_F32F16F16_SS<GMMA::Major::K, GMMA::Major::K>;
using Mma = decltype(make_tiled_mma(Atom{}));
using SmemA = decltype(tile_to_shape(GMMA::Layout_K_SW128_Atom<half_t>{}, Shape<_64, _64, _2>{}));
#else
using Mma = decltype(make_tiled_mma(SM80_16x8x16_F32F16F16F32_TN{}, Layout<Shape<_2, _2>>{}, Tile<_32, _32, _16>{}));
using SmemA = decltype(tile_to_shape(composition(Swizzle<3, 3, 3>{}, Layout<Shape<_8, _64>, Stride<_64, _1>>{}), Shape<_64, _64, _2>{}));
#endif
extern "C" __global__ void __launch_bounds__(128) multiply(const half_t* a, const half_t* b, float* c, int m, int n, int k) {
  auto gA = local_tile(make_tensor(make_gmem_ptr(a), make_shape(m, k), make_stride(k, _1{})), Shape<_64, _64>{}, make_coord(blockIdx.x, _));
  auto gB = local_tile(make_tensor(make_gmem_ptr(b), make_shape(n, k), make_stride(k, _1{})), Shape<_64, _64>{}, make_coord(blockIdx.y, _));
  auto gC = local_tile(make_tensor(make_gmem_ptr(c), make_shape(m, n), make_stride(n, _1{})), Shape<_64, _64>{}, make_coord(blockIdx.x, blockIdx.y));
  __shared__ alignas(1024) half_t ma[cosize_v<SmemA>], mb[cosize_v<SmemA>];
  auto sA = make_tensor(make_smem_ptr(ma), SmemA{}), sB = make_tensor(make_smem_ptr(mb), SmemA{});
  auto copy_tile = make_tiled_copy(Copy_Atom<SM80_CP_ASYNC_CACHEGLOBAL<uint128_t>, half_t>{}, Layout<Shape<_16, _8>, Stride<_8, _1>>{}, Layout<Shape<_1, _8>>{});
  auto mine = copy_tile.get_slice(threadIdx.x);
  auto fromA = mine.partition_S(gA); auto toA = mine.partition_D(sA); auto fromB = mine.partition_S(gB); auto toB = mine.partition_D(sB);
  Mma mma; auto part = mma.get_slice(threadIdx.x);
  auto acc = part.make_fragment_C(part.partition_C(gC)); clear(acc);
  auto fetch = [&](int t) { copy(copy_tile, fromA(_, _, _, t), toA(_, _, _, t % 2)); copy(copy_tile, fromB(_, _, _, t), toB(_, _, _, t % 2)); };
  int tiles = size<2>(gA);
  fetch(0); cp_async_fence();
  for (int t = 0; t < tiles; t++) {
    if (t + 1 < tiles) fetch(t + 1);
    cp_async_fence(); cp_async_wait<1>();
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
    __syncthreads();
#if __CUDA_ARCH__ >= 900
    auto rA = part.make_fragment_A(part.partition_A(sA)); auto rB = part.make_fragment_B(part.partition_B(sB));
    warpgroup_fence_operand(acc); warpgroup_arrive();
    gemm(mma, rA(_, _, _, t % 2), rB(_, _, _, t % 2), acc);
    warpgroup_commit_batch(); warpgroup_wait<0>(); warpgroup_fence_operand(acc);
#else
    auto rA = part.make_fragment_A(part.partition_A(sA(_, _, 0))); auto rB = part.make_fragment_B(part.partition_B(sB(_, _, 0)));
    auto loadA = make_tiled_copy_A(Copy_Atom<SM75_U32x4_LDSM_N, half_t>{}, mma); auto loadB = make_tiled_copy_B(Copy_Atom<SM75_U32x4_LDSM_N, half_t>{}, mma);
    auto la = loadA.get_slice(threadIdx.x); auto lb = loadB.get_slice(threadIdx.x);
    copy(loadA, la.partition_S(sA)(_, _, _, t % 2), la.retile_D(rA)); copy(loadB, lb.partition_S(sB)(_, _, _, t % 2), lb.retile_D(rB));
    gemm(mma, rA, rB, acc);
#endif
    __syncthreads();
  }
  copy(acc, part.partition_C(gC));
}
