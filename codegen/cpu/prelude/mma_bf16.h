// acc[i][n] += sum_k a[i][k] * b[n][k] for bf16 operands, accumulated in f32, with the matrix hardware of the build:
//   AMX (__AMX_BF16__)          2 × 2 tiles of 16 × 16 accumulators, 32 k per instruction
//   vdpbf16ps (__AVX512BF16__)  the register blocks of mma_f32.h, two k per lane
// Builds without either pack bf16 as f32 (mma.h chooses). Both instructions read bf16 subnormals as zero and flush
// subnormal results, so table decoders must yield true bf16 values and scale afterwards.
//
// A 16 × 32 block of an operand is 16 registers, in one of two forms: by rows (register i holds row i) or by pairs
// (register p holds columns 2p and 2p + 1 of all rows). Memory gives one form, the instruction wants one, and a 16 × 16
// transpose of 32-bit elements turns one into the other.
//   AMX left      [row / 16][k / 32] blocks by rows      AMX right      [row / 16][k / 32] blocks by pairs
//   dp left       panels [k / 2][H] of pairs             dp right       panels [k / 2][NR] of pairs
//
// Measured (2 cores; peaks in GFLOP/s: AMX 6,250, f32 fma 428, vdpbf16ps 214, so that without AMX this CPU would do better
// to pack bf16 as f32, while CPUs with full-rate vdpbf16ps have twice the f32 rate), 1024³: 256 × 256 × 256 tiles 1,680,
// torch 1,155 in the same run; the mma alone runs 3,300, the rest is packing from the last-level cache.
// An AMX process must have asked the system for tile data first (arch_prctl 0x1023, 18).
#pragma once
#include "mma_f32.h"

#ifdef __AVX512BF16__
namespace tw {

enum { ROWS16 = 16, DEEP = 32 };

// Columns 2p and 2p + 1 of 16 rows with unit row stride, as pairs.
TW_INLINE vi interleave(const bf16* even, const bf16* odd, int rows, bool has_odd) {
  const __m256i e = _mm256_maskz_loadu_epi16(first(rows), even);
  const __m256i o = has_odd ? _mm256_maskz_loadu_epi16(first(rows), odd) : _mm256_setzero_si256();
  return vor(_mm512_cvtepu16_epi32(e), vshl<16>(_mm512_cvtepu16_epi32(o)));
}

// Loads a block of up to 16 × 32, zero beyond rows and cols, in the form that PAIRS says.
template <bool PAIRS>
TW_INLINE void load_block(vf (&r)[16], const bf16* src, int64_t row_stride, int64_t col_stride, int rows, int cols) {
  bool pairs = false;
  if (col_stride == 1) {
    const __mmask32 columns = cols >= 32 ? 0xffffffffu : (1u << cols) - 1;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
      r[i] = as_vf(_mm512_maskz_loadu_epi16(i < rows ? columns : 0, i < rows ? src + i * row_stride : src));
  } else if (row_stride == 1) {
    pairs = true;
#pragma GCC unroll 16
    for (int p = 0; p < 16; p++) {
      const bf16* at = src + 2 * p * col_stride;
      r[p] = 2 * p < cols ? as_vf(interleave(at, at + col_stride, rows, 2 * p + 1 < cols)) : vzero();
    }
  } else {
    alignas(64) bf16 copy[16][32] = {};
    for (int i = 0; i < rows; i++)
      for (int k = 0; k < cols; k++) copy[i][k] = src[i * row_stride + k * col_stride];
    for (int i = 0; i < 16; i++) r[i] = load((const float*)copy[i]);
  }
  if (pairs != PAIRS) transpose(r);
}

// Packs H rows × BK columns; PITCH is the distance of the 16 registers in elements of 32 bits.
template <bool PAIRS, int PITCH>
TW_INLINE void pack_strip(float* dst, const bf16* src, int64_t row_stride, int64_t col_stride, int rows, int cols,
                          int all) {
  vf r[16];
  int k = 0;
  for (; k < cols; k += DEEP) {
    load_block<PAIRS>(r, src + k * col_stride, row_stride, col_stride, rows, clamp(cols - k, DEEP));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) store(dst + k / 2 * PITCH + i * PITCH, r[i]);
  }
  for (; k < all; k += DEEP)
    for (int i = 0; i < 16; i++) store(dst + k / 2 * PITCH + i * PITCH, vzero());
}

#ifdef __AMX_BF16__
template <int BM, int BK> constexpr int LEFT_BF16 = round_up(BM, 16) * round_up(BK, DEEP) / 2;
template <int BN, int BK> constexpr int RIGHT_BF16 = LEFT_BF16<BN, BK>;

template <int ROWS, int BK, bool PAIRS>
__attribute__((noinline)) void pack_amx(float* dst, const bf16* base, int64_t row_stride, int64_t col_stride,
                                       int64_t rows_left, int64_t cols_left) {
  const int rows = clamp(rows_left, ROWS), cols = clamp(cols_left, BK);
  for (int i = 0; i < rows; i += 16)
    pack_strip<PAIRS, 16>(dst + i * round_up(BK, DEEP) / 2, base + i * row_stride, row_stride, col_stride,
                          clamp(rows - i, 16), cols, BK);
}
template <int BM, int BK>
TW_INLINE void pack_a_bf16(float* dst, const bf16* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
  pack_amx<BM, BK, false>(dst, base, s0, s1, rows, cols);
}
template <int BN, int BK>
TW_INLINE void pack_b_bf16(float* dst, const bf16* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
  pack_amx<BN, BK, true>(dst, base, s0, s1, rows, cols);
}

// Palette 1, eight tiles of 16 rows × 64 bytes. The empty asm statements order it and the tile loads after the stores
// that they read: g++ does not know that these intrinsics touch memory.
TW_INLINE void open_tiles() {
  alignas(64) uint8_t config[64] = {1};
  for (int t = 0; t < 8; t++) config[16 + 2 * t] = 64, config[48 + t] = 16;
  asm volatile("" ::"r"(config) : "memory");
  _tile_loadconfig(config);
}
TW_INLINE void close_tiles() {
  asm volatile("" ::: "memory");
  _tile_release();
}

// (16 · DOWN) × (16 · ACROSS) accumulators in tiles 0 to 3: from memory or `fresh`, and back.
template <int DOWN, int ACROSS, int PITCH> TW_INLINE void open_sums(const float* acc, bool fresh) {
  constexpr int BYTES = PITCH * 4;
  if (fresh) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  [[maybe_unused]] const float* low = acc + 16 * PITCH;
  _tile_loadd(0, acc, BYTES);
  if constexpr (ACROSS == 2) _tile_loadd(1, acc + 16, BYTES);
  if constexpr (DOWN == 2) _tile_loadd(2, low, BYTES);
  if constexpr (DOWN == 2 && ACROSS == 2) _tile_loadd(3, low + 16, BYTES);
}
template <int DOWN, int ACROSS, int PITCH> TW_INLINE void close_sums(float* acc) {
  constexpr int BYTES = PITCH * 4;
  [[maybe_unused]] float* low = acc + 16 * PITCH;
  _tile_stored(0, acc, BYTES);
  if constexpr (ACROSS == 2) _tile_stored(1, acc + 16, BYTES);
  if constexpr (DOWN == 2) _tile_stored(2, low, BYTES);
  if constexpr (DOWN == 2 && ACROSS == 2) _tile_stored(3, low + 16, BYTES);
}

// Adds to them; a and b advance by one block of 1 KB per 32 k.
template <int DOWN, int ACROSS, int PITCH>
TW_INLINE void micro_amx(float* acc, const float* a0, const float* a1, const float* b0, const float* b1, int steps,
                         bool fresh) {
  open_sums<DOWN, ACROSS, PITCH>(acc, fresh);
  for (int s = 0; s < steps; s++) {
    _tile_loadd(6, b0 + s * 256, 64);
    _tile_loadd(4, a0 + s * 256, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (ACROSS == 2) {
      _tile_loadd(7, b1 + s * 256, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (DOWN == 2) {
      _tile_loadd(5, a1 + s * 256, 64);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (DOWN == 2 && ACROSS == 2) _tile_dpbf16ps(3, 5, 7);
  }
  close_sums<DOWN, ACROSS, PITCH>(acc);
}

// acc holds round_up(BM, 16) rows here.
template <int BM, int BN, int BK, int P = ACC_PITCH<BN>>
__attribute__((noinline)) void mma_bf16(float* acc, const float* a, const float* b, int m, int n, int k, bool fresh) {
  constexpr int STRIP = 16 * round_up(BK, DEEP) / 2;
  const int steps = (k + DEEP - 1) / DEEP;
  open_tiles();
  for (int j = 0; j < n; j += 32)
    for (int i = 0; i < m; i += 32) {
      float* c = acc + i * P + j;
      const float *a0 = a + i / 16 * STRIP, *a1 = a0 + STRIP, *b0 = b + j / 16 * STRIP, *b1 = b0 + STRIP;
      if (m - i > 16 && n - j > 16) micro_amx<2, 2, P>(c, a0, a1, b0, b1, steps, fresh);
      else if (m - i > 16) micro_amx<2, 1, P>(c, a0, a1, b0, b1, steps, fresh);
      else if (n - j > 16) micro_amx<1, 2, P>(c, a0, a1, b0, b1, steps, fresh);
      else micro_amx<1, 1, P>(c, a0, a1, b0, b1, steps, fresh);
    }
  close_tiles();
}

#else  // vdpbf16ps
template <int BM, int BK> constexpr int LEFT_BF16 = A_SIZE<BM, round_up(BK, DEEP) / 2>;
template <int BN, int BK> constexpr int RIGHT_BF16 = B_SIZE<BN, round_up(BK, DEEP) / 2>;

template <int BM, int BK>
__attribute__((noinline)) void pack_a_bf16(float* dst, const bf16* base, int64_t s0, int64_t s1, int64_t rows_left,
                                          int64_t cols_left) {
  constexpr int P = round_up(BK, DEEP) / 2, LOW = Panels<BM>::LOW, TALL = Panels<BM>::TALL;
  const int rows = clamp(rows_left, BM), cols = clamp(cols_left, BK);
  int i = 0;
  for (int p = 0; p < TALL && i < rows; p++, i += LOW + 1)
    pack_strip<true, LOW + 1>(dst + i * P, base + i * s0, s0, s1, clamp(rows - i, LOW + 1), cols, BK);
  for (; i < rows; i += LOW)
    pack_strip<true, LOW>(dst + i * P, base + i * s0, s0, s1, clamp(rows - i, LOW), cols, BK);
}
template <int BN, int BK>
__attribute__((noinline)) void pack_b_bf16(float* dst, const bf16* base, int64_t s0, int64_t s1, int64_t rows_left,
                                          int64_t cols_left) {
  constexpr int PANEL = NR * round_up(BK, DEEP) / 2;
  const int rows = clamp(rows_left, BN), cols = clamp(cols_left, BK);
  for (int n = 0; n < round_up(rows, NR); n += 16)
    pack_strip<true, NR>(dst + n / NR * PANEL + n % NR, base + n * s0, s0, s1, clamp(rows - n, 16), cols, BK);
}
template <int BM, int BN, int BK, int P = ACC_PITCH<BN>>
TW_INLINE void mma_bf16(float* acc, const float* a, const float* b, int m, int n, int k, bool fresh) {
  if (fresh) clear<P>(acc, m, 0, n);
  mma_f32<BM, BN, round_up(BK, DEEP) / 2, true, P>(acc, a, b, m, n, (k + 1) / 2);
}
#endif

}  // namespace tw
#endif
