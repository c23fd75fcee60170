// Elementary functions of one element, without branches or library calls for float, so that loops over them vectorize.
//
// Float versions reduce the argument, evaluate a polynomial (minimax or economized Taylor, error below half a unit in the
// last place before its own rounding), and scale; results are within about 2 units of f32. f64 goes to libm.
#pragma once
#include "element.h"

namespace tw {

// 2^n for a whole n in [-300, 300], in two factors so that subnormal results are right.
TW_INLINE float scale_two(float x, int n) {
  const int half = n >> 1;
  return x * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(n - half + 127) << 23);
}
// 2^f - 1 over f, |f| <= 1/2.
TW_INLINE float exp2_fraction(float f) {
  float p = 1.5353362e-4f;
  p = __builtin_fmaf(p, f, 1.3398874e-3f);
  p = __builtin_fmaf(p, f, 9.6184373e-3f);
  p = __builtin_fmaf(p, f, 5.5503324e-2f);
  p = __builtin_fmaf(p, f, 2.4022648e-1f);
  p = __builtin_fmaf(p, f, 6.9314718e-1f);
  return p;
}
TW_INLINE float exp2_of(float x) {
  const bool none = x < -150.0f;  // also so that far lanes (-infinity) compute no subnormals, which are slow
  const float c = none ? 0.0f : x > 130.0f ? 130.0f : x;
  const float n = __builtin_rintf(c), f = c - n;
  const float r = scale_two(__builtin_fmaf(exp2_fraction(f), f, 1.0f), (int)n);
  return x != x ? x : none ? 0.0f : r;
}
TW_INLINE float exp_of(float x) {
  const bool none = x < -104.0f;
  const float c = none ? 0.0f : x > 90.0f ? 90.0f : x;
  const float n = __builtin_rintf(c * 1.44269504f);
  const float f = __builtin_fmaf(n, -1.42860677e-6f, __builtin_fmaf(n, -0.693145752f, c));
  float p = 1.9875691500e-4f;
  p = __builtin_fmaf(p, f, 1.3981999507e-3f);
  p = __builtin_fmaf(p, f, 8.3334519073e-3f);
  p = __builtin_fmaf(p, f, 4.1665795894e-2f);
  p = __builtin_fmaf(p, f, 1.6666665459e-1f);
  p = __builtin_fmaf(p, f, 5.0000001201e-1f);
  const float r = scale_two(__builtin_fmaf(p * f, f, f) + 1.0f, (int)n);
  return x != x ? x : none ? 0.0f : r;
}
// e^x - 1, |x| <= 1/2 ln 2 by the polynomial, else from e^x.
TW_INLINE float expm1_of(float x) {
  float p = 1.9875691500e-4f;
  p = __builtin_fmaf(p, x, 1.3981999507e-3f);
  p = __builtin_fmaf(p, x, 8.3334519073e-3f);
  p = __builtin_fmaf(p, x, 4.1665795894e-2f);
  p = __builtin_fmaf(p, x, 1.6666665459e-1f);
  p = __builtin_fmaf(p, x, 5.0000001201e-1f);
  const float small = __builtin_fmaf(p * x, x, x);
  return __builtin_fabsf(x) < 0.34f ? small : exp_of(x) - 1.0f;
}
// The exponent of x and a mantissa in [sqrt(1/2), sqrt(2)); subnormals are scaled up first.
struct Split { float mantissa; int exponent; };
TW_INLINE Split split(float x) {
  const bool tiny = x < 0x1p-126f;
  const float y = tiny ? x * 0x1p25f : x;
  const uint32_t u = bits_of(y) - 0x3f3504f3u;
  const int e = (int)u >> 23;
  return {float_of((u & 0x7fffffu) + 0x3f3504f3u), tiny ? e - 25 : e};
}
// log(1 + f) - f, as f^2 times a polynomial.
TW_INLINE float log_rest(float f) {
  float p = 7.0376836292e-2f;
  p = __builtin_fmaf(p, f, -1.1514610310e-1f);
  p = __builtin_fmaf(p, f, 1.1676998740e-1f);
  p = __builtin_fmaf(p, f, -1.2420140846e-1f);
  p = __builtin_fmaf(p, f, 1.4249322787e-1f);
  p = __builtin_fmaf(p, f, -1.6668057665e-1f);
  p = __builtin_fmaf(p, f, 2.0000714765e-1f);
  p = __builtin_fmaf(p, f, -2.4999993993e-1f);
  p = __builtin_fmaf(p, f, 3.3333331174e-1f);
  return (p * f - 0.5f) * f * f;
}
TW_INLINE float log_edges(float x, float r) {
  r = x == __builtin_inff() ? x : r;
  r = x == 0 ? -__builtin_inff() : r;
  return (x < 0) | (x != x) ? __builtin_nanf("") : r;
}
TW_INLINE float log_of(float x) {
  const Split s = split(x);
  const float f = s.mantissa - 1.0f, e = (float)s.exponent;
  const float r = __builtin_fmaf(e, -2.12194440e-4f, log_rest(f)) + f;
  return log_edges(x, __builtin_fmaf(e, 0.693359375f, r));
}
TW_INLINE float log2_of(float x) {
  const Split s = split(x);
  const float f = s.mantissa - 1.0f, rest = log_rest(f);
  const float r = __builtin_fmaf(f, 0.44269504f, rest * 0.44269504f) + rest + f;
  return log_edges(x, r + (float)s.exponent);
}
TW_INLINE float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }
TW_INLINE float tanh_of(float x) {
  const float size = __builtin_fabsf(x), e = expm1_of(2.0f * (size < 10.0f ? size : 10.0f));
  const float r = __builtin_copysignf(e / (e + 2.0f), x);
  return x != x ? x : r;
}
// Below 1: a Taylor polynomial of x. Above: 1 - e^(-x^2) times a polynomial in 1 / (1 + x / 2) (Numerical Recipes' erfc).
TW_INLINE float erf_of(float x) {
  const float size = __builtin_fabsf(x), s = x * x;
  float p = 1.48071943e-8f;
  p = __builtin_fmaf(p, s, -1.63658469e-7f);
  p = __builtin_fmaf(p, s, 1.64621138e-6f);
  p = __builtin_fmaf(p, s, -1.49256504e-5f);
  p = __builtin_fmaf(p, s, 1.20553330e-4f);
  p = __builtin_fmaf(p, s, -8.54832702e-4f);
  p = __builtin_fmaf(p, s, 5.22397762e-3f);
  p = __builtin_fmaf(p, s, -2.68661706e-2f);
  p = __builtin_fmaf(p, s, 1.12837917e-1f);
  p = __builtin_fmaf(p, s, -3.76126389e-1f);
  p = __builtin_fmaf(p, s, 1.12837917f);
  const float c = size < 6.0f ? size : 6.0f, t = 1.0f / (1.0f + 0.5f * c);
  float q = 0.17087277f;
  q = __builtin_fmaf(q, t, -0.82215223f);
  q = __builtin_fmaf(q, t, 1.48851587f);
  q = __builtin_fmaf(q, t, -1.13520398f);
  q = __builtin_fmaf(q, t, 0.27886807f);
  q = __builtin_fmaf(q, t, -0.18628806f);
  q = __builtin_fmaf(q, t, 0.09678418f);
  q = __builtin_fmaf(q, t, 0.37409196f);
  q = __builtin_fmaf(q, t, 1.00002368f);
  q = __builtin_fmaf(q, t, -1.26551223f);
  const float tail = 1.0f - t * exp_of(__builtin_fmaf(-c, c, q));
  const float r = size < 1.0f ? p * x : __builtin_copysignf(tail, x);
  return x != x ? x : r;
}
// Sine of y * pi / 2 + quarter turns; the reduction runs in double, which holds a full turn of |x| below 2^50. Beyond, where
// neighbouring floats are 2^27 apart, the result is NaN rather than a wrong number: a table of turns would be exact, but
// its gather keeps compilers from vectorizing (measured 30 times slower for all).
TW_INLINE float sine_shifted(float x, int shift) {
  const double d = x, n = __builtin_rint(d * 0.63661977236758134);
  const double far = __builtin_fma(n, -1.5707963267948966, d);
  const float y = (float)__builtin_fma(n, -6.123233995736766e-17, far), s = y * y;
  const int quarter = (int)(n - 4.0 * __builtin_floor(n * 0.25)) + shift;
  float a = 2.7183114939e-6f;
  a = __builtin_fmaf(a, s, -1.9839334836e-4f);
  a = __builtin_fmaf(a, s, 8.3333293859e-3f);
  a = __builtin_fmaf(a, s, -1.6666666642e-1f);
  const float sine = __builtin_fmaf(a * s, y, y);
  float b = 2.4390448796e-5f;
  b = __builtin_fmaf(b, s, -1.3886763774e-3f);
  b = __builtin_fmaf(b, s, 4.1666645683e-2f);
  const float cosine = __builtin_fmaf(__builtin_fmaf(b, s, -0.5f), s, 1.0f);
  const float r = quarter & 1 ? cosine : sine;
  return __builtin_fabsf(x) < 0x1p50f ? (quarter & 2 ? -r : r) : __builtin_nanf("");
}
TW_INLINE float sin_of(float x) { return sine_shifted(x, 0); }
TW_INLINE float cos_of(float x) { return sine_shifted(x, 1); }
TW_INLINE float sqrt_of(float x) { return __builtin_sqrtf(x); }
TW_INLINE float rsqrt_of(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }
TW_INLINE float floor_of(float x) { return __builtin_floorf(x); }
TW_INLINE float ceil_of(float x) { return __builtin_ceilf(x); }
TW_INLINE float round_of(float x) { return __builtin_rintf(x); }

TW_INLINE double exp_of(double x) { return __builtin_exp(x); }
TW_INLINE double exp2_of(double x) { return __builtin_exp2(x); }
TW_INLINE double log_of(double x) { return __builtin_log(x); }
TW_INLINE double log2_of(double x) { return __builtin_log2(x); }
TW_INLINE double sin_of(double x) { return __builtin_sin(x); }
TW_INLINE double cos_of(double x) { return __builtin_cos(x); }
TW_INLINE double tanh_of(double x) { return __builtin_tanh(x); }
TW_INLINE double erf_of(double x) { return __builtin_erf(x); }
TW_INLINE double sigmoid_of(double x) { return 1.0 / (1.0 + __builtin_exp(-x)); }
TW_INLINE double sqrt_of(double x) { return __builtin_sqrt(x); }
TW_INLINE double rsqrt_of(double x) { return 1.0 / __builtin_sqrt(x); }
TW_INLINE double floor_of(double x) { return __builtin_floor(x); }
TW_INLINE double ceil_of(double x) { return __builtin_ceil(x); }
TW_INLINE double round_of(double x) { return __builtin_rint(x); }

}  // namespace tw
