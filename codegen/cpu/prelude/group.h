// Neighbouring blocks of a product, contracted together: a group of up to 512 × 512 elements of the sum belongs to one
// thread, its first block computes all of it (contract.h), and every block goes on with its part.
//
// A block of 128 × 128 alone needs a quarter of the work of packing per product that one of 512 × 512 needs four times
// over, or has to keep packed panels, which then come back from the third-level cache: measured at 1024³, f32 on AMX, as
// ratios to torch, blocks of 128 × 128 that keep panels 1.10, in groups 1.40.
#pragma once
#include "contract.h"

namespace tw {

enum { GROUP_EDGE = 512, GROUP_PITCH = ACC_PITCH<GROUP_EDGE> };

TW_INLINE int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

// `count` blocks in as few groups of at most `most` as there can be, of equal size: the size.
TW_INLINE int64_t spread(int64_t count, int64_t most) {
  return divide_up(count, divide_up(count, most > 1 ? most : 1));
}

// How many blocks, of BM × BN, groups are to have so that `threads` threads finish first. Packing a row costs as much as
// multiplying it with 64 columns, and blocks that are alone, which keep panels, take half as long again as a product
// without packing (both as measured for f32 at 1024³).
template <int BM, int BN> TW_INLINE Group choose_group(int64_t rows, int64_t columns, int64_t batches, int threads) {
  Group best;
  if (rows * BM <= 2 * FLAT || rows < 1 || columns < 1) return best;
  double least = 1.5 * BM * BN * (double)divide_up(rows * columns * batches, threads);
  for (int64_t edge = GROUP_EDGE; edge >= GROUP_EDGE / 2; edge /= 2) {
    const int64_t down = spread(rows, edge / BM), across = spread(columns, edge / BN);
    const int64_t groups = divide_up(rows, down) * divide_up(columns, across) * batches;
    const double tall = (double)down * BM, wide = (double)across * BN;
    const double cost = (double)divide_up(groups, threads) * (tall * wide + 64 * (tall + wide));
    if (cost < least && down * across > 1) least = cost, best = Group{down, across};
  }
  return best;
}

// The sums of the block whose first element of the product is (row, col), with a pitch of GROUP_PITCH: of x[i][k] * y[n][k]
// over k. Its caller may overwrite them. x and y start at row 0, and `rows` and `cols` are those of the whole product.
template <class T, int BM, int BN>
static __attribute__((noinline)) float* contract_group(const T* x, int64_t x0, int64_t x1, int64_t rows, const T* y,
                                                       int64_t y0, int64_t y1, int64_t cols, int64_t row, int64_t col,
                                                       int64_t k, Operands& panels) {
  constexpr int P = GROUP_PITCH;
  const Group group = panels.group;
  const int64_t tall = group.down * BM, wide = group.across * BN;
  const int64_t top = row / tall * tall, left = col / wide * wide;
  const Sums::Origin origin = {x, y, x0, x1, y0, y1, k, top, left};
  if (!panels.sums.are_of(origin)) {
    float* sums = panels.sums.start(origin, (GROUP_EDGE + 16) * P);
    const int below = clamp(rows - top, (int)tall), beside = clamp(cols - left, (int)wide), inside = k > 0 ? beside : 0;
    x += top * x0, y += left * y0;
    if (group.down * group.across == 1)
      contract<T, BM, BN, P>(sums, x, x0, x1, below, y, y0, y1, beside, k, panels, true);
    else
      contract<T, GROUP_EDGE, GROUP_EDGE>(sums, x, x0, x1, below, y, y0, y1, beside, k, panels, true);
    clear<P>(sums, below, inside, (int)wide), clear<P>(sums + (int64_t)below * P, (int)tall - below, 0, (int)wide);
  }
  return panels.sums.data + (row - top) * P + (col - left);
}

}  // namespace tw
