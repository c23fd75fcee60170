// Elementary functions of f32 vectors, branch-free but for sin and cos of large arguments.
//
// Worst error in units of the last place, over the whole range, subnormal results included (tests/cpu measures it against
// float64): exp2, exp 2 · log, log2 2 · tanh, sigmoid 3 · erf 2 · rsqrt 2 · sin, cos 2 up to |x| = 1e4, then the C library.
// NaN gives NaN; infinities, zeros and domain errors as in C. Polynomials are minimax fits to the bounds in the comments.
#pragma once
#include "simd.h"

namespace tw {

// c[0] + c[1] x + …
template <int N> TW_INLINE vf polynomial(vf x, const float (&c)[N]) {
  vf sum = vset(c[N - 1]);
#pragma GCC unroll 12
  for (int i = N - 2; i >= 0; i--) sum = vfma(sum, x, vset(c[i]));
  return sum;
}

TW_INLINE vf vabs(vf x) { return as_vf(vand(as_vi(x), viset(0x7fffffff))); }
TW_INLINE vf sign_of(vf x) { return as_vf(vand(as_vi(x), viset((int)0x80000000))); }
TW_INLINE vf with_sign(vf magnitude, vf sign) { return as_vf(vor(as_vi(magnitude), as_vi(sign))); }

// y · 2^n for integral n in [-300, 300], rounded once.
TW_INLINE vf scale_by(vf y, vf n) {
#ifdef TW_AVX512
  return _mm512_scalef_ps(y, n);
#else
  const vi whole = vtoi(n), half = vsar<1>(whole), rest = vsub(whole, half);
  return y * as_vf(vshl<23>(vadd(half, viset(127)))) * as_vf(vshl<23>(vadd(rest, viset(127))));
#endif
}

TW_INLINE vf exp2(vf x) {
  const float c[] = {0.693147203f, 0.240226479f, 0.0555033247f, 0.00961843736f, 0.00133988744f, 0.000153533618f};
  x = vmin(vset(130), vmax(vset(-155), x));  // a NaN passes: the second operand wins
  const vf n = vround(x), f = x - n;
  return scale_by(vfma(f, polynomial(f, c), vset(1)), n);  // 2^-28.9
}

TW_INLINE vf exp(vf x) {
  const float c[] = {0.499999933f, 0.166665186f, 0.0416684117f, 0.00836895994f, 0.00138140949f};
  x = vmin(vset(90), vmax(vset(-107), x));
  const vf n = vround(x * vset(1.44269502f));
  const vf r = vfnma(n, vset(-1.90465421e-09f), vfnma(n, vset(0.693147182f), x));
  return scale_by(vfma(r * r, polynomial(r, c), r) + vset(1), n);  // 2^-28.2
}

// x = m · 2^e with m in [sqrt 1/2, sqrt 2): gives f = m − 1, e, and low = log(m) − f.
TW_INLINE vf reduce_log(vf x, vf& e, vf& low) {
  const float c[] = {0.333333126f,  -0.250000096f, 0.200021187f,  -0.166679958f, 0.142195523f,
                     -0.124055891f, 0.11888163f,   -0.116756512f, 0.0674663827f};
  const vmask tiny = vlt(x, vset(1.17549435e-38f));
  const vi u = as_vi(vselect(tiny, x * vset(8388608), x));
  const vi up = vadd(u, viset(0x3f800000 - 0x3f3504f3));
  e = vtof(vsub(vsar<23>(up), viset(127))) - vselect(tiny, vset(23), vzero());
  const vf f = as_vf(vadd(vand(up, viset(0x7fffff)), viset(0x3f3504f3))) - vset(1);
  const vf square = f * f;
  low = vfma(square * f, polynomial(f, c), square * vset(-0.5f));  // 2^-30.3
  return f;
}

// What a logarithm is at 0, below, at infinity and NaN; y elsewhere.
TW_INLINE vf log_edges(vf x, vf y) {
  y = vselect(vlt(x, vset(__builtin_inff())), y, x);  // +inf and NaN
  y = vselect(vlt(x, vset(1e-45f)), vset(-__builtin_inff()), y);
  return vselect(vlt(x, vzero()), vset(__builtin_nanf("")), y);
}

TW_INLINE vf log(vf x) {
  vf e, low;
  const vf f = reduce_log(x, e, low);
  return log_edges(x, vfma(e, vset(0.693147182f), f + vfma(e, vset(-1.90465421e-09f), low)));
}

TW_INLINE vf log2(vf x) {
  vf e, low;
  const vf f = reduce_log(x, e, low), high = vset(1.44269502f);
  const vf product = f * high, rest = vfma(f, high, vzero() - product);  // f · log2(e) in two parts
  const vf small = vfma(low, high, vfma(f + low, vset(1.92596303e-08f), rest));
  const vf sum = e + product, lost = product - (sum - e);
  return log_edges(x, sum + (small + lost));
}

TW_INLINE vf sigmoid(vf x) {
  const vf e = exp(vzero() - vabs(x)), right = vset(1) / (vset(1) + e);
  return vselect(vlt(x, vzero()), e * right, right);
}

TW_INLINE vf tanh(vf x) {
  const float c[] = {-0.333332839f, 0.133314913f, -0.0537434979f, 0.0206505868f, -0.00571704451f};
  const vf a = vabs(x), z = x * x;
  const vf small = vfma(x * z, polynomial(z, c), x);  // 2^-27.9 below 0.625
  const vf large = vset(1) - vset(2) / (exp(a + a) + vset(1));
  return vselect(vlt(a, vset(0.625f)), small, with_sign(large, sign_of(x)));
}

TW_INLINE vf erf(vf x) {
  const float near[] = {0.128379167f,  -0.376126385f,    0.112837827f,    -0.0268654458f,
                        0.00522107489f, -0.000848471165f, 0.000112705459f, -9.68014039e-06f};
  const float far[] = {0.000125293009f, -1.12920385f,    -0.63419613f,    -0.106961489f,    0.0238365004f,
                       -0.00336026437f, 0.000101757858f, 6.43420651e-05f, -1.24528702e-05f, 7.84525988e-07f};
  const vf a = vabs(x), z = x * x;
  const vf small = vfma(x, polynomial(z, near), x);                   // 2^-34.8 below 1
  const vf large = vset(1) - exp(polynomial(vmin(vset(4), a), far));  // log erfc, 2^-37.8 of erfc
  return vselect(vlt(a, vset(1)), small, with_sign(large, sign_of(x)));
}

TW_INLINE vf rsqrt(vf x) { return vset(1) / vsqrt(x); }

// sin(x + turn · π/2)
TW_INLINE vf sine(vf x, int turn) {
  const float s[] = {-0.166666666f, 0.00833332927f, -0.000198392961f, 2.71793992e-06f};
  const float c[] = {0.0416666666f, -0.00138888836f, 2.47994786e-05f, -2.72067886e-07f};
  const vf n = vround(x * vset(0.636619747f));
  vf r = vfnma(n, vset(-4.37113883e-08f), vfnma(n, vset(1.57079637f), x));
  r = vfnma(n, vset(-1.71512451e-15f), r);
  const vi quadrant = vadd(vtoi(n), viset(turn));
  const vf z = r * r;
  const vf sin_r = vfma(r * z, polynomial(z, s), r);
  const vf cos_r = vfma(z * z, polynomial(z, c), vfnma(z, vset(0.5f), vset(1)));
  const vf y = vselect(vieq(vand(quadrant, viset(1)), viset(1)), cos_r, sin_r);
  return as_vf(vxor(as_vi(y), vshl<30>(vand(quadrant, viset(2)))));
}

// Above 1e4 the three-part π/2 no longer carries: those vectors, and infinities, go to the C library.
TW_INLINE vf sine_checked(vf x, int turn) {
  if (!vany(vlt(vset(1e4f), vabs(x)))) return sine(x, turn);
  alignas(64) float lanes[LANES];
  store(lanes, x);
  for (int i = 0; i < LANES; i++) lanes[i] = turn ? __builtin_cosf(lanes[i]) : __builtin_sinf(lanes[i]);
  return load(lanes);
}
TW_INLINE vf sin(vf x) { return sine_checked(x, 0); }
TW_INLINE vf cos(vf x) { return sine_checked(x, 1); }

}  // namespace tw
