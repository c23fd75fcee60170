// Weights W[N, K] of 1 to 8 bits with group scales: their device order on CPUs, and how a unit of it is decoded.
//
// Order, for every width b: codes[n / 16][k / 8][n % 16] is b bytes, codes k … k + 7 of row n, little-endian. It is the
// portable row (a dense bit stream) cut into pieces of 8 codes, transposed over 16 rows; rows and columns are padded
// with zeros to 16 and 8. One unit (16 rows × 8 codes, 16·b bytes) becomes 16 lanes of 32 bits, a row each, so one
// broadcast activation feeds 16 rows. For b = 4 a unit is one 64-byte register, and `lane >> 4i` is an index for a
// 16-entry table in vpermps (f32) or, for codes i and 4 + i at once, in vpermw (bf16 pairs): two instructions per 16 or
// 32 decoded weights. Other widths take vpermb + vpmultishiftqb + and to 4 bytes per lane. AVX2 reads the same order.
//
// scales[n / 16][k / group][n % 16] (float, bf16 or f16); zeros likewise as bytes, or null: then `zero` holds for all.
// `group` is a multiple of 8; the last group may be short. The products are in mma_scaled.h.
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

}  // namespace tw
