// Arithmetic on single elements, written without branches so that the compiler vectorizes loops over it.
//
// Numbers are held in float (all floats up to 32 bits: their values are a subset), double, or integers of 32 or 64 bits.
// An operation on a type narrower than its holder is the holder's operation followed by a rounding (`round_f16`) or a
// wrap (`wrap_signed`): sums, products, quotients and roots of floats with at most 11 digits rounded through f32 are
// exactly the rounded results, as f32 has more than twice their digits plus two. Kernels are compiled with
// -ffp-contract=off: only `fma` fuses.
#pragma once
#include "simd.h"

namespace tw {

TW_INLINE uint64_t bits_of(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
TW_INLINE double double_of(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

// --- integers: two's complement, wrapping; division and remainder round toward minus infinity ---------------------------
TW_INLINE int32_t add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
TW_INLINE int64_t add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
TW_INLINE int32_t sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
TW_INLINE int64_t sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
TW_INLINE int32_t mul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }
TW_INLINE int64_t mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
#define TW_SAME(T) \
  TW_INLINE T add(T a, T b) { return a + b; } \
  TW_INLINE T sub(T a, T b) { return a - b; } \
  TW_INLINE T mul(T a, T b) { return a * b; }
TW_SAME(uint32_t) TW_SAME(uint64_t) TW_SAME(float) TW_SAME(double)
#undef TW_SAME
TW_INLINE bool add(bool a, bool b) { return a | b; }
TW_INLINE bool mul(bool a, bool b) { return a & b; }
TW_INLINE float div(float a, float b) { return a / b; }
TW_INLINE double div(double a, double b) { return a / b; }
template <class T> TW_INLINE T negate(T a) { return sub((T)0, a); }
TW_INLINE float negate(float a) { return -a; }
TW_INLINE double negate(double a) { return -a; }
template <class T> TW_INLINE T absolute(T a) { return a < 0 ? negate(a) : a; }
TW_INLINE float absolute(float a) { return __builtin_fabsf(a); }
TW_INLINE double absolute(double a) { return __builtin_fabs(a); }
TW_INLINE uint32_t absolute(uint32_t a) { return a; }
TW_INLINE uint64_t absolute(uint64_t a) { return a; }
template <class T> TW_INLINE T invert(T a) { return ~a; }
TW_INLINE bool invert(bool a) { return !a; }

template <class T> TW_INLINE T floordiv(T a, T b) {
  if (b == 0) return 0;
  if (b == (T)-1) return negate(a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
TW_INLINE uint32_t floordiv(uint32_t a, uint32_t b) { return b == 0 ? 0 : a / b; }
TW_INLINE uint64_t floordiv(uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }
TW_INLINE double floordiv(double a, double b) { return __builtin_floor(a / b); }
TW_INLINE float floordiv(float a, float b) { return (float)floordiv((double)a, (double)b); }
template <class T> TW_INLINE T modulo(T a, T b) {
  if (b == 0 || b == (T)-1) return 0;
  const T r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
TW_INLINE uint32_t modulo(uint32_t a, uint32_t b) { return b == 0 ? 0 : a % b; }
TW_INLINE uint64_t modulo(uint64_t a, uint64_t b) { return b == 0 ? 0 : a % b; }
TW_INLINE double modulo(double a, double b) {
  const double r = __builtin_fmod(a, b);
  return r != 0 ? ((r < 0) != (b < 0) ? r + b : r) : __builtin_copysign(0.0, b);
}
TW_INLINE float modulo(float a, float b) { return (float)modulo((double)a, (double)b); }
template <class T> TW_INLINE T div(T a, T b) { return b == 0 ? 0 : b == (T)-1 ? negate(a) : a / b; }

template <class T> TW_INLINE T power(T a, T b) {
  T found = 1;
  for (; b > 0; b >>= 1, a = mul(a, a))
    if (b & 1) found = mul(found, a);
  return found;
}
TW_INLINE float power(float a, float b) { return (float)__builtin_pow(a, b); }
TW_INLINE double power(double a, double b) { return __builtin_pow(a, b); }

// NaN loses against a number, as in fmin and fmax.
template <class T> TW_INLINE T least(T a, T b) { return a < b ? a : b; }
template <class T> TW_INLINE T most(T a, T b) { return a > b ? a : b; }
TW_INLINE float least(float a, float b) { return (a < b) | (b != b) ? a : b; }
TW_INLINE float most(float a, float b) { return (a > b) | (b != b) ? a : b; }
TW_INLINE double least(double a, double b) { return (a < b) | (b != b) ? a : b; }
TW_INLINE double most(double a, double b) { return (a > b) | (b != b) ? a : b; }

TW_INLINE int32_t shift_left(int32_t a, int32_t n) { return (uint32_t)n < 32 ? (int32_t)((uint32_t)a << n) : 0; }
TW_INLINE uint32_t shift_left(uint32_t a, uint32_t n) { return n < 32 ? a << n : 0; }
TW_INLINE int64_t shift_left(int64_t a, int64_t n) { return (uint64_t)n < 64 ? (int64_t)((uint64_t)a << n) : 0; }
TW_INLINE uint64_t shift_left(uint64_t a, uint64_t n) { return n < 64 ? a << n : 0; }
TW_INLINE int32_t shift_right(int32_t a, int32_t n) { return a >> ((uint32_t)n < 32 ? n : 31); }
TW_INLINE uint32_t shift_right(uint32_t a, uint32_t n) { return n < 32 ? a >> n : 0; }
TW_INLINE int64_t shift_right(int64_t a, int64_t n) { return a >> ((uint64_t)n < 64 ? n : 63); }
TW_INLINE uint64_t shift_right(uint64_t a, uint64_t n) { return n < 64 ? a >> n : 0; }

template <int BITS> TW_INLINE int32_t wrap_signed(int32_t a) { return (int32_t)((uint32_t)a << (32 - BITS)) >> (32 - BITS); }
template <int BITS> TW_INLINE uint32_t wrap_unsigned(uint32_t a) { return a & ((1u << BITS) - 1); }

TW_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TW_INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
template <class T> TW_INLINE T fused(T a, T b, T c) { return add(mul(a, b), c); }

// The part [start, stop) of a tile's axis that lies inside a view: offset is where the axis starts in the view.
TW_INLINE int start_inside(int64_t offset, int extent) { return offset >= 0 ? 0 : -offset < extent ? (int)-offset : extent; }
TW_INLINE int stop_inside(int64_t offset, int64_t view, int extent) {
  return view <= offset ? 0 : view - offset < extent ? (int)(view - offset) : extent;
}

// --- floats narrower than f32, held in float -----------------------------------------------------------------------------
TW_INLINE float round_bf16(float x) {
  const uint32_t u = bits_of(x), up = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
  return x != x ? x : float_of(up);
}
TW_INLINE float round_tf32(float x) {
  const uint32_t u = bits_of(x), up = (u + 0xfff + (u >> 13 & 1)) & 0xffffe000u;
  return x != x ? x : float_of(up);
}
TW_INLINE float keep_tf32(float x) { return float_of(bits_of(x) & 0xffffe000u); }
// 11 digits; below 2^-14 multiples of 2^-24 (adding 0.5 rounds there, as 2^-24 is its last place); 65520 and more: infinity.
TW_INLINE float round_f16(float x) {
  const uint32_t u = bits_of(x), up = (u + 0xfff + (u >> 13 & 1)) & 0xffffe000u;
  const float size = __builtin_fabsf(x), small = (size + 0.5f) - 0.5f;
  float r = size < 0x1p-14f ? float_of(bits_of(small) | (u & 0x80000000u)) : float_of(up);
  r = size >= 65520.0f ? float_of(0x7f800000u | (u & 0x80000000u)) : r;
  return x != x ? x : r;
}
// double -> float with the last bit sticky: a second rounding to at most 22 digits is then right.
TW_INLINE float round_odd(double x) {
  const float near = (float)x;
  const double back = near;
  const uint32_t u = bits_of(near), down = u - (__builtin_fabs(back) > __builtin_fabs(x));
  return (back == x) | (x != x) ? near : float_of(down | 1);
}
TW_INLINE double round_odd(int64_t v) {
  const double near = (double)v;
  if (near >= 9223372036854775808.0) return double_of(bits_of(9223372036854774784.0) | (v != 9223372036854774784));
  const int64_t back = (int64_t)near;
  if (back == v) return near;
  const uint64_t u = bits_of(near), down = u - (v < 0 ? back < v : back > v);
  return double_of(down | 1);
}
TW_INLINE double round_odd(uint64_t v) {
  if (v < 0x8000000000000000u) return round_odd((int64_t)v);
  return 2.0 * round_odd((int64_t)(v >> 1 | (v & 1)));
}

TW_INLINE float widen(float x) { return x; }
TW_INLINE float widen(bf16 x) { return float_of((uint32_t)x.bits << 16); }
TW_INLINE float widen(f16 x) {
  const uint32_t size = x.bits & 0x7fffu, sign = (uint32_t)(x.bits & 0x8000u) << 16;
  const uint32_t u = bits_of(float_of(size << 13) * 0x1p112f) | (size >= 0x7c00u ? 0x7f800000u : 0u);
  return float_of(u | sign);
}
TW_INLINE bf16 narrow_bf16(float x) {
  const uint32_t u = bits_of(x), up = u + 0x7fff + (u >> 16 & 1);
  return bf16{(uint16_t)((x != x ? u | 0x400000u : up) >> 16)};
}
// The choice is made before the shift: on 16-bit values g++ 12 fails to vectorize it.
TW_INLINE f16 narrow_f16(float x) {
  const uint32_t u = bits_of(x), size = u & 0x7fffffffu;
  const uint32_t normal = size + 0xfff + (size >> 13 & 1) - (112u << 23);
  const uint32_t small = (bits_of(float_of(size) + 0.5f) - 0x3f000000u) << 13;  // 0.5 ends where f16's subnormals do
  uint32_t code = size < 0x38800000u ? small : normal;
  code = size >= 0x477ff000u ? 0x7c00u << 13 : code;
  code = size > 0x7f800000u ? 0x7e00u << 13 : code;
  return f16{(uint16_t)(code >> 13 | (u >> 16 & 0x8000u))};
}

// A row of f16, by the instruction: loops that mix 16 and 32 bits are not always vectorized.
TW_INLINE void narrow_row(f16* to, const float* from, int count) {
  int i = 0;
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128((__m128i*)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  for (; i < count; i++) to[i] = narrow_f16(from[i]);
}

// --- floats of at most 8 bits: codes, saturating (special: 0 all finite, 1 NaN only, 2 infinity and NaN) --------------------
template <int E, int M, int BIAS, int SPECIAL> TW_INLINE uint32_t encode_small(double x) {
  constexpr int TOP = (1 << (E + M)) - (SPECIAL == 2 ? (1 << M) + 1 : SPECIAL == 1 ? 2 : 1);
  constexpr int NAN_CODE = SPECIAL == 2 ? TOP + 1 + (M > 0 ? 1 << (M > 0 ? M - 1 : 0) : 0) : TOP + SPECIAL;
  const double size = __builtin_fabs(x) < 0x1p140 ? __builtin_fabs(x) : 0x1p140;
  const int exponent = (int)(bits_of(size) >> 52) - 1023, lowest = 1 - BIAS;
  const int e = exponent > lowest ? exponent : lowest;
  const double scale = double_of((uint64_t)(M + 1023 - e) << 52);
  const double whole = __builtin_rint(size * scale);
  const int limited = (int)(whole < 65536.0 ? whole : 65536.0) + ((e - lowest) << M);
  const int code = limited > TOP ? TOP : limited;
  const uint32_t sign = (uint32_t)(bits_of(x) >> 63) << (E + M);
  return x != x ? (uint32_t)NAN_CODE : (uint32_t)code | sign;
}
// Powers of two: ties go to the larger one, zero to the smallest, negative numbers and NaN to NaN.
TW_INLINE uint32_t encode_e8m0(double x) {
  const double size = __builtin_fabs(x) < 0x1p200 ? __builtin_fabs(x) : 0x1p200;
  const uint64_t u = bits_of(size);
  const int code = (int)(u >> 52) - 1023 + 127 + ((u & 0xfffffffffffffu) >= 0x8000000000000u);
  const int limited = code < 0 ? 0 : code > 254 ? 254 : code;
  return (x != x) | (x < 0) ? 255u : (uint32_t)limited;
}
// The number of borders that x has reached chooses the code; NaN becomes the last entry.
TW_INLINE uint32_t encode_table(double x, const double* borders, const uint8_t* codes, int count) {
  int place = 0;
  for (int i = 0; i < count; i++) place += !(x < borders[i]);
  return codes[place];
}

// --- floats to integers: truncated, saturated, NaN gives 0 ------------------------------------------------------------------
template <int BITS> TW_INLINE int32_t to_signed(double x) {
  constexpr double TOP = (double)(1ll << (BITS - 1));
  const double limited = x >= TOP ? TOP - 1 : x < -TOP ? -TOP : x;
  return (int32_t)(x != x ? 0.0 : limited);
}
template <int BITS> TW_INLINE uint32_t to_unsigned(double x) {
  constexpr double TOP = (double)(1ll << BITS);
  const double limited = x >= TOP ? TOP - 1 : x < 0 ? 0.0 : x;
  return (uint32_t)(int64_t)(x != x ? 0.0 : limited);
}
TW_INLINE int64_t to_signed64(double x) {
  if (x != x) return 0;
  return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}
TW_INLINE uint64_t to_unsigned64(double x) {
  if (!(x >= 1.0)) return 0;
  return x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}
template <int BITS> TW_INLINE int32_t to_signed(float x) {
  if (BITS == 32) {
    const float limited = x >= 0x1p31f ? 0.0f : x < -0x1p31f ? -0x1p31f : x;
    const int32_t whole = (int32_t)(x != x ? 0.0f : limited);
    return x >= 0x1p31f ? INT32_MAX : whole;
  }
  constexpr float TOP = (float)(1ll << (BITS - 1));
  const float limited = x >= TOP ? TOP - 1 : x < -TOP ? -TOP : x;
  return (int32_t)(x != x ? 0.0f : limited);
}

}  // namespace tw
