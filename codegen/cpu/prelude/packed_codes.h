// Weights W[N, K] of 1 to 8 bits with group scales: their device order on CPUs, and the products that read it.
//
// Order, for every width b: codes[n / 16][k / 8][n % 16] is b bytes, codes k … k + 7 of row n, little-endian. It is the
// portable row (a dense bit stream) cut into pieces of 8 codes, transposed over 16 rows; rows and columns are padded
// with zeros to 16 and 8. One unit (16 rows × 8 codes, 16·b bytes) becomes 16 lanes of 32 bits, a row each, so one
// broadcast activation feeds 16 rows. For b = 4 a unit is one 64-byte register, and `lane >> 4i` is an index for a
// 16-entry table in vpermps (f32) or, for codes i and 4 + i at once, in vpermw (bf16 pairs): two instructions per 16 or
// 32 decoded weights. Other widths take vpermb + vpmultishiftqb + and to 4 bytes per lane. AVX2 reads the same order.
//
// scales[n / 16][k / group][n % 16] (float, bf16 or f16); zeros likewise as bytes, or null: then `zero` holds for all.
// y[m][n] = sum_g scale · (sum_k q x − z · sum_k x): products with integer codes are exact, sums are f32, the scale is
// applied once per group. `group` is a multiple of 8; the last group may be short.
#pragma once
#include "mma.h"

namespace tw {

enum { UNIT_ROWS = 16, UNIT_K = 8, HALVES = UNIT_ROWS / LANES };
TW_INLINE int64_t panel_bytes(int64_t k, int bits) { return (k + 7) / 8 * UNIT_ROWS * bits; }

// A unit as numbers: q[i][h] lane r is code i of row h · LANES + r.
struct Unit {
  vf q[UNIT_K][HALVES];
};

#ifdef TW_AVX512
TW_INLINE vi integers() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
#endif

#if defined(TW_AVX512) && defined(__AVX512VBMI__)
// Four consecutive codes of each row as the bytes of its 32-bit lane; `half` chooses codes 0…3 or 4…7.
template <int BITS> TW_INLINE vi unpack4(const uint8_t* unit, int half) {
  alignas(64) uint8_t from[64], shift[64];
  const int first_bit = 4 * half * BITS, first_byte = first_bit / 8;
#pragma GCC unroll 64
  for (int i = 0; i < 64; i++) {
    const int row = i / 4, byte = first_byte + i % 4;
    from[i] = (uint8_t)(row * BITS + (byte < BITS ? byte : BITS - 1));
    shift[i] = (uint8_t)(row % 2 * 32 + first_bit % 8 + i % 4 * BITS);
  }
  const vi index = _mm512_load_si512(from), shifts = _mm512_load_si512(shift);
  const vi low = _mm512_maskz_loadu_epi8(BITS >= 4 ? ~0ull : (1ull << (16 * BITS % 64)) - 1, unit);
  const vi high = BITS > 4 ? _mm512_maskz_loadu_epi8(~0ull >> (BITS > 4 ? 64 - 16 * (BITS - 4) : 0), unit + 64) : low;
  const vi bytes = BITS > 4 ? _mm512_permutex2var_epi8(low, index, high) : _mm512_permutexvar_epi8(index, low);
  return vand(_mm512_multishift_epi64_epi8(shifts, bytes), _mm512_set1_epi8((char)((1 << BITS) - 1)));
}
#endif

template <int BITS> TW_INLINE void decode(Unit& u, const uint8_t* unit) {
#ifdef TW_AVX512
  if constexpr (BITS == 4) {
    const vi w = _mm512_loadu_si512(unit);
    const vf table = vtof(integers());
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) u.q[i][0] = _mm512_permutexvar_ps(_mm512_srli_epi32(w, 4 * i), table);
    return;
  }
#ifdef __AVX512VBMI__
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) {
    const vi four = unpack4<BITS>(unit, i / 4);
    u.q[i][0] = vtof(vand(_mm512_srli_epi32(four, 8 * (i % 4)), viset(0xff)));
  }
  return;
#endif
#else
  if constexpr (BITS == 4) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
      const vi w = _mm256_loadu_si256((const __m256i*)(unit + 32 * h));
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) u.q[i][h] = vtof(vand(_mm256_srli_epi32(w, 4 * i), viset(15)));
    }
    return;
  }
#endif
  alignas(64) float q[8][16];
  for (int r = 0; r < 16; r++) {
    uint64_t row = 0;
    memcpy(&row, unit + r * BITS, BITS);
    for (int i = 0; i < 8; i++) q[i][r] = (float)(row >> (BITS * i) & ((1u << BITS) - 1));
  }
  for (int i = 0; i < 8; i++)
    for (int h = 0; h < HALVES; h++) u.q[i][h] = load(q[i] + h * LANES);
}

// One group's scales and zero points of a panel of 16 rows.
template <class S> struct Groups {
  const S* scales;
  const uint8_t* zeros;
  float zero;
  int64_t count;  // groups per row

  vf scale(int64_t panel, int64_t g, int h) const {
    return load(scales + (panel * count + g) * UNIT_ROWS + h * LANES);
  }
  vf zero_point(int64_t panel, int64_t g, int h) const {
    if (!zeros) return vset(zero);
    const uint8_t* z = zeros + (panel * count + g) * UNIT_ROWS + h * LANES;
#ifdef TW_AVX512
    return vtof(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)z)));
#else
    return vtof(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)z)));
#endif
  }
};

// Activations for panel_f32, prepared once per call: `rows` rows as f32 with pitch round_up(k, 8), zero beyond k, and the
// sum of every group, sums[m][g].
template <class T>
TW_INLINE void prepare_rows(float* x, float* sums, const T* from, int64_t s0, int64_t s1, int rows, int64_t k,
                            int64_t group) {
  const int64_t pitch = (k + 7) / 8 * 8, groups = (k + group - 1) / group;
  for (int m = 0; m < rows; m++) {
    float* row = x + m * pitch;
    int64_t i = 0;
    if (s1 == 1)
      for (; i + LANES <= k; i += LANES) store(row + i, load(from + m * s0 + i));
    for (; i < k; i++) row[i] = to_f32(from[m * s0 + i * s1]);
    for (; i < pitch; i++) row[i] = 0;
    for (int64_t g = 0; g < groups; g++) {
      const int64_t end = (g + 1) * group < pitch ? (g + 1) * group : pitch;
      vf sum = vzero();
      for (i = g * group; i + LANES <= end; i += LANES) sum = sum + load(row + i);
      sums[m * groups + g] = sum_lanes(sum + load_first(row + i, (int)(end - i)));
    }
  }
}

// y[m][0 … 15] of panel `panel` for M rows of prepared activations (M small: the weights are read once).
template <int BITS, int M, class S>
TW_INLINE void panel_f32(float (*y)[UNIT_ROWS], const uint8_t* codes, const Groups<S>& groups, int64_t panel,
                         const float* x, const float* sums, int64_t k, int64_t group) {
  constexpr int CHAINS = M == 1 ? 4 : M == 2 ? 2 : 1;  // independent fma chains
  const int64_t units = (k + 7) / 8, per_group = group / 8, pitch = units * 8;
  const uint8_t* at = codes + panel * panel_bytes(k, BITS);
  vf total[M][HALVES] = {};
  for (int64_t g = 0, unit = 0; g < groups.count; g++) {
    vf acc[M][CHAINS][HALVES] = {};
    const int64_t end = unit + per_group < units ? unit + per_group : units;
    for (; unit < end; unit++, at += UNIT_ROWS * BITS) {
      _mm_prefetch((const char*)at + 2048, _MM_HINT_T0);
      Unit u;
      decode<BITS>(u, at);
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++)
#pragma GCC unroll 4
        for (int m = 0; m < M; m++)
#pragma GCC unroll 2
          for (int h = 0; h < HALVES; h++)
            acc[m][i % CHAINS][h] = vfma(u.q[i][h], vset(x[m * pitch + unit * 8 + i]), acc[m][i % CHAINS][h]);
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; h++) {
        vf sum = acc[m][0][h];
        for (int c = 1; c < CHAINS; c++) sum = sum + acc[m][c][h];
        sum = vfnma(groups.zero_point(panel, g, h), vset(sums[m * groups.count + g]), sum);
        total[m][h] = vfma(groups.scale(panel, g, h), sum, total[m][h]);
      }
  }
  for (int m = 0; m < M; m++)
    for (int h = 0; h < HALVES; h++) store(y[m] + h * LANES, total[m][h]);
}

// y[m][i] = strip[m][i] for the `left` features that are left, at most 16.
template <class T>
TW_INLINE void store_strip(T* y, int64_t row_stride, int rows, int64_t left, const float (*strip)[UNIT_ROWS]) {
  for (int m = 0; m < rows; m++)
    for (int h = 0; h < HALVES; h++)
      store_first(y + m * row_stride + h * LANES, load(strip[m] + h * LANES), clamp(left - h * LANES, LANES));
}

// Right operand of `mma_f32` from codes: (q − z) · scale for rows n0 … n0 + BN − 1 (n0 a multiple of NR) and columns
// k0 … k0 + BK − 1 (k0 and BK multiples of 8), zero beyond n and k.
template <int BITS, int BN, int BK, class S>
__attribute__((noinline)) void load_right_codes(float* dst, const uint8_t* codes, const Groups<S>& groups, int64_t n0,
                                               int64_t k0, int64_t n, int64_t k, int64_t group) {
  constexpr int PANEL = NR * round_up(BK, LANES);
  const int rows = clamp(n - n0, BN), cols = clamp(k - k0, BK);
  for (int r = 0; r < round_up(rows, NR); r += UNIT_ROWS) {
    float* d = dst + r / NR * PANEL + r % NR;
    const int64_t panel = (n0 + r) / UNIT_ROWS;
    for (int c = 0; c < BK; c += 8) {
      Unit u;
      if (r < rows && c < cols) {
        const int64_t g = (k0 + c) / group;
        decode<BITS>(u, codes + panel * panel_bytes(k, BITS) + (k0 + c) / 8 * UNIT_ROWS * BITS);
        for (int h = 0; h < HALVES; h++) {
          const vf scale = groups.scale(panel, g, h), zero = groups.zero_point(panel, g, h);
          for (int i = 0; i < 8; i++) u.q[i][h] = c + i < cols ? (u.q[i][h] - zero) * scale : vzero();
        }
      } else {
        for (int i = 0; i < 8; i++)
          for (int h = 0; h < HALVES; h++) u.q[i][h] = vzero();
      }
      for (int i = 0; i < 8; i++)
        for (int h = 0; h < HALVES; h++) store(d + (c + i) * NR + h * LANES, u.q[i][h]);
    }
  }
}

#ifdef __AMX_BF16__
// The same sums for 4-bit codes and up to 64 bf16 rows through AMX: a unit shifted by 4i is an index for the table of
// bf16 numbers 0 … 15 (twice: bit 4 is noise), which gives codes i and 4 + i of each row, a row of a right-hand tile.
// The activations are permuted alike. Needs group % 32 == 0.

// Words of 32 bits for the activations of `rows` rows: [row / 16][k / 32][16 rows][16 pairs].
TW_INLINE int64_t amx_words(int64_t rows, int64_t k) { return (rows + 15) / 16 * 16 * ((k + 31) / 32 * 16); }

TW_INLINE void prepare_amx(uint32_t* dst, const float* x, int rows, int64_t k) {
  const int64_t pitch = (k + 7) / 8 * 8, deep = (k + 31) / 32;
  memset(dst, 0, amx_words(rows, k) * 4);
  const vi swap = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
  for (int m = 0; m < rows; m++)
    for (int64_t c = 0; c < pitch; c += 16) {  // two units: low halves, then high halves, then interleave
      const vf row = load_first(x + m * pitch + c, clamp(pitch - c, 16));
      const __m256i halves = to_bf16(_mm512_permutexvar_ps(swap, row));
      const __m256i low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(halves));
      const __m256i high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(halves, 1));
      uint32_t* at = dst + ((m / 16 * deep + c / 32) * 16 + m % 16) * 16 + c % 32 / 2;
      _mm256_storeu_si256((__m256i*)at, _mm256_or_si256(low, _mm256_slli_epi32(high, 16)));
    }
}

// One group of a panel as right-hand tiles of 1 KB each, 32 codes deep.
TW_INLINE void decode_tiles(float* tiles, const uint8_t* at, int64_t units) {
  const vi small = _mm512_and_si512(_mm512_srli_epi32(as_vi(vtof(vand(integers(), viset(15)))), 16), viset(0xffff));
  alignas(64) uint16_t numbers[32];
  alignas(64) uint32_t words[16];
  _mm512_store_si512(words, small);
  for (int i = 0; i < 32; i++) numbers[i] = (uint16_t)words[i % 16];
  const vi table = _mm512_load_si512(numbers);
  for (int64_t u = 0; u < units; u++, at += UNIT_ROWS * 4) {
    _mm_prefetch((const char*)at + 2048, _MM_HINT_T0);
    const vi w = _mm512_loadu_si512(at);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      store(tiles + (u * 4 + i) * 16, as_vf(_mm512_permutexvar_epi16(_mm512_srli_epi32(w, 4 * i), table)));
  }
}

// y[m][0 … 15] of one panel for `rows` <= 64 rows. `tiles` is scratch of 16 · group words; call between open_tiles and
// close_tiles.
template <class S>
__attribute__((noinline)) void panel_amx(float (*y)[UNIT_ROWS], const uint8_t* codes, const Groups<S>& groups,
                                        int64_t panel, const uint32_t* x, const float* sums, int rows, int64_t k,
                                        int64_t group, float* tiles) {
  const int64_t units = (k + 7) / 8, per_group = group / 8, deep = (k + 31) / 32;
  const uint8_t* at = codes + panel * panel_bytes(k, 4);
  alignas(64) float sum[64][UNIT_ROWS];
  memset(tiles, 0, 64 * group);
  memset(y, 0, (rows + 15) / 16 * 16 * sizeof *y);
  for (int64_t g = 0; g < groups.count; g++) {
    const int64_t unit = g * per_group, n = unit + per_group < units ? per_group : units - unit;
    decode_tiles(tiles, at + unit * UNIT_ROWS * 4, n);
    asm volatile("" ::: "memory");
    const uint32_t* left = x + unit / 4 * 256;
    for (int m = 0; m < rows; m += 16, left += deep * 256) {
      _tile_zero(0);
      for (int64_t d = 0; d < (n + 3) / 4; d++) {
        _tile_loadd(4, left + d * 256, 64);
        _tile_loadd(6, tiles + d * 256, 64);
        _tile_dpbf16ps(0, 4, 6);
      }
      _tile_stored(0, sum[m], 64);
    }
    asm volatile("" ::: "memory");
    const vf scale = groups.scale(panel, g, 0), zero = groups.zero_point(panel, g, 0);
    for (int m = 0; m < rows; m++) {
      const vf exact = vfnma(zero, vset(sums[m * groups.count + g]), load(sum[m]));
      store(y[m], vfma(scale, exact, load(y[m])));
    }
  }
}
#endif

}  // namespace tw
