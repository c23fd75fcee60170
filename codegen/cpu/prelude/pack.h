// Loading an operand of `mma` is packing it into the micro-kernel's order, as f32.
//
// A tile of BM × BK comes from `base` with strides in elements (any sign); `rows_left` and `cols_left` say how much of the
// view is left from there (may be more than the tile, or negative), anything beyond reads as zero.
//   left operand   panels of H rows, a[panel][k][H]: the micro-kernel broadcasts single elements from one stream.
//                  BM is cut into the fewest panels of at most MICRO_ROWS rows, of equal height or one more.
//   right operand  b[n / NR][k][n % NR], NR = 2 vectors: the micro-kernel loads two vectors per k.
// Three paths each, by the strides: unit stride along the stored axis (copy), unit stride along k (W × W transposes in
// registers, about 3 elements per cycle), anything else (element by element).
//
// Written: every panel that holds a valid row, over all BK columns. `mma_f32` is told the valid extents and reads no more.
// Arrays must have A_SIZE / B_SIZE elements (stores of whole vectors reach past the last panel) and be 64-byte aligned.
#pragma once
#include "simd.h"

namespace tw {

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }
TW_INLINE int clamp(int64_t n, int most) { return n < 0 ? 0 : n > most ? most : (int)n; }

enum { NR = 2 * LANES };
template <int BM> struct Panels {
  enum { COUNT = (BM + MICRO_ROWS - 1) / MICRO_ROWS, LOW = BM / COUNT, TALL = BM % COUNT };
};
template <int BM, int BK> constexpr int A_SIZE = BM * round_up(BK, LANES) + LANES * LANES;
template <int BN, int BK> constexpr int B_SIZE = round_up(BN, NR) * round_up(BK, LANES);

// Up to W × W elements with unit stride along k, r[k] lane i = src[i * stride + k]; zero beyond rows and cols.
template <int H, class T>
TW_INLINE void load_transposed(vf (&r)[LANES], const T* src, int64_t stride, int rows, int cols) {
  if (rows >= H && cols == LANES) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) r[i] = i < H ? load(src + i * stride) : vzero();
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) r[i] = i < H && i < rows ? load_first(src + i * stride, cols) : vzero();
  }
  transpose(r);
}

// One panel: dst[k * PITCH + i] = src[i * row_stride + k * col_stride] for i < rows, k < cols, else zero (k < all).
// Stores whole vectors of which H lanes count, in ascending k, so the next row or panel overwrites the rest.
template <int H, int PITCH, class T>
TW_INLINE void pack_panel(float* dst, const T* src, int64_t row_stride, int64_t col_stride, int rows, int cols,
                          int all) {
  int k = 0;
  if (col_stride == 1) {
    for (; k < cols; k += LANES) {
      vf r[LANES];
      load_transposed<H>(r, src + k, row_stride, rows, clamp(cols - k, LANES));
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++) store(dst + (k + i) * PITCH, r[i]);
    }
  } else if (row_stride == 1 && rows >= LANES) {
    for (; k < cols; k++) store(dst + k * PITCH, load(src + k * col_stride));
  } else if (row_stride == 1) {
    for (; k < cols; k++) store(dst + k * PITCH, load_first(src + k * col_stride, rows));
  } else {
    for (; k < cols; k++)
      for (int i = 0; i < H; i++)
        dst[k * PITCH + i] = i < rows ? to_f32(src[i * row_stride + k * col_stride]) : 0.0f;
  }
  for (; k < all; k++) store(dst + k * PITCH, vzero());
}

template <int BM, int BK, class T>
__attribute__((noinline)) void pack_a(float* dst, const T* base, int64_t row_stride, int64_t col_stride,
                                     int64_t rows_left, int64_t cols_left) {
  constexpr int P = round_up(BK, LANES), LOW = Panels<BM>::LOW, TALL = Panels<BM>::TALL;
  const int rows = clamp(rows_left, BM), cols = clamp(cols_left, BK);
  int i = 0;
  for (int p = 0; p < TALL && i < rows; p++, i += LOW + 1)
    pack_panel<LOW + 1, LOW + 1>(dst + i * P, base + i * row_stride, row_stride, col_stride,
                                 clamp(rows - i, LOW + 1), cols, BK);
  for (; i < rows; i += LOW)
    pack_panel<LOW, LOW>(dst + i * P, base + i * row_stride, row_stride, col_stride, clamp(rows - i, LOW), cols,
                         BK);
}

template <int BN, int BK, class T>
__attribute__((noinline)) void pack_b(float* dst, const T* base, int64_t row_stride, int64_t col_stride,
                                     int64_t rows_left, int64_t cols_left) {
  constexpr int PANEL = NR * round_up(BK, LANES);
  const int rows = clamp(rows_left, BN), cols = clamp(cols_left, BK);
  for (int n = 0; n < round_up(rows, NR); n += LANES)
    pack_panel<LANES, NR>(dst + n / NR * PANEL + n % NR, base + n * row_stride, row_stride, col_stride,
                          clamp(rows - n, LANES), cols, BK);
}

}  // namespace tw
