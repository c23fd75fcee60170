// The shape of generated code for the design's matmul kernel: c[i, j] = sum_k a[i, k] * b[j, k].
//
// Blocks run on the OpenMP runtime that the process has loaded; tiles are per-thread arrays; `load` packs, `mma` is the
// micro-kernel, `store` writes with bounds. BM, BN, BK and the element type are constants of the compiled kernel.
#include "mma_split.h"

#ifndef TILE
#define TILE 256, 256, 128
#endif
#ifndef ELEMENT
#define ELEMENT float
#endif

using tw::bf16;
using tw::f16;
using tw::clamp;
using tw::store_tile;

template <int BM, int BN, int BK, class T>
static void blocks(const T* a, const T* b, T* c, const int64_t* size, const int64_t* stride, int threads) {
  const int64_t M = size[0], N = size[1], K = size[2];
  const int64_t a0 = stride[0], a1 = stride[1], b0 = stride[2], b1 = stride[3], c0 = stride[4], c1 = stride[5];
#ifdef SPLIT  // f32 on AMX
  using Matrix = tw::BestMatrix<T, BM, BN, BK>;
#else
  using Matrix = tw::Matrix<T, BM, BN, BK>;
#endif
  const int64_t grid_i = (M + BM - 1) / BM, grid_j = (N + BN - 1) / BN;
#pragma omp parallel num_threads(threads)
  {
    alignas(64) static thread_local float acc[Matrix::ACC], x[Matrix::LEFT], y[Matrix::RIGHT];
#pragma omp for schedule(dynamic, 1)
    for (int64_t block = 0; block < grid_i * grid_j; block++) {
      const int64_t i = block % grid_i * BM, j = block / grid_i * BN;
      memset(acc, 0, sizeof acc);
      for (int64_t k = 0; k < K; k += BK) {
        Matrix::load_left(x, a + i * a0 + k * a1, a0, a1, M - i, K - k);
        Matrix::load_right(y, b + j * b0 + k * b1, b0, b1, N - j, K - k);
        Matrix::mma(acc, x, y, clamp(M - i, BM), clamp(N - j, BN), clamp(K - k, BK));
      }
      store_tile<BM, BN>(c + i * c0 + j * c1, c0, c1, M - i, N - j, acc);
    }
  }
}

extern "C" void matmul(const ELEMENT* a, const ELEMENT* b, ELEMENT* c, const int64_t* size, const int64_t* stride,
                       int threads) {
  blocks<TILE>(a, b, c, size, stride, threads);
}
