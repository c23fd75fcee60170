// acc[i][j] += sum_k x[i][k] * (number(code[j][k]) - zero[j][g]) * scale[j][g] for one tile of codes in device order.
//
// Codes come straight from memory (`panel16`, see packed_codes.h), scales and zeros beside them (`rows16`); x is a tile of
// memory or of a local array. Three ways, by the height of the tile and the build:
//   BM <= 4          one broadcast activation feeds 16 rows of a panel; a group is summed, then scaled once
//   AMX, bf16 x      codes become bf16 numbers (exact), a group is summed in a matrix tile, then scaled once; BM = 1, too,
//                    because decoding to bf16 pairs takes half the instructions of decoding to f32
//   else             (number - zero) * scale in f32 is the right operand of the f32 micro-kernel
//
// Numbers of codes: UNSIGNED integers, or a table of 2^BITS floats. What lies beyond the weights' rows is not computed;
// x reads as zero beyond its columns. Offsets of rows are multiples of 16, of columns multiples of 8.
#pragma once
#include "packed_codes.h"

namespace tw {

// A weight of `rows` × `columns` codes with `groups.count` groups per row.
template <class S> struct Weights {
  const uint8_t* codes;
  int64_t rows, columns;
  Groups<S> groups;
  const float* table;  // null: unsigned integers
};

template <class T> constexpr bool IS_BF16 = false;
template <> constexpr bool IS_BF16<bf16> = true;

// Where a tile begins: row and column of its codes, first row and group of its scales.
struct Corner {
  int64_t row, column, scale_row, group;
};

TW_INLINE vf look_up(const float* table, vf code) {
#ifdef TW_AVX512
  return _mm512_i32gather_ps(vtoi(code), table, 4);
#else
  return _mm256_i32gather_ps(table, vtoi(code), 4);
#endif
}

// A unit as the numbers that its codes mean.
template <int BITS, bool TABLE> TW_INLINE void decode_numbers(Unit& u, const uint8_t* unit, const float* table) {
#ifdef TW_AVX512
  if constexpr (BITS == 4 && TABLE) {
    const vi w = _mm512_loadu_si512(unit);
    const vf numbers = load(table);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) u.q[i][0] = _mm512_permutexvar_ps(_mm512_srli_epi32(w, 4 * i), numbers);
    return;
  }
#endif
  decode<BITS>(u, unit);
  if constexpr (TABLE)
    for (int i = 0; i < 8; i++)
      for (int h = 0; h < HALVES; h++) u.q[i][h] = look_up(table, u.q[i][h]);
}

// One panel for M rows of prepared activations with pitch BK; sums[m][g] are the sums of x over each group.
template <int BITS, bool TABLE, int M, int BK, int GROUP, bool ZERO, class S>
TW_INLINE void few_rows_panel(float* acc, int pitch, const uint8_t* at, const Groups<S>& groups, int64_t panel,
                              int64_t first_group, const float* x, const float* sums, int units, const float* table) {
  constexpr int CHAINS = M == 1 ? 4 : M == 2 ? 2 : 1, PER_GROUP = GROUP / 8;  // independent fma chains
  vf total[M][HALVES];
  for (int m = 0; m < M; m++)
    for (int h = 0; h < HALVES; h++) total[m][h] = load(acc + m * pitch + h * LANES);
  for (int unit = 0, g = 0; unit < units; g++) {
    vf part[M][CHAINS][HALVES] = {};
    const int end = unit + PER_GROUP < units ? unit + PER_GROUP : units;
    for (; unit < end; unit++, at += UNIT_ROWS * BITS) {
      _mm_prefetch((const char*)at + 2048, _MM_HINT_T0);
      Unit u;
      decode_numbers<BITS, TABLE>(u, at, table);
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++)
#pragma GCC unroll 4
        for (int m = 0; m < M; m++)
#pragma GCC unroll 2
          for (int h = 0; h < HALVES; h++)
            part[m][i % CHAINS][h] = vfma(u.q[i][h], vset(x[m * BK + unit * 8 + i]), part[m][i % CHAINS][h]);
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; h++) {
        vf sum = part[m][0][h];
        for (int c = 1; c < CHAINS; c++) sum = sum + part[m][c][h];
        if constexpr (ZERO)
          sum = vfnma(groups.zero_point(panel, first_group + g, h), vset(sums[m * (BK / GROUP) + g]), sum);
        total[m][h] = vfma(groups.scale(panel, first_group + g, h), sum, total[m][h]);
      }
  }
  for (int m = 0; m < M; m++)
    for (int h = 0; h < HALVES; h++) store(acc + m * pitch + h * LANES, total[m][h]);
}

// `rows` rows of x as f32 with pitch BK, zero beyond `cols`, and the sums of its groups.
template <int BM, int BK, int GROUP, bool SUMS, class T>
TW_INLINE void prepare_tile(float* x, float* sums, const T* from, int64_t s0, int64_t s1, int rows, int cols) {
  const int all = (cols + 31) / 32 * 32 < BK ? (cols + 31) / 32 * 32 : BK;
  for (int m = 0; m < BM; m++) {
    float* row = x + m * BK;
    int i = 0;
    if (m < rows && s1 == 1)
      for (; i + LANES <= cols; i += LANES) store(row + i, load(from + m * s0 + i));
    if (m < rows)
      for (; i < cols; i++) row[i] = to_f32(from[m * s0 + i * s1]);
    for (; i < all; i++) row[i] = 0;
    if constexpr (SUMS)
      for (int g = 0; g * GROUP < cols; g++) {
        const int end = (g + 1) * GROUP < all ? (g + 1) * GROUP : all;
        vf sum = vzero();
        for (i = g * GROUP; i + LANES <= end; i += LANES) sum = sum + load(row + i);
        float rest = 0;
        for (; i < end; i++) rest += row[i];
        sums[m * (BK / GROUP) + g] = sum_lanes(sum) + rest;
      }
  }
}

#ifdef __AMX_BF16__
// A unit as pairs of bf16 numbers, codes i and 4 + i of each row: four rows of a right-hand tile.
template <int BITS, bool TABLE> TW_INLINE void decode_pairs(float* to, const uint8_t* unit, const float* table, vi pairs) {
  if constexpr (BITS == 4) {
    const vi w = _mm512_loadu_si512(unit);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      store(to + i * 16, as_vf(_mm512_permutexvar_epi16(_mm512_srli_epi32(w, 4 * i), pairs)));
  } else {
    Unit u;
    decode_numbers<BITS, TABLE>(u, unit, table);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const vi low = vshr<16>(as_vi(u.q[i][0])), high = vand(as_vi(u.q[4 + i][0]), viset((int)0xffff0000));
      store(to + i * 16, as_vf(vor(low, high)));
    }
  }
}

// The 16 numbers of a table as bf16, twice: vpermw reads five bits, of which the fifth belongs to another code.
TW_INLINE vi number_pairs(const float* table) {
  const vf numbers = table ? load(table) : vtof(integers());
  const __m256i narrow = _mm512_cvtepi32_epi16(vshr<16>(as_vi(numbers)));
  return _mm512_broadcast_i64x4(narrow);
}

// Activations in the order of left-hand tiles, [row / 16][k / 32][ROWS][16 pairs], pairs as decode_pairs makes them.
template <int ROWS, int BK> TW_INLINE void prepare_pairs(uint32_t* to, const float* x, int rows, int cols) {
  const vi swap = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
  for (int m = 0; m < rows; m++)
    for (int c = 0; c < cols; c += 16) {
      const __m256i halves = to_bf16(_mm512_permutexvar_ps(swap, load(x + m * BK + c)));
      const __m256i low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(halves));
      const __m256i high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(halves, 1));
      uint32_t* at = to + ((m / ROWS * (BK / 32) + c / 32) * ROWS + m % ROWS) * 16 + c % 32 / 2;
      _mm256_storeu_si256((__m256i*)at, _mm256_or_si256(low, _mm256_slli_epi32(high, 16)));
    }
}

// Tiles 0 to 3 accumulate ROWS rows, 4 and 5 hold activations, 6 and 7 weights.
template <int ROWS> TW_INLINE void open_scaled_tiles() {
  alignas(64) uint8_t config[64] = {1};
  for (int t = 0; t < 8; t++) config[16 + 2 * t] = 64, config[48 + t] = t < 6 ? ROWS : 16;
  asm volatile("" ::"r"(config) : "memory");
  _tile_loadconfig(config);
}

// All panels of a tile of codes; x as prepare_pairs leaves it. GROUP is a multiple of 32.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, class S>
TW_INLINE void mma_scaled_amx(float* acc, const uint32_t* x, const float* sums, int rows, int panels, int cols,
                              const Weights<S>& w, const Corner& at) {
  constexpr int ROWS = BM < 16 ? BM : 16, P = ACC_PITCH<BN>;
  alignas(64) float tiles[2][GROUP / 32 * 256], sum[2][(BM + 15) / 16 * 16 * 16];
  const vi pairs = number_pairs(w.table);
  const int units = (cols + 7) / 8;
  open_scaled_tiles<ROWS>();
  memset(tiles, 0, sizeof tiles);
  for (int p = 0; p < panels; p++) {
    const uint8_t* from = w.codes + (at.row / 16 + p) * panel_bytes(w.columns, BITS) + at.column / 8 * UNIT_ROWS * BITS;
    const int64_t panel = at.scale_row / 16 + p;
    for (int g = 0, unit = 0; unit < units; g++) {
      float *right = tiles[g % 2], *out = sum[g % 2];
      const int n = unit + GROUP / 8 < units ? GROUP / 8 : units - unit, deep = (n + 3) / 4;
      for (int u = 0; u < n; u++, from += UNIT_ROWS * BITS) {
        _mm_prefetch((const char*)from + 2048, _MM_HINT_T0);
        decode_pairs<BITS, TABLE>(right + u * 64, from, w.table, pairs);
      }
      asm volatile("" ::: "memory");
      for (int m = 0; m < rows; m += 16) {
        const uint32_t* left = x + (m / 16 * (BK / 32) + unit / 4) * ROWS * 16;
        _tile_zero(0);
        for (int d = 0; d < deep; d++) {
          _tile_loadd(4, left + d * ROWS * 16, 64);
          _tile_loadd(6, right + d * 256, 64);
          _tile_dpbf16ps(0, 4, 6);
        }
        _tile_stored(0, out + m * 16, 64);
      }
      asm volatile("" ::: "memory");
      const vf scale = w.groups.scale(panel, at.group + g, 0);
      const vf zero = ZERO ? w.groups.zero_point(panel, at.group + g, 0) : vzero();
      for (int m = 0; m < rows; m++) {
        vf exact = load(out + m * 16);
        if constexpr (ZERO) exact = vfnma(zero, vset(sums[m * (BK / GROUP) + g]), exact);
        store(acc + m * P + p * 16, vfma(scale, exact, load(acc + m * P + p * 16)));
      }
      unit += n;
    }
  }
  close_tiles();
}
#endif

// 32 or 16 rows of (number - zero) * scale as a panel of the f32 micro-kernel: to[k][NR], `cols` columns from `k`.
template <int BITS, bool TABLE, int GROUP, bool ZERO, class S>
TW_INLINE void decode_right(float* to, const Weights<S>& w, const Corner& at, int row, int k, int cols) {
  const int64_t panel = (at.scale_row + row) / 16;
  const uint8_t* from = w.codes + (at.row + row) / 16 * panel_bytes(w.columns, BITS);
  from += (at.column + k) / 8 * UNIT_ROWS * BITS;
  for (int c = 0; c < cols; c += 8, from += UNIT_ROWS * BITS) {
    Unit u;
    decode_numbers<BITS, TABLE>(u, from, w.table);
    const int64_t g = at.group + (k + c) / GROUP;
    for (int h = 0; h < HALVES; h++) {
      const vf scale = w.groups.scale(panel, g, h), zero = ZERO ? w.groups.zero_point(panel, g, h) : vzero();
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) store(to + (c + i) * NR + h * LANES, (u.q[i][h] - zero) * scale);
    }
  }
}

// The general way: the right operand is decoded 128 columns at a time, so that it stays in the first-level cache.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, class S>
TW_INLINE void mma_scaled_f32(float* acc, const float* x, int rows, int row_count, int cols, const Weights<S>& w,
                              const Corner& at) {
  enum { DEPTH = 128, LOW = Panels<BM>::LOW, TALL = Panels<BM>::TALL, AP = round_up(BK, LANES), CP = ACC_PITCH<BN> };
  alignas(64) float right[NR * DEPTH];
  memset(right, 0, sizeof right);
  for (int j = 0; j < row_count; j += NR)
    for (int k = 0; k < cols; k += DEPTH) {
      const int deep = cols - k < DEPTH ? cols - k : DEPTH;
      for (int r = 0; r < NR && j + r < row_count; r += 16)
        decode_right<BITS, TABLE, GROUP, ZERO>(right + r, w, at, j + r, k, deep);
      int i = 0;
      for (int p = 0; p < TALL && i < rows; p++, i += LOW + 1)
        micro_kernel<false, LOW + 1, 2, CP>(acc + i * CP + j, x + i * AP + k * (LOW + 1), right, deep);
      for (; i < rows; i += LOW) micro_kernel<false, LOW, 2, CP>(acc + i * CP + j, x + i * AP + k * LOW, right, deep);
    }
}

// The instruction: BM × BN accumulators with pitch ACC_PITCH<BN>, BK columns of GROUP codes per scale. `rows_left` and
// `cols_left` count what the view of x has left. EXACT says that the numbers are bf16 numbers.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, bool EXACT, class T, class S>
__attribute__((noinline)) void mma_scaled(float* acc, const T* x, int64_t s0, int64_t s1, int64_t rows_left,
                                         int64_t cols_left, const Weights<S>& w, const Corner& at) {
  const int64_t columns = w.columns - at.column;
  const int rows = clamp(rows_left, BM), cols = clamp(cols_left < columns ? cols_left : columns, BK);
  const int row_count = clamp(w.rows - at.row, BN), panels = (row_count + 15) / 16;
  if (rows == 0 || cols == 0) return;
#ifdef __AMX_BF16__
  if constexpr (EXACT && IS_BF16<T> && GROUP % 32 == 0) {
    alignas(64) float wide[BM * BK], sums[BM * (BK / GROUP)];
    alignas(64) uint32_t pairs[round_up(BM, BM < 16 ? BM : 16) * (BK / 2)];
    prepare_tile<BM, BK, GROUP, ZERO>(wide, sums, x, s0, s1, rows, cols);
    prepare_pairs<(BM < 16 ? BM : 16), BK>(pairs, wide, rows, (cols + 31) / 32 * 32);
    mma_scaled_amx<BITS, TABLE, BM, BN, BK, GROUP, ZERO>(acc, pairs, sums, rows, panels, cols, w, at);
    return;
  }
#endif
  if constexpr (BM <= 4) {
    alignas(64) float wide[BM * BK], sums[BM * (BK / GROUP)];
    prepare_tile<BM, BK, GROUP, ZERO>(wide, sums, x, s0, s1, rows, cols);
    for (int p = 0; p < panels; p++) {
      const uint8_t* from = w.codes + (at.row / 16 + p) * panel_bytes(w.columns, BITS);
      few_rows_panel<BITS, TABLE, BM, BK, GROUP, ZERO>(acc + p * 16, ACC_PITCH<BN>,
                                                       from + at.column / 8 * UNIT_ROWS * BITS, w.groups,
                                                       at.scale_row / 16 + p, at.group, wide, sums, (cols + 7) / 8,
                                                       w.table);
    }
  } else {
    alignas(64) float left[A_SIZE<BM, BK>];
    pack_a<BM, BK>(left, x, s0, s1, rows_left, cols);
    mma_scaled_f32<BITS, TABLE, BM, BN, BK, GROUP, ZERO>(acc, left, rows, row_count, cols, w, at);
  }
}

template <class T> TW_INLINE float number(T x) { return (float)x; }
TW_INLINE float number(bf16 x) { return to_f32(x); }
TW_INLINE float number(f16 x) { return to_f32(x); }

// The same over local arrays of any element type, given by their strides; zero may be null.
template <int M, int N, int K, int GROUP, int XS, int XK, int YK, int YS, int SG, int SS, int ZG, int ZS, class X, class Y,
          class S, class Z>
__attribute__((noinline)) void mma_scaled_arrays(float* acc, int pitch, const X* x, const Y* y, const S* scale,
                                                const Z* zero) {
  float line[N];
  for (int k = 0; k < K; k++) {
    const int g = k / GROUP;
    for (int j = 0; j < N; j++) {
      const float origin = zero ? number(zero[g * ZG + j * ZS]) : 0.0f;
      line[j] = (number(y[k * YK + j * YS]) - origin) * number(scale[g * SG + j * SS]);
    }
    for (int i = 0; i < M; i++) {
      const float left = number(x[i * XS + k * XK]);
#pragma omp simd
      for (int j = 0; j < N; j++) acc[i * pitch + j] = __builtin_fmaf(left, line[j], acc[i * pitch + j]);
    }
  }
}

}  // namespace tw
