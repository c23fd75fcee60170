// Matrix products of types without a packed micro-kernel: acc[i][j] += sum_k x[i, k] * y[k, j] over local tiles.
//
// The right operand is first copied row-major (unit stride along n) in the accumulator's type, so that the innermost loop
// is one vector multiply-add; four rows of the result share every load of it.
#pragma once
#include "element.h"

namespace tw {

TW_INLINE double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
TW_INLINE int32_t multiply_add(int32_t a, int32_t b, int32_t c) { return add(mul(a, b), c); }

template <int M, int N, int K, int XM, int XK, int YK, int YN, class A, class X, class Y>
__attribute__((noinline)) void multiply(A* acc, int pitch, const X* x, const Y* y) {
  enum { ROWS = 4, STEP = 64 };
  alignas(64) A right[K][STEP];
  for (int j = 0; j < N; j += STEP) {
    const int width = N - j < STEP ? N - j : STEP;
    for (int k = 0; k < K; k++)
      for (int n = 0; n < STEP; n++) right[k][n] = n < width ? (A)y[k * YK + (j + n) * YN] : (A)0;
    for (int i = 0; i < M; i += ROWS) {
      alignas(64) A sum[ROWS][STEP] = {};
      const int high = M - i < ROWS ? M - i : ROWS;
      for (int k = 0; k < K; k++)
        for (int r = 0; r < ROWS; r++) {
          const A left = (A)x[(i + (r < high ? r : 0)) * XM + k * XK];
#pragma omp simd
          for (int n = 0; n < STEP; n++) sum[r][n] = multiply_add(left, right[k][n], sum[r][n]);
        }
      for (int r = 0; r < high; r++)
        for (int n = 0; n < width; n++) {
          A* at = acc + (i + r) * pitch + j + n;
          *at = add(*at, sum[r][n]);
        }
    }
  }
}

}  // namespace tw
