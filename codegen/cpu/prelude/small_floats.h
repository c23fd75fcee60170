// Tables of all codes of a small float format (1 sign bit, E exponent bits, M mantissa bits, at most 8 in all) as f32, and
// vector look-ups. Every value is exact, subnormals included.
#pragma once
#include "simd.h"

namespace tw {

// What the top exponent means: a finite number, NaN in the all-ones code only (e4m3fn), or infinity and NaN (e5m2).
enum class Top { FINITE, ONE_NAN, IEEE };

struct alignas(64) Table {
  float value[256];
};

template <int E, int M, int BIAS, Top TOP> constexpr Table make_table() {
  Table t{};
  for (int code = 0; code < 1 << (E + M + 1); code++) {
    const int exponent = code >> M & ((1 << E) - 1), mantissa = code & ((1 << M) - 1), top = (1 << E) - 1;
    int power = (exponent ? exponent : 1) - BIAS - M;
    float x = (float)(exponent ? mantissa + (1 << M) : mantissa);
    for (; power > 0; power--) x *= 2;
    for (; power < 0; power++) x /= 2;
    if (TOP == Top::IEEE && exponent == top) x = mantissa ? __builtin_nanf("") : __builtin_inff();
    if (TOP == Top::ONE_NAN && exponent == top && mantissa == (1 << M) - 1) x = __builtin_nanf("");
    t.value[code] = code >> (E + M) ? -x : x;
  }
  return t;
}

inline constexpr Table E4M3FN = make_table<4, 3, 7, Top::ONE_NAN>();
inline constexpr Table E5M2 = make_table<5, 2, 15, Top::IEEE>();
inline constexpr Table E2M1 = make_table<2, 1, 1, Top::FINITE>();
inline constexpr Table E2M3 = make_table<2, 3, 1, Top::FINITE>();
inline constexpr Table E3M2 = make_table<3, 2, 3, Top::FINITE>();

// One code per lane.
TW_INLINE vf look_up(const Table& t, vi codes) {
#ifdef TW_AVX512
  return _mm512_i32gather_ps(codes, t.value, 4);
#else
  return _mm256_i32gather_ps(t.value, codes, 4);
#endif
}

// One code per byte.
TW_INLINE vf look_up(const Table& t, const uint8_t* codes) {
#ifdef TW_AVX512
  return look_up(t, _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)codes)));
#else
  return look_up(t, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)codes)));
#endif
}

}  // namespace tw
