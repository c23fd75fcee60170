// Drives the vector functions, conversions, reductions and tables of the prelude over arrays for test_prelude_vectors.py.
#include "vector_math.h"
#include "reduce.h"
#include "small_floats.h"

using namespace tw;

typedef vf (*Function)(vf);

template <Function F> static void over(const float* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) store(y + i, F(load(x + i)));
  if (i < n) store_first(y + i, F(load_first(x + i, (int)(n - i))), (int)(n - i));
}

template <class A, class B> static void converted(const A* x, B* y, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += LANES) store(y + i, load(x + i));
  for (; i + 3 < n; i++) put(y + i, to_f32(x[i]));
  if (i < n) store_first(y + i, load_first(x + i, (int)(n - i)), (int)(n - i));
}

#define EXPORT(name) \
  extern "C" void f_##name(const float* x, float* y, int64_t n) { over<tw::name>(x, y, n); }
EXPORT(exp2)
EXPORT(exp)
EXPORT(log)
EXPORT(log2)
EXPORT(sigmoid)
EXPORT(tanh)
EXPORT(erf)
EXPORT(rsqrt)
EXPORT(sin)
EXPORT(cos)

extern "C" void to_bf16(const float* x, bf16* y, int64_t n) { converted(x, y, n); }
extern "C" void to_f16(const float* x, f16* y, int64_t n) { converted(x, y, n); }
extern "C" void from_bf16(const bf16* x, float* y, int64_t n) { converted(x, y, n); }
extern "C" void from_f16(const f16* x, float* y, int64_t n) { converted(x, y, n); }

extern "C" void reductions(const float* x, float* y, int64_t n) {
  y[0] = reduce<Reduction::SUM>(x, n);
  y[1] = reduce<Reduction::MAX>(x, n);
  y[2] = reduce<Reduction::MIN>(x, n);
}

extern "C" void tables(float* y) {
  const Table* all[] = {&E4M3FN, &E5M2, &E2M1, &E2M3, &E3M2};
  uint8_t codes[256];
  for (int i = 0; i < 256; i++) codes[i] = (uint8_t)i;
  for (int t = 0; t < 5; t++)
    for (int i = 0; i < 256; i += LANES) store(y + t * 256 + i, look_up(*all[t], codes + i));
}
