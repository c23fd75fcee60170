// Vectors of f32 for one instruction set, chosen at compile time by the -m flags of the build.
//
// Everything above (packing, micro-kernels, vector math, reductions) is written once against `vf`: 16 lanes with
// AVX-512, 8 lanes with AVX2. Element types are plain integers in memory: bf16 and f16 are distinct structs, so a
// template can tell them from unsigned short. No exceptions, no standard library: a whole matmul compiles in seconds.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TW_INLINE static inline __attribute__((always_inline))

namespace tw {

struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

TW_INLINE uint32_t bits_of(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
TW_INLINE float float_of(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define TW_AVX512 1
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vmask;
enum { LANES = 16, MICRO_ROWS = 14 };

TW_INLINE vf vzero() { return _mm512_setzero_ps(); }
TW_INLINE vf vset(float x) { return _mm512_set1_ps(x); }
TW_INLINE vi viset(int x) { return _mm512_set1_epi32(x); }
TW_INLINE vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
TW_INLINE vf vfnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
TW_INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
TW_INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
TW_INLINE vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
TW_INLINE vf vround(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
TW_INLINE vf as_vf(vi a) { return _mm512_castsi512_ps(a); }
TW_INLINE vi as_vi(vf a) { return _mm512_castps_si512(a); }
TW_INLINE vi vtoi(vf a) { return _mm512_cvtps_epi32(a); }
TW_INLINE vf vtof(vi a) { return _mm512_cvtepi32_ps(a); }
TW_INLINE vi vand(vi a, vi b) { return _mm512_and_si512(a, b); }
TW_INLINE vi vor(vi a, vi b) { return _mm512_or_si512(a, b); }
TW_INLINE vi vxor(vi a, vi b) { return _mm512_xor_si512(a, b); }
TW_INLINE vi vadd(vi a, vi b) { return _mm512_add_epi32(a, b); }
TW_INLINE vi vsub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
template <int S> TW_INLINE vi vshl(vi a) { return _mm512_slli_epi32(a, S); }
template <int S> TW_INLINE vi vshr(vi a) { return _mm512_srli_epi32(a, S); }
template <int S> TW_INLINE vi vsar(vi a) { return _mm512_srai_epi32(a, S); }
TW_INLINE vmask vlt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
TW_INLINE bool vany(vmask m) { return m != 0; }
TW_INLINE vmask vunordered(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
TW_INLINE vmask vieq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
TW_INLINE vf vselect(vmask m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
TW_INLINE vmask first(int n) { return (vmask)((1u << n) - 1); }  // lanes 0..n-1, 0 <= n <= 16

TW_INLINE vf load(const float* p) { return _mm512_loadu_ps(p); }
TW_INLINE vf load(const bf16* p) {
  return as_vf(vshl<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p))));
}
TW_INLINE vf load(const f16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
TW_INLINE vf load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
TW_INLINE vf load_first(const bf16* p, int n) {
  return as_vf(vshl<16>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p))));
}
TW_INLINE vf load_first(const f16* p, int n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p)); }

// f32 -> bf16, round to nearest even; a NaN stays a NaN (its quiet bit is set) and subnormals are kept:
// vcvtneps2bf16 would flush them, so this is integer arithmetic.
TW_INLINE __m256i to_bf16(vf x) {
  vi u = as_vi(x);
  vi up = vadd(u, vadd(viset(0x7fff), vand(vshr<16>(u), viset(1))));
  up = _mm512_mask_or_epi32(up, vunordered(x), u, viset(0x400000));
  return _mm512_cvtepi32_epi16(vshr<16>(up));
}
TW_INLINE void store(float* p, vf x) { _mm512_storeu_ps(p, x); }
TW_INLINE void store(bf16* p, vf x) { _mm256_storeu_si256((__m256i*)p, to_bf16(x)); }
TW_INLINE void store(f16* p, vf x) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
TW_INLINE void store_first(float* p, vf x, int n) { _mm512_mask_storeu_ps(p, first(n), x); }
TW_INLINE void store_first(bf16* p, vf x, int n) { _mm256_mask_storeu_epi16(p, first(n), to_bf16(x)); }
TW_INLINE void store_first(f16* p, vf x, int n) {
  _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

TW_INLINE float sum_lanes(vf x) { return _mm512_reduce_add_ps(x); }
TW_INLINE float max_lanes(vf x) { return _mm512_reduce_max_ps(x); }
TW_INLINE float min_lanes(vf x) { return _mm512_reduce_min_ps(x); }

// r[i] lane j -> r[j] lane i: four rounds of 16 two-input shuffles.
TW_INLINE void transpose(vf r[16]) {
  vf t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {  // r[4g + i]: rows 4g..4g+3, columns i, 4+i, 8+i, 12+i by 128-bit lane
    t[i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0x88);
    r[8 + i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd);
    r[4 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88);
    r[12 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

#else  // AVX2 + FMA + F16C
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vmask;
enum { LANES = 8, MICRO_ROWS = 6 };

TW_INLINE vf vzero() { return _mm256_setzero_ps(); }
TW_INLINE vf vset(float x) { return _mm256_set1_ps(x); }
TW_INLINE vi viset(int x) { return _mm256_set1_epi32(x); }
TW_INLINE vf vfma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
TW_INLINE vf vfnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
TW_INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
TW_INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
TW_INLINE vf vsqrt(vf a) { return _mm256_sqrt_ps(a); }
TW_INLINE vf vround(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
TW_INLINE vf as_vf(vi a) { return _mm256_castsi256_ps(a); }
TW_INLINE vi as_vi(vf a) { return _mm256_castps_si256(a); }
TW_INLINE vi vtoi(vf a) { return _mm256_cvtps_epi32(a); }
TW_INLINE vf vtof(vi a) { return _mm256_cvtepi32_ps(a); }
TW_INLINE vi vand(vi a, vi b) { return _mm256_and_si256(a, b); }
TW_INLINE vi vor(vi a, vi b) { return _mm256_or_si256(a, b); }
TW_INLINE vi vxor(vi a, vi b) { return _mm256_xor_si256(a, b); }
TW_INLINE vi vadd(vi a, vi b) { return _mm256_add_epi32(a, b); }
TW_INLINE vi vsub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
template <int S> TW_INLINE vi vshl(vi a) { return _mm256_slli_epi32(a, S); }
template <int S> TW_INLINE vi vshr(vi a) { return _mm256_srli_epi32(a, S); }
template <int S> TW_INLINE vi vsar(vi a) { return _mm256_srai_epi32(a, S); }
TW_INLINE vmask vlt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
TW_INLINE bool vany(vmask m) { return _mm256_movemask_ps(m) != 0; }
TW_INLINE vmask vunordered(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
TW_INLINE vmask vieq(vi a, vi b) { return as_vf(_mm256_cmpeq_epi32(a, b)); }
TW_INLINE vf vselect(vmask m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
TW_INLINE vi first(int n) {  // lanes 0..n-1
  return _mm256_cmpgt_epi32(viset(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

TW_INLINE vf from_bits(__m128i u, const bf16*) { return as_vf(vshl<16>(_mm256_cvtepu16_epi32(u))); }
TW_INLINE vf from_bits(__m128i u, const f16*) { return _mm256_cvtph_ps(u); }
TW_INLINE vf load(const float* p) { return _mm256_loadu_ps(p); }
template <class T> TW_INLINE vf load(const T* p) { return from_bits(_mm_loadu_si128((const __m128i*)p), p); }
TW_INLINE vf load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
template <class T> TW_INLINE vf load_first(const T* p, int n) {
  uint16_t some[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  for (int i = 0; i < n; i++) some[i] = p[i].bits;
  return from_bits(_mm_loadu_si128((const __m128i*)some), p);
}

// f32 -> bf16, round to nearest even; a NaN stays a NaN (its quiet bit is set), subnormals are kept.
TW_INLINE __m128i to_bits(vf x, const bf16*) {
  vi u = as_vi(x);
  vi up = vadd(u, vadd(viset(0x7fff), vand(vshr<16>(u), viset(1))));
  up = vshr<16>(as_vi(vselect(vunordered(x), as_vf(vor(u, viset(0x400000))), as_vf(up))));
  return _mm_packus_epi32(_mm256_castsi256_si128(up), _mm256_extracti128_si256(up, 1));
}
TW_INLINE __m128i to_bits(vf x, const f16*) {
  return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
TW_INLINE void store(float* p, vf x) { _mm256_storeu_ps(p, x); }
template <class T> TW_INLINE void store(T* p, vf x) { _mm_storeu_si128((__m128i*)p, to_bits(x, p)); }
TW_INLINE void store_first(float* p, vf x, int n) { _mm256_maskstore_ps(p, first(n), x); }
template <class T> TW_INLINE void store_first(T* p, vf x, int n) {
  uint16_t all[8];
  _mm_storeu_si128((__m128i*)all, to_bits(x, p));
  for (int i = 0; i < n; i++) p[i].bits = all[i];
}

TW_INLINE float sum_lanes(vf x) {
  __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}
TW_INLINE float max_lanes(vf x) {
  __m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_max_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}
TW_INLINE float min_lanes(vf x) {
  __m128 h = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_min_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_min_ss(h, _mm_movehdup_ps(h)));
}

// r[i] lane j -> r[j] lane i.
TW_INLINE void transpose(vf r[8]) {
  vf t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x20);
    t[4 + i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) r[i] = t[i];
}
#endif

// One element, for strided tails.
TW_INLINE float to_f32(float x) { return x; }
TW_INLINE float to_f32(bf16 x) { return float_of((uint32_t)x.bits << 16); }
TW_INLINE float to_f32(f16 x) { return _cvtsh_ss(x.bits); }
TW_INLINE void put(float* p, float x) { *p = x; }
TW_INLINE void put(f16* p, float x) { p->bits = _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
TW_INLINE void put(bf16* p, float x) {
  uint32_t u = bits_of(x), up = u + 0x7fff + (u >> 16 & 1);
  p->bits = (uint16_t)((x != x ? u | 0x400000 : up) >> 16);
}

}  // namespace tw
