// acc[i][j] += sum_k x[i][k] * (number(code[j][k]) - zero[j][g]) * scale[j][g] for one tile of codes in device order.
//
// Codes come straight from memory (`panel16`, see packed_codes.h), scales and zeros beside them (`rows16`); x is a tile of
// memory or of a local array. Four ways, by the height of the tile and the build:
//   bf16 x, BM = 1   codes become pairs of bf16 numbers (exact), vdpbf16ps sums a group of them, then it is scaled once
//   bf16 x on AMX    the same with a group summed in a matrix tile
//   BM <= 4          one broadcast activation feeds 16 rows of a panel; a group is summed, then scaled once
//   else             (number - zero) * scale in f32 is the right operand of the f32 micro-kernel; also where x is huge or infinite
// Pairs of 4-bit integers are numbers 16 + code, and 16 · the sum of x is taken off again: exact in each product, and the
// rounding errors of a sum are those of numbers below 32.
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

#ifdef __AVX512BF16__
constexpr bool HAS_PAIRS = true;
#else
constexpr bool HAS_PAIRS = false;
#endif
#ifdef __AMX_BF16__
constexpr bool HAS_AMX = true;
#else
constexpr bool HAS_AMX = false;
#endif
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

#ifdef __AVX512BF16__
// Four-bit integers as pairs are 16 + code, by two instructions without a table: (16 + code) = 0x4180 | code << 3.
template <int BITS, bool TABLE> constexpr int PAIR_OFFSET = BITS == 4 && !TABLE ? 16 : 0;

// A unit as pairs of bf16 numbers plus PAIR_OFFSET: register i holds codes i and 4 + i of each row.
template <int BITS, bool TABLE> TW_INLINE void decode_pairs(vi (&to)[4], const uint8_t* unit, const float* table, vi pairs) {
  if constexpr (PAIR_OFFSET<BITS, TABLE> != 0) {
    const vi w = _mm512_loadu_si512(unit), mask = viset(0x00780078), sixteen = viset(0x41804180);
    to[0] = _mm512_slli_epi32(w, 3), to[1] = _mm512_srli_epi32(w, 1);
    to[2] = _mm512_srli_epi32(w, 5), to[3] = _mm512_srli_epi32(w, 9);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) to[i] = _mm512_ternarylogic_epi32(to[i], mask, sixteen, 0xea);  // to & mask | sixteen
  } else if constexpr (BITS == 4) {
    const vi w = _mm512_loadu_si512(unit);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) to[i] = _mm512_permutexvar_epi16(_mm512_srli_epi32(w, 4 * i), pairs);
  } else {
    Unit u;
    decode_numbers<BITS, TABLE>(u, unit, table);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      to[i] = vor(vshr<16>(as_vi(u.q[i][0])), vand(as_vi(u.q[4 + i][0]), viset((int)0xffff0000)));
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

// How a panel's group is scaled: to + scale · (sum - origin · sum of x), where origin = zero + PAIR_OFFSET.
template <int OFFSET, bool ZERO> struct Scaling {
  vf scale, origin;
  template <class S> Scaling(const Groups<S>& groups, int64_t panel, int64_t g) {
    scale = groups.scale(panel, g, 0), origin = vset(OFFSET);
    if constexpr (ZERO) origin = origin + groups.zero_point(panel, g, 0);
  }
  inline __attribute__((always_inline)) vf add(vf to, vf sum, float sum_of_x) const {
    if constexpr (ZERO || OFFSET != 0) sum = vfnma(origin, vset(sum_of_x), sum);
    return vfma(scale, sum, to);
  }
};

// One row of x: COUNT panels at a time, because their codes are as many streams of memory, which come faster than one
// (reading alone, two threads, GB/s: 22.6 for one, 28 for two, 30.5 for four; this 16.6, 19.5, 22).
enum { QUAD = 4 };
template <int BITS, bool TABLE, int COUNT, int GROUP, bool ZERO, class S>
TW_INLINE void dot_panels(float* acc, const uint32_t* x, const float* sums, const uint8_t* from, int64_t bytes, int units,
                          const Weights<S>& w, int64_t panel, int64_t first_group, vi table) {
  vf total[COUNT];
#pragma GCC unroll 4
  for (int q = 0; q < COUNT; q++) total[q] = load(acc + q * 16);
  for (int g = 0, unit = 0; unit < units; g++) {
    const int end = unit + GROUP / 8 < units ? unit + GROUP / 8 : units;
    vf part[COUNT][2] = {};
    for (; unit < end; unit++, from += UNIT_ROWS * BITS, x += 4) {
#pragma GCC unroll 4
      for (int q = 0; q < COUNT; q++) {
        _mm_prefetch((const char*)from + q * bytes + 1024, _MM_HINT_T0);
        vi pairs[4];
        decode_pairs<BITS, TABLE>(pairs, from + q * bytes, w.table, table);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
          part[q][i % 2] = _mm512_dpbf16_ps(part[q][i % 2], (__m512bh)pairs[i], (__m512bh)viset((int)x[i]));
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < COUNT; q++) {
      const Scaling<PAIR_OFFSET<BITS, TABLE>, ZERO> scaling(w.groups, panel + q, first_group + g);
      total[q] = scaling.add(total[q], part[q][0] + part[q][1], sums[g]);
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < COUNT; q++) store(acc + q * 16, total[q]);
}
template <int BITS, bool TABLE, int GROUP, bool ZERO, class S>
TW_INLINE void mma_scaled_dot(float* acc, const uint32_t* x, const float* sums, int panels, int cols, const Weights<S>& w,
                              const Corner& at) {
  const int64_t bytes = panel_bytes(w.columns, BITS), panel = at.scale_row / 16;
  const uint8_t* from = w.codes + at.row / 16 * bytes + at.column / 8 * UNIT_ROWS * BITS;
  const vi table = number_pairs(w.table);
  const int units = (cols + 7) / 8;
  int p = 0;
  for (; p + QUAD <= panels; p += QUAD)
    dot_panels<BITS, TABLE, QUAD, GROUP, ZERO>(acc + p * 16, x, sums, from + p * bytes, bytes, units, w, panel + p,
                                               at.group, table);
  for (; p < panels; p++)
    dot_panels<BITS, TABLE, 1, GROUP, ZERO>(acc + p * 16, x, sums, from + p * bytes, bytes, units, w, panel + p, at.group,
                                            table);
}
#endif

#ifdef __AMX_BF16__
// Tiles 0 to 3 accumulate ROWS rows, 4 and 5 hold activations, 6 and 7 weights.
template <int ROWS> TW_INLINE void open_scaled_tiles() {
  alignas(64) uint8_t config[64] = {1};
  for (int t = 0; t < 8; t++) config[16 + 2 * t] = 64, config[48 + t] = t < 6 ? ROWS : 16;
  asm volatile("" ::"r"(config) : "memory");
  _tile_loadconfig(config);
}

// Decodes `n` units (32 columns, or fewer) of each of `count` panels, interleaved, as right-hand tiles.
template <int BITS, bool TABLE>
TW_INLINE void decode_quad(float* tiles, const uint8_t* from, int64_t bytes, int count, int n, const float* table,
                           vi pairs) {
  for (int u = 0; u < n; u++)
#pragma GCC unroll 4
    for (int q = 0; q < count; q++) {
      const uint8_t* unit = from + q * bytes + u * UNIT_ROWS * BITS;
      _mm_prefetch((const char*)unit + 1024, _MM_HINT_T0);
      vi decoded[4];
      decode_pairs<BITS, TABLE>(decoded, unit, table, pairs);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) store(tiles + q * 256 + u * 64 + i * 16, as_vf(decoded[i]));
    }
}

// Sums of four panels lie in tiles 0 to 3. This adds the products of one left-hand tile and four right-hand ones. (The intrinsics take literal tiles.)
TW_INLINE void multiply_quad(const uint32_t* left, const float* right) {
  asm volatile("" ::: "memory");
  _tile_loadd(4, left, 64);
  _tile_loadd(6, right, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, right + 256, 64);
  _tile_dpbf16ps(1, 4, 7);
  _tile_loadd(6, right + 512, 64);
  _tile_dpbf16ps(2, 4, 6);
  _tile_loadd(7, right + 768, 64);
  _tile_dpbf16ps(3, 4, 7);
}
TW_INLINE void open_quad() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}
template <int ROWS> TW_INLINE void close_quad(float* out) {
  _tile_stored(0, out, 64);
  _tile_stored(1, out + ROWS * 16, 64);
  _tile_stored(2, out + 2 * ROWS * 16, 64);
  _tile_stored(3, out + 3 * ROWS * 16, 64);
  asm volatile("" ::: "memory");
}

// All panels of a tile of codes, four at a time; x as prepare_pairs leaves it. GROUP is a multiple of 32.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, class S>
TW_INLINE void mma_scaled_amx(float* acc, const uint32_t* x, const float* sums, int rows, int panels, int cols,
                              const Weights<S>& w, const Corner& at) {
  constexpr int ROWS = BM < 16 ? BM : 16, P = ACC_PITCH<BN>, PER = GROUP / 32, STEP = UNIT_ROWS * BITS * 4;
  alignas(64) float tiles[PER][QUAD * 256], sum[QUAD][ROWS * 16];
  const vi pairs = number_pairs(w.table);
  const int units = (cols + 7) / 8, steps = (units + 3) / 4;
  const int64_t bytes = panel_bytes(w.columns, BITS);
  const uint8_t* base = w.codes + at.row / 16 * bytes + at.column / 8 * UNIT_ROWS * BITS;
  open_scaled_tiles<ROWS>();
  memset(tiles, 0, sizeof tiles);
  for (int first = 0; first < panels; first += QUAD, base += QUAD * bytes) {
    const int count = panels - first < QUAD ? panels - first : QUAD;
    const int64_t panel = at.scale_row / 16 + first;
    for (int g = 0; g * PER < steps; g++) {
      const int deep = steps - g * PER < PER ? steps - g * PER : PER;
      for (int m = 0; m < rows; m += 16) {
        const uint32_t* left = x + (m / 16 * (BK / 32) + g * PER) * ROWS * 16;
        open_quad();
        for (int d = 0; d < deep; d++) {
          const int unit = (g * PER + d) * 4;
          const uint8_t* from = base + (g * PER + d) * STEP;
          if (m > 0) {
          } else if (count == QUAD && unit + 4 <= units) {
            decode_quad<BITS, TABLE>(tiles[d], from, bytes, QUAD, 4, w.table, pairs);
          } else {
            decode_quad<BITS, TABLE>(tiles[d], from, bytes, count, units - unit < 4 ? units - unit : 4, w.table, pairs);
          }
          multiply_quad(left + d * ROWS * 16, tiles[d]);
        }
        close_quad<ROWS>(sum[0]);
        const int valid = rows - m < ROWS ? rows - m : ROWS;
        for (int q = 0; q < count; q++) {
          const Scaling<PAIR_OFFSET<BITS, TABLE>, ZERO> scaling(w.groups, panel + q, at.group + g);
          float* to = acc + m * P + (first + q) * 16;
          for (int i = 0; i < valid; i++, to += P)
            store(to, scaling.add(load(to), load(sum[q] + i * 16), sums[(m + i) * (BK / GROUP) + g]));
        }
      }
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

// Whether sums of 32 · x cannot overflow: a group is scaled last, and infinity less infinity is no number.
template <int BK> TW_INLINE bool are_small(const float* x, int rows, int cols) {
  uint32_t most = 0;
  for (int m = 0; m < rows; m++)
    for (int i = 0; i < cols; i++) {
      const uint32_t magnitude = bits_of(x[m * BK + i]) & 0x7fffffff;
      most = magnitude > most ? magnitude : most;
    }
  return most < bits_of(0x1p106f);
}

// The ways that sum a group before they scale it; false where x is too large for that.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, bool PAIRS, class T, class S>
TW_INLINE bool mma_scaled_sums(float* acc, const T* x, int64_t s0, int64_t s1, int rows, int cols, int panels,
                               const Weights<S>& w, const Corner& at) {
  alignas(64) float wide[BM * BK], sums[BM * (BK / GROUP)];
#ifdef __AVX512BF16__
  if constexpr (PAIRS) {
    constexpr bool SUMS = ZERO || PAIR_OFFSET<BITS, TABLE> != 0;
    constexpr int ROWS = BM < 16 ? BM : 16;
    alignas(64) uint32_t pairs[round_up(BM, ROWS) * (BK / 2)];
    prepare_tile<BM, BK, GROUP, SUMS>(wide, sums, x, s0, s1, rows, cols);
    if (!are_small<BK>(wide, rows, cols)) return false;
    prepare_pairs<ROWS, BK>(pairs, wide, rows, (cols + 31) / 32 * 32);
    if constexpr (BM == 1) mma_scaled_dot<BITS, TABLE, GROUP, ZERO>(acc, pairs, sums, panels, cols, w, at);
#ifdef __AMX_BF16__
    else mma_scaled_amx<BITS, TABLE, BM, BN, BK, GROUP, ZERO>(acc, pairs, sums, rows, panels, cols, w, at);
#endif
    return true;
  }
#endif
  prepare_tile<BM, BK, GROUP, ZERO>(wide, sums, x, s0, s1, rows, cols);
  if (!are_small<BK>(wide, rows, cols)) return false;
  for (int p = 0; p < panels; p++) {
    const uint8_t* from = w.codes + (at.row / 16 + p) * panel_bytes(w.columns, BITS);
    few_rows_panel<BITS, TABLE, BM, BK, GROUP, ZERO>(acc + p * 16, ACC_PITCH<BN>, from + at.column / 8 * UNIT_ROWS * BITS,
                                                     w.groups, at.scale_row / 16 + p, at.group, wide, sums,
                                                     (cols + 7) / 8, w.table);
  }
  return true;
}

// The instruction: BM × BN accumulators with pitch ACC_PITCH<BN>, BK columns of GROUP codes per scale. `rows_left` and
// `cols_left` count what the view of x has left. EXACT says that the numbers are bf16 numbers.
template <int BITS, bool TABLE, int BM, int BN, int BK, int GROUP, bool ZERO, bool EXACT, class T, class S>
__attribute__((noinline)) void mma_scaled(float* acc, const T* x, int64_t s0, int64_t s1, int64_t rows_left,
                                         int64_t cols_left, const Weights<S>& w, const Corner& at) {
  constexpr bool PAIRS = HAS_PAIRS && EXACT && IS_BF16<T> && GROUP % 32 == 0 && (BM == 1 || HAS_AMX);
  const int64_t columns = w.columns - at.column;
  const int rows = clamp(rows_left, BM), cols = clamp(cols_left < columns ? cols_left : columns, BK);
  const int row_count = clamp(w.rows - at.row, BN), panels = (row_count + 15) / 16;
  if (rows == 0 || cols == 0) return;
  if constexpr (PAIRS || BM <= 4)
    if (mma_scaled_sums<BITS, TABLE, BM, BN, BK, GROUP, ZERO, PAIRS>(acc, x, s0, s1, rows, cols, panels, w, at)) return;
  alignas(64) float left[A_SIZE<BM, BK>];
  pack_a<BM, BK>(left, x, s0, s1, rows_left, cols);
  mma_scaled_f32<BITS, TABLE, BM, BN, BK, GROUP, ZERO>(acc, left, rows, row_count, cols, w, at);
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
