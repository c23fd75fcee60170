// The shape of generated code for a linear layer on packed weights: y[m, n] = sum_k x[m, k] * W[n, k].
//
// One iteration of the parallel loop is one panel of 16 output features: its weights are read once for up to 4 rows of x
// (or 64 with AMX); more rows go through the micro-kernels, with the weights decoded into the packed right operand.
#include "packed_codes.h"

#ifndef WIDTH
#define WIDTH 4
#endif
#ifndef ELEMENT
#define ELEMENT bf16
#endif

using namespace tw;
using T = ELEMENT;
using Weights = Groups<T>;

struct Call {
  const T* x;
  const uint8_t* codes;
  Weights groups;
  T* y;
  int64_t m, n, k, group;
  float *rows, *sums;  // workspace: m · round_up(k, 8) and m · groups
  uint32_t* amx;       // workspace: amx_words(64, k)
  int threads;
};

template <int M> static void few_rows(const Call& c, int64_t m0) {
  const int64_t pitch = (c.k + 7) / 8 * 8;
#pragma omp parallel for num_threads(c.threads) schedule(static)
  for (int64_t p = 0; p < (c.n + 15) / 16; p++) {
    alignas(64) float out[M][UNIT_ROWS];
    panel_f32<WIDTH, M>(out, c.codes, c.groups, p, c.rows + m0 * pitch, c.sums + m0 * c.groups.count, c.k, c.group);
    store_strip(c.y + m0 * c.n + p * 16, c.n, M, c.n - p * 16, out);
  }
}

static void many_rows(const Call& c) {
  enum { BM = 128, BN = 64, BK = 128 };
#pragma omp parallel for num_threads(c.threads) schedule(dynamic, 1)
  for (int64_t j = 0; j < (c.n + BN - 1) / BN; j++) {
    alignas(64) static thread_local float acc[ACC_SIZE<BM, BN>], x[A_SIZE<BM, BK>], y[B_SIZE<BN, BK>];
    for (int64_t i = 0; i < c.m; i += BM) {
      memset(acc, 0, sizeof acc);
      for (int64_t k = 0; k < c.k; k += BK) {
        pack_a<BM, BK>(x, c.x + i * c.k + k, c.k, 1, c.m - i, c.k - k);
        load_right_codes<WIDTH, BN, BK>(y, c.codes, c.groups, j * BN, k, c.n, c.k, c.group);
        mma_f32<BM, BN, BK>(acc, x, y, clamp(c.m - i, BM), clamp(c.n - j * BN, BN), clamp(c.k - k, BK));
      }
      store_tile<BM, BN>(c.y + i * c.n + j * BN, c.n, 1, c.m - i, c.n - j * BN, acc);
    }
  }
}

#ifdef __AMX_BF16__
static void amx_rows(const Call& c, int64_t m0, int rows) {
  const int64_t pitch = (c.k + 7) / 8 * 8;
  prepare_amx(c.amx, c.rows + m0 * pitch, rows, c.k);
#pragma omp parallel num_threads(c.threads)
  {
    alignas(64) static thread_local float tiles[1 << 14];
    open_tiles();
#pragma omp for schedule(static)
    for (int64_t p = 0; p < (c.n + 15) / 16; p++) {
      alignas(64) float out[64][UNIT_ROWS];
      panel_amx(out, c.codes, c.groups, p, c.amx, c.sums + m0 * c.groups.count, rows, c.k, c.group, tiles);
      store_strip(c.y + m0 * c.n + p * 16, c.n, rows, c.n - p * 16, out);
    }
    close_tiles();
  }
}
#endif

extern "C" void linear(const T* x, const uint8_t* codes, const T* scales, const uint8_t* zeros, float zero, T* y,
                       const int64_t* size, float* rows, float* sums, uint32_t* amx, int threads) {
  const int64_t m = size[0], n = size[1], k = size[2], group = size[3];
  const Call c{x, codes, {scales, zeros, zero, (k + group - 1) / group}, y, m, n, k, group, rows, sums, amx, threads};
  const bool few = m <= 4;
#ifdef __AMX_BF16__
  if (WIDTH == 4 && sizeof(T) == 2 && !few && group % 32 == 0 && group <= 1024) {
    prepare_rows(rows, sums, x, k, 1, (int)m, k, group);
    for (int64_t i = 0; i < m; i += 64) amx_rows(c, i, clamp(m - i, 64));
    return;
  }
#endif
  if (!few) return many_rows(c);
  prepare_rows(rows, sums, x, k, 1, (int)m, k, group);
  switch (m) {
    case 1: return few_rows<1>(c, 0);
    case 2: return few_rows<2>(c, 0);
    case 3: return few_rows<3>(c, 0);
    default: return few_rows<4>(c, 0);
  }
}
