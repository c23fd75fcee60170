// Reductions of n contiguous elements (f32, bf16, f16) in f32. Four independent chains; the order depends on n alone, so
// results do not depend on threads. The error of a sum is at most (n / (4 · LANES) + 8) · 2^-24 · sum |x|.
// max and min of a NaN are unspecified, as in the instruction set.
#pragma once
#include "simd.h"

namespace tw {

enum class Reduction { SUM, MAX, MIN };

template <Reduction R> TW_INLINE vf combine(vf a, vf b) {
  return R == Reduction::SUM ? a + b : R == Reduction::MAX ? vmax(a, b) : vmin(a, b);
}

template <Reduction R> TW_INLINE float finish(vf x) {
  return R == Reduction::SUM ? sum_lanes(x) : R == Reduction::MAX ? max_lanes(x) : min_lanes(x);
}

template <Reduction R> constexpr float NEUTRAL =
    R == Reduction::SUM ? 0.0f : R == Reduction::MAX ? -__builtin_inff() : __builtin_inff();

template <Reduction R, class T> TW_INLINE float reduce(const T* x, int64_t n) {
  vf chain[4];
  for (int c = 0; c < 4; c++) chain[c] = vset(NEUTRAL<R>);
  int64_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES)
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) chain[c] = combine<R>(chain[c], load(x + i + c * LANES));
  for (; i + LANES <= n; i += LANES) chain[0] = combine<R>(chain[0], load(x + i));
  const vf all = combine<R>(combine<R>(chain[0], chain[1]), combine<R>(chain[2], chain[3]));
  float result = finish<R>(all);
  for (; i < n; i++) {
    const float last = to_f32(x[i]);
    result = R == Reduction::SUM ? result + last : (R == Reduction::MAX) == (last > result) ? last : result;
  }
  return result;
}

}  // namespace tw
