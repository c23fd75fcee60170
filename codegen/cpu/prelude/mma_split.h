// f32 products on AMX: x = h + m + l, three bf16 numbers that hold all 24 bits (truncation, so the parts are exact), and
// a·b = hh' + hm' + mh' + mm' + hl' + lh', every partial product exact and summed in f32. The three products left out are
// below 2^-21 |a b| in total (m < 2^-7 |x|, l < 2^-15 |x|), and a sum has 6 K terms: |error| <= (6 K + 8) · 2^-24 ·
// sum |a b|, where an fma loop has K. In practice it lies between the fma path and torch: root mean square error at 1024³
// 8.2e-6, fma path 6.8e-6, torch 10.8e-6. Integers whose sums stay below 2^24 are exact.
//
// The hardware flushes subnormals, and infinity times a zero part is NaN. So loading marks a tile in which any element is
// neither 0 nor of magnitude 2^-48 … 2^50 (within that nothing is flushed or overflows), and `mma` then runs the fma
// micro-kernels on the numbers put together again: 143 GFLOP/s where the rest runs 519. Prefer mma_f32.h for operands
// known to reach far below, such as the probabilities of a softmax. Same interface as Matrix (mma.h).
//
// Measured as in mma_f32.h, 1024³: 519 GFLOP/s with 512 × 512 × 64 tiles, alternating with other kernels 470 (fma path
// 320 and 305, torch 325 and 318); the peak of six products is 1,040.
#pragma once
#include "mma.h"

#ifdef __AMX_BF16__
namespace tw {

enum { BLOCK_WORDS = 3 * 256 };  // 16 rows × 32 columns × 3 parts

struct Parts {
  vf h, m, l;
};

// Parts of x; `odd` collects lanes that AMX must not see. RAW: the two halves of the bits instead, for numbers that three
// bf16 cannot hold (subnormals, infinities, NaN).
template <bool RAW> TW_INLINE Parts split(vf x, vmask& odd) {
  const vi top = viset((int)0xffff0000);
  Parts p;
  p.h = as_vf(vand(as_vi(x), top));
  if constexpr (RAW) {
    p.m = as_vf(vshl<16>(as_vi(x)));
    p.l = vzero();
  } else {
    const vi magnitude = vand(as_vi(x), viset(0x7fffffff)), low = viset((127 - 48) << 23), span = viset(98 << 23);
    odd |= _mm512_mask_cmpgt_epu32_mask(_mm512_test_epi32_mask(magnitude, magnitude), vsub(magnitude, low), span);
    const vf rest = x - p.h;
    p.m = as_vf(vand(as_vi(rest), top));
    p.l = rest - p.m;
  }
  return p;
}

// Two columns in one word. The 32 columns of a block are paired as p and 16 + p, in both operands: the order of a
// contraction is free, and this one needs no shuffle.
TW_INLINE vf join(vf first, vf second) { return as_vf(vor(vshr<16>(as_vi(first)), as_vi(second))); }

template <bool PAIRS, bool RAW>
TW_INLINE vmask split_block(float* dst, const float* src, int64_t s0, int64_t s1, int rows, int cols) {
  vmask odd = 0;
  alignas(64) float copy[16 * 32];
  if (s0 != 1 && s1 != 1) {
    memset(copy, 0, sizeof copy);
    for (int i = 0; i < rows; i++)
      for (int k = 0; k < cols; k++) copy[i * 32 + k] = src[i * s0 + k * s1];
    src = copy, s0 = 32, s1 = 1;
  }
  alignas(64) vf halves[2][16];
  const bool by_rows = s1 == 1, full = rows == 16 && cols == 32;
  const float* second = by_rows ? src + 16 : src + 16 * s1;
  const int64_t step = by_rows ? s0 : s1;
  for (int i = 0; i < 16; i++) {
    vf x, y;
    if (full) {
      x = load(src + i * step), y = load(second + i * step);
    } else {
      const int n = by_rows ? (i < rows ? cols : 0) : i < cols ? rows : 0;
      const int n2 = by_rows ? clamp(n - 16, 16) : 16 + i < cols ? rows : 0;
      x = n ? load_first(src + i * step, clamp(n, 16)) : vzero(), y = n2 ? load_first(second + i * step, n2) : vzero();
    }
    halves[0][i] = x, halves[1][i] = y;
  }
  if (by_rows == PAIRS) transpose(halves[0]), transpose(halves[1]);
  for (int i = 0; i < 16; i++, dst += 16) {
    const Parts a = split<RAW>(halves[0][i], odd), b = split<RAW>(halves[1][i], odd);
    store(dst, join(a.h, b.h)), store(dst + 256, join(a.m, b.m)), store(dst + 512, join(a.l, b.l));
  }
  return odd;
}

// dst: [row / 16][k / 32][h, m, l] blocks, then one word: whether the tile holds numbers that AMX must not see.
template <int ROWS, int BK> constexpr int SPLIT_SIZE = round_up(ROWS, 16) / 16 * (round_up(BK, 32) / 32) * BLOCK_WORDS;

template <int ROWS, int BK, bool PAIRS, bool RAW>
TW_INLINE bool pack_blocks(float* dst, const float* base, int64_t s0, int64_t s1, int rows, int cols) {
  vmask odd = 0;
  for (int i = 0; i < rows && !odd; i += 16)
    for (int k = 0; k < BK; k += 32) {
      float* at = dst + (i / 16 * (round_up(BK, 32) / 32) + k / 32) * BLOCK_WORDS;
      if (k < cols)
        odd |= split_block<PAIRS, RAW>(at, base + i * s0 + k * s1, s0, s1, clamp(rows - i, 16), clamp(cols - k, 32));
      else
        memset(at, 0, BLOCK_WORDS * 4);
    }
  return odd != 0;
}

template <int ROWS, int BK, bool PAIRS>
__attribute__((noinline)) void pack_split(float* dst, const float* base, int64_t s0, int64_t s1, int64_t rows_left,
                                         int64_t cols_left) {
  const int rows = clamp(rows_left, ROWS), cols = clamp(cols_left, BK);
  const bool odd = pack_blocks<ROWS, BK, PAIRS, false>(dst, base, s0, s1, rows, cols);
  if (odd) pack_blocks<ROWS, BK, PAIRS, true>(dst, base, s0, s1, rows, cols);
  dst[SPLIT_SIZE<ROWS, BK>] = odd ? 1.0f : 0.0f;
}

// The f32 numbers of word row w of a block: columns (or rows, by pairs) of the first and second halves of its 32.
TW_INLINE void whole(const float* block, int w, bool raw, vf& first_half, vf& second_half) {
  const vi h = as_vi(load(block + w * 16)), m = as_vi(load(block + 256 + w * 16)), l = as_vi(load(block + 512 + w * 16));
  const vi top = viset((int)0xffff0000);
  if (raw) {
    first_half = as_vf(vor(vshl<16>(h), vand(m, viset(0xffff))));
    second_half = as_vf(vor(vand(h, top), vshr<16>(m)));
  } else {
    first_half = as_vf(vshl<16>(h)) + (as_vf(vshl<16>(m)) + as_vf(vshl<16>(l)));
    second_half = as_vf(vand(h, top)) + (as_vf(vand(m, top)) + as_vf(vand(l, top)));
  }
}

template <int DOWN, int ACROSS> TW_INLINE void split_products() {
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (ACROSS == 2) _tile_dpbf16ps(1, 4, 7);
  if constexpr (DOWN == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (DOWN == 2 && ACROSS == 2) _tile_dpbf16ps(3, 5, 7);
}
template <int DOWN> TW_INLINE void split_left(const float* a0, const float* a1) {
  _tile_loadd(4, a0, 64);
  if constexpr (DOWN == 2) _tile_loadd(5, a1, 64);
}
template <int ACROSS> TW_INLINE void split_right(const float* b0, const float* b1) {
  _tile_loadd(6, b0, 64);
  if constexpr (ACROSS == 2) _tile_loadd(7, b1, 64);
}

template <int DOWN, int ACROSS, int PITCH>
TW_INLINE void micro_split(float* acc, const float* a0, const float* a1, const float* b0, const float* b1, int steps,
                           bool fresh) {
  constexpr int H = 0, M = 256, L = 512;
  open_sums<DOWN, ACROSS, PITCH>(acc, fresh);
  for (int s = 0; s < steps; s++, a0 += BLOCK_WORDS, a1 += BLOCK_WORDS, b0 += BLOCK_WORDS, b1 += BLOCK_WORDS) {
    split_left<DOWN>(a0 + H, a1 + H), split_right<ACROSS>(b0 + L, b1 + L), split_products<DOWN, ACROSS>();
    split_right<ACROSS>(b0 + M, b1 + M), split_products<DOWN, ACROSS>();
    split_left<DOWN>(a0 + M, a1 + M), split_products<DOWN, ACROSS>();
    split_right<ACROSS>(b0 + H, b1 + H), split_products<DOWN, ACROSS>();
    split_left<DOWN>(a0 + L, a1 + L), split_products<DOWN, ACROSS>();
    split_left<DOWN>(a0 + H, a1 + H), split_products<DOWN, ACROSS>();
  }
  close_sums<DOWN, ACROSS, PITCH>(acc);
}

template <int BM, int BN, int BK, int P = ACC_PITCH<BN>> struct SplitMatrix {
  enum {
    PITCH = P,
    ACC = round_up(BM, 16) * P + 16,
    LEFT = SPLIT_SIZE<BM, BK> + 16,
    RIGHT = SPLIT_SIZE<BN, BK> + 16,
    ACROSS = 128  // columns that meet two strips of a while these are in the first-level cache: 3 % over all or 32
  };
  TW_INLINE void load_left(float* x, const float* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_split<BM, BK, false>(x, base, s0, s1, rows, cols);
  }
  TW_INLINE void load_right(float* y, const float* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols) {
    pack_split<BN, BK, true>(y, base, s0, s1, rows, cols);
  }
  TW_INLINE void mma(float* acc, const float* x, const float* y, int m, int n, int k, bool fresh = false) {
    if (x[SPLIT_SIZE<BM, BK>] != 0 || y[SPLIT_SIZE<BN, BK>] != 0) {
      if (fresh) clear<P>(acc, round_up(m, 16), 0, round_up(n, 16));
      return careful(acc, x, y, m, n, k);
    }
    constexpr int STRIP = round_up(BK, 32) / 32 * BLOCK_WORDS;
    const int steps = (k + 31) / 32;
    open_tiles();
    for (int low = 0; low < n; low += ACROSS)
      for (int i = 0; i < m; i += 32)
        for (int j = low; j < n && j < low + ACROSS; j += 32) {
          float* c = acc + i * P + j;
          const float *a0 = x + i / 16 * STRIP, *a1 = a0 + STRIP, *b0 = y + j / 16 * STRIP, *b1 = b0 + STRIP;
          if (m - i > 16 && n - j > 16) micro_split<2, 2, P>(c, a0, a1, b0, b1, steps, fresh);
          else if (m - i > 16) micro_split<2, 1, P>(c, a0, a1, b0, b1, steps, fresh);
          else if (n - j > 16) micro_split<1, 2, P>(c, a0, a1, b0, b1, steps, fresh);
          else micro_split<1, 1, P>(c, a0, a1, b0, b1, steps, fresh);
        }
    close_tiles();
  }
  // Block by block: a row form is a row-major f32 block again, a pair form is the micro-kernel's right operand.
  static __attribute__((noinline)) void careful(float* acc, const float* x, const float* y, int m, int n, int k) {
    constexpr int STRIP = round_up(BK, 32) / 32 * BLOCK_WORDS, HALF = Panels<16>::LOW;
    static_assert(Panels<16>::TALL == 0, "16 rows are panels of equal height");
    alignas(64) float a[16 * 32], left[A_SIZE<16, 32>], right[B_SIZE<16, 32>];
    const bool raw_x = x[SPLIT_SIZE<BM, BK>] != 0, raw_y = y[SPLIT_SIZE<BN, BK>] != 0;
    for (int j = 0; j < n; j += 16)
      for (int d = 0; d < k; d += 32) {
        vf one, two;
        for (int p = 0; p < 16; p++) {
          whole(y + j / 16 * STRIP + d / 32 * BLOCK_WORDS, p, raw_y, one, two);
          store(right + p * NR, one), store(right + (16 + p) * NR, two);
        }
        for (int i = 0; i < m; i += 16) {
          for (int r = 0; r < 16; r++) {
            whole(x + i / 16 * STRIP + d / 32 * BLOCK_WORDS, r, raw_x, one, two);
            store(a + r * 32, one), store(a + r * 32 + 16, two);
          }
          pack_a<16, 32>(left, a, 32, 1, 16, 32);
          for (int r = 0; r < 16; r += HALF)
            micro_kernel<false, HALF, 1, PITCH>(acc + (i + r) * PITCH + j, left + r * 32, right, clamp(k - d, 32));
        }
      }
  }
};

}  // namespace tw
#endif

namespace tw {

// What generated code should name: for f32 the parts on AMX where the build has it, else Matrix.
//
// Tiles that measured best for large products (2 MB second-level cache; half in each direction with 1 MB):
//   f32 with AMX 512 × 512 × 128 · f32 512 × 512 × 128 · bf16 with AMX 512 × 512 × 256 · vdpbf16ps, f16 512 × 512 × 128
// and for any shape 256 × 256 × 128 (85 to 95 % of that), so that small products still have a block per thread. With few
// rows (m <= 32) 32 × 256 × 512: memory decides there, and f32 does as well without AMX.
template <class T, int BM, int BN, int BK, int P = ACC_PITCH<BN>> struct BestMatrix : Matrix<T, BM, BN, BK, P> {};
#ifdef __AMX_BF16__
template <int BM, int BN, int BK, int P>
struct BestMatrix<float, BM, BN, BK, P> : SplitMatrix<BM, BN, BK, P> {};
#endif

}  // namespace tw
