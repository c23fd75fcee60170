// acc[i][n] += sum_k a[i][k] * b[n][k] over packed tiles (pack.h): one f32 fma per product, in ascending k.
//
// The register block is up to 14 × 32 accumulators with AVX-512 (28 of 32 registers) and 6 × 16 with AVX2 (12 of 16); one
// broadcast element feeds two fmas. A block starts from zero and is added to the accumulator tile at the end, so the
// loads of the tile run under the fmas. The tile has a pitch of BN + one vector: with a power of two all rows of a
// register block would fall into two cache sets (measured: 343 against 370 GFLOP/s).
//
// Loop order: a column panel of b (NR × BK, at most half of a 48 KB first-level cache: BK = 128 is best) is outermost
// and the panels of a stream from the second-level cache. Bigger BM and BN make packing and last-level traffic rarer.
// Measured with 2 cores whose fma peak is 428 GFLOP/s, f32, 1024³ (torch: 300 to 325):
//   128 × 128 × 64: 271, 256 × 256 × 128: 301, 512 × 512 × 128: 320 (packing 9 %, store of the result 3 %).
// Tried without gain: software prefetch of the next source tile, rows of a broadcast from unpacked copies.
#pragma once
#include "pack.h"

namespace tw {

template <int BN> constexpr int ACC_PITCH = round_up(BN, LANES) + LANES;
template <int BM, int BN> constexpr int ACC_SIZE = BM * ACC_PITCH<BN>;

// One step of the contraction: an f32 fma, or (PAIRS) two bf16 products per lane, see mma_bf16.h.
template <bool PAIRS> TW_INLINE vf dot(vf a, vf b, vf c) {
#ifdef __AVX512BF16__
  if constexpr (PAIRS) return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#endif
  return vfma(a, b, c);
}

template <bool PAIRS, int ROWS, int VECS, int PITCH>
__attribute__((noinline)) void micro_kernel(float* acc, const float* a, const float* b, int k_count) {
  vf c[ROWS][VECS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECS; v++) {
      c[i][v] = vzero();
      _mm_prefetch((const char*)(acc + i * PITCH + v * LANES), _MM_HINT_T0);
    }
  for (int k = 0; k < k_count; k++) {
    vf right[VECS];
#pragma GCC unroll 2
    for (int v = 0; v < VECS; v++) right[v] = load(b + k * NR + v * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vf left = vset(a[k * ROWS + i]);
#pragma GCC unroll 2
      for (int v = 0; v < VECS; v++) c[i][v] = dot<PAIRS>(left, right[v], c[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECS; v++) {
      float* p = acc + i * PITCH + v * LANES;
      store(p, c[i][v] + load(p));
    }
}

template <bool PAIRS, int BM, int VECS, int AP, int CP>
TW_INLINE void column(float* acc, const float* a, const float* b, int m, int k) {
  constexpr int LOW = Panels<BM>::LOW, TALL = Panels<BM>::TALL;
  int i = 0;
  for (int p = 0; p < TALL && i < m; p++, i += LOW + 1)
    micro_kernel<PAIRS, LOW + 1, VECS, CP>(acc + i * CP, a + i * AP, b, k);
  for (; i < m; i += LOW) micro_kernel<PAIRS, LOW, VECS, CP>(acc + i * CP, a + i * AP, b, k);
}

// m, n: valid rows of the two operands as given to pack_a and pack_b; k: the larger of their valid columns, at most BK.
template <int BM, int BN, int BK, bool PAIRS = false, int CP = ACC_PITCH<BN>>
TW_INLINE void mma_f32(float* acc, const float* a, const float* b, int m, int n, int k) {
  constexpr int AP = round_up(BK, LANES), PANEL = NR * AP;
  constexpr int FULL = round_up(BN, LANES) / NR * NR;
  for (int j = 0; j < FULL && j < n; j += NR) column<PAIRS, BM, 2, AP, CP>(acc + j, a, b + j * AP, m, k);
  if constexpr (FULL < BN)
    if (FULL < n) column<PAIRS, BM, 1, AP, CP>(acc + FULL, a, b + FULL / NR * PANEL, m, k);
}

// acc[i][n] = 0 for low <= n < high, i < rows.
template <int PITCH> TW_INLINE void clear(float* acc, int rows, int low, int high) {
  if (high > low)
    for (int i = 0; i < rows; i++) memset(acc + (int64_t)i * PITCH + low, 0, (high - low) * 4);
}

// c[i][n] = acc[i][n], converted to the type of c, for i < rows_left, n < cols_left.
template <int BM, int BN, class T>
__attribute__((noinline)) void store_tile(T* base, int64_t row_stride, int64_t col_stride, int64_t rows_left,
                                         int64_t cols_left, const float* acc) {
  const int rows = clamp(rows_left, BM), cols = clamp(cols_left, BN);
  for (int i = 0; i < rows; i++) {
    const float* s = acc + i * ACC_PITCH<BN>;
    T* d = base + i * row_stride;
    int n = 0;
    if (col_stride == 1) {
      for (; n + LANES <= cols; n += LANES) store(d + n, load(s + n));
      if (n < cols) store_first(d + n, load(s + n), cols - n);
    } else {
      for (; n < cols; n++) put(d + n * col_stride, s[n]);
    }
  }
}

}  // namespace tw
