// One name for the matrix path of every element type: what generated code uses, whatever the build's instruction set.
//
//   using Matrix = tw::Matrix<T, BM, BN, BK>;                     // T: float, tw::bf16, tw::f16
//   alignas(64) float acc[Matrix::ACC], x[Matrix::LEFT], y[Matrix::RIGHT];   // in 32-bit words
//   Matrix::load_left(x, base, row_stride, col_stride, rows_left, cols_left);
//   Matrix::load_right(y, ...);                                   // rows are n, columns are k
//   Matrix::mma(acc, x, y, m, n, k);                              // valid extents, see mma_f32.h; `fresh`: from zero
//   tw::store_tile<BM, BN>(c, row_stride, col_stride, rows_left, cols_left, acc);
//
// acc is row-major f32 with pitch Matrix::PITCH, which a last template argument may choose; elementwise epilogues run over it in place. A source may be a local
// tile as well as a tensor. f16 is packed as f32: products are exact and nothing is lost.
#pragma once
#include "mma_bf16.h"

namespace tw {

template <class T, int BM, int BN, int BK, int P = ACC_PITCH<BN>> struct Matrix {
  enum { PITCH = P, ACC = BM * P, LEFT = A_SIZE<BM, BK>, RIGHT = B_SIZE<BN, BK> };
  TW_INLINE void load_left(float* x, const T* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_a<BM, BK>(x, base, s0, s1, rows, cols);
  }
  TW_INLINE void load_right(float* y, const T* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_b<BN, BK>(y, base, s0, s1, rows, cols);
  }
  TW_INLINE void mma(float* acc, const float* x, const float* y, int m, int n, int k, bool fresh = false) {
    if (fresh) clear<P>(acc, m, 0, n);
    mma_f32<BM, BN, BK, false, P>(acc, x, y, m, n, k);
  }
};

#ifdef __AVX512BF16__
template <int BM, int BN, int BK, int P> struct Matrix<bf16, BM, BN, BK, P> {
  enum {
    PITCH = P,
    ACC = round_up(BM, 16) * P + 16,
    LEFT = LEFT_BF16<BM, BK>,
    RIGHT = RIGHT_BF16<BN, BK>
  };
  TW_INLINE void load_left(float* x, const bf16* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_a_bf16<BM, BK>(x, base, s0, s1, rows, cols);
  }
  TW_INLINE void load_right(float* y, const bf16* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_b_bf16<BN, BK>(y, base, s0, s1, rows, cols);
  }
  TW_INLINE void mma(float* acc, const float* x, const float* y, int m, int n, int k, bool fresh = false) {
    mma_bf16<BM, BN, BK, P>(acc, x, y, m, n, k, fresh);
  }
};
#endif

}  // namespace tw
