// A whole contraction of one block: acc[i][n] += sum over k of x[i][k] * y[n][k], with packed panels that are kept.
// `fresh`: acc is not initialised, and what is inside both operands' rows starts from zero.
//
// Blocks of one thread that follow each other share rows of one operand and, a little later, of the other. So packed
// pieces of KC columns stay in two pools per thread, found again by where they came from, for as long as a launch runs; a
// pool that is full starts over. Packing at every use costs a 128 × 128 block one third as much as its products.
#pragma once
#include <stdlib.h>
#include <new>
#include "mma_split.h"

namespace tw {

enum { POOL_BYTES = 8 << 20 };

// Packed pieces of one operand.
struct Pool {
  struct Piece { const void* base; int64_t s0, s1, rows, cols; float* data; };
  enum { SLOTS = 512 };
  Piece pieces[SLOTS];
  char *memory = nullptr, *next = nullptr, *past = nullptr;
  int count = 0;

  void start_over() {
    for (Piece& p : pieces) p.base = nullptr;
    next = memory, count = 0;
  }
  // The piece with this origin, which `load` packs into `bytes` bytes unless it is here.
  template <class Load>
  const float* find(const void* base, int64_t s0, int64_t s1, int64_t rows, int64_t cols, size_t bytes, Load load) {
    if ((size_t)(past - memory) < bytes) {
      const size_t room = bytes < POOL_BYTES ? (size_t)POOL_BYTES : (bytes + 63) / 64 * 64;
      free(memory);
      memory = (char*)aligned_alloc(64, room), past = memory + room;
      start_over();
    }
    uint32_t at = (uint32_t)(((uintptr_t)base >> 2) * 0x9e3779b97f4a7c15u >> 40) % SLOTS;
    for (; pieces[at].base; at = (at + 1) % SLOTS) {
      const Piece& p = pieces[at];
      if (p.base == base && p.s0 == s0 && p.s1 == s1 && p.rows == rows && p.cols == cols) return p.data;
    }
    if ((size_t)(past - next) < bytes || count * 2 >= SLOTS) {
      start_over();
      return find(base, s0, s1, rows, cols, bytes, load);
    }
    float* data = (float*)next;
    load(data);
    pieces[at] = {base, s0, s1, rows, cols, data};
    next += (bytes + 63) / 64 * 64, count++;
    return data;
  }
};

// How many neighbouring blocks, down and across, are contracted together (group.h).
struct Group { int64_t down = 1, across = 1; };

// The sums of one group of blocks, and what they are the sums of.
struct Sums {
  struct Origin {
    const void *x, *y;
    int64_t x0, x1, y0, y1, k, top, left;
    bool operator==(const Origin& o) const {
      return x == o.x && y == o.y && x0 == o.x0 && x1 == o.x1 && y0 == o.y0 && y1 == o.y1 && k == o.k &&
             top == o.top && left == o.left;
    }
  };
  Origin origin = {};
  float* data = nullptr;
  size_t size = 0;

  bool are_of(const Origin& wanted) const { return data && origin == wanted; }
  // `words` words for other sums, not initialised.
  float* start(const Origin& from, size_t words) {
    if (size < words) {
      free(data);
      data = (float*)aligned_alloc(64, (words * 4 + 63) / 64 * 64), size = words;
    }
    origin = from;
    return data;
  }
};

// What a thread keeps between the blocks of one launch.
struct Operands {
  Pool left, right;
  Sums sums;
  Group group;
  Operands* below = nullptr;

  void start_over() {
    left.start_over(), right.start_over();
    sums.origin = {}, group = Group();
  }
};

// Pools that no launch uses. `inline` variables exist once in a process, however many kernels it has loaded, so memory is
// bound by the number of threads, and a launch finds pages that are mapped (mapping 8 MB takes as long as 1 GFLOP).
inline Operands* free_operands = nullptr;
inline int free_operands_lock = 0;

// Pools for one thread of one launch; what they hold from an earlier launch is forgotten.
struct Lease {
  Operands* held = nullptr;
  Lease() {
    lock();
    if ((held = free_operands)) free_operands = held->below;
    unlock();
    if (!held) held = new (malloc(sizeof(Operands))) Operands;
    held->start_over();
  }
  ~Lease() {
    lock();
    held->below = free_operands, free_operands = held;
    unlock();
  }
  static void lock() { while (__atomic_exchange_n(&free_operands_lock, 1, __ATOMIC_ACQUIRE)) _mm_pause(); }
  static void unlock() { __atomic_store_n(&free_operands_lock, 0, __ATOMIC_RELEASE); }
};

// How many columns a loop `for k in range(low, high, step)` of loads of `step` columns covers within views of `extent`.
TW_INLINE int64_t count_columns(int64_t low, int64_t high, int64_t step, int64_t extent) {
  const int64_t all = high > low ? (high - low + step - 1) / step * step : 0;
  const int64_t inside = extent - low;
  return inside < 0 ? 0 : all < inside ? all : inside;
}

// Blocks of 512 × 512 pack for themselves: their pieces are used often enough, and scratch that stays in the second-level
// cache beats pieces that come back from the third (f32 on AMX, 1024³, of torch: kept 1.26, scratch 1.32 to 1.42).
template <int BM, int BN> constexpr bool keeps_pieces() { return BM < 512 || BN < 512; }

// Flat blocks meet each piece of the long operand once (few rows, many weights): keeping it would write all of it back.
enum { FLAT = 32 };

// Columns of a piece, as measured at 1024³ (ratios to torch). 128 × 128 blocks, f32: 128 columns 0.93, 256 0.99, 512 1.07,
// 1024 1.12; bf16: 128 1.35, 256 1.50, 512 1.38. Scratch has to fit beside the accumulators.
template <class T, int BM, int BN> constexpr int piece_columns() {
#ifdef __AMX_BF16__
  if (sizeof(T) == 4) return keeps_pieces<BM, BN>() ? (BM <= 128 && BN <= 128 ? 1024 : 512) : 128;
  return 256;
#else
  return keeps_pieces<BM, BN>() ? 512 : 128;
#endif
}

// How many blocks along an axis keep the pool of their operand from starting over.
template <class T, int ROWS> TW_INLINE int64_t count_kept(int64_t k) {
  constexpr int KC = piece_columns<T, 32, ROWS>();
  const int64_t piece = (int64_t)BestMatrix<T, 32, ROWS, KC>::RIGHT * 4, pieces = (k + KC - 1) / KC;
  const int64_t kept = POOL_BYTES / (piece * (pieces > 0 ? pieces : 1));
  return kept > 0 ? kept : 1;
}

// `static`: libraries for several instruction sets live in one process, and their scratch differs in size.
template <class T, int BM, int BN, int PITCH = ACC_PITCH<BN>>
static __attribute__((noinline)) void contract(float* acc, const T* x, int64_t x0, int64_t x1, int64_t rows, const T* y,
                                       int64_t y0, int64_t y1, int64_t cols, int64_t k, Operands& panels,
                                       bool fresh = false) {
  constexpr int KC = piece_columns<T, BM, BN>();
  typedef BestMatrix<T, BM, BN, KC, PITCH> Pieces;
  rows = clamp(rows, BM), cols = clamp(cols, BN);
  if (rows == 0 || cols == 0) return;
  if constexpr (!keeps_pieces<BM, BN>()) {
    alignas(64) static thread_local float a[Pieces::LEFT], b[Pieces::RIGHT];
    for (int64_t at = 0; at < k; at += KC) {
      const int left = clamp(k - at, KC);
      Pieces::load_left(a, x + at * x1, x0, x1, rows, left);
      Pieces::load_right(b, y + at * y1, y0, y1, cols, left);
      Pieces::mma(acc, a, b, (int)rows, (int)cols, left, fresh && at == 0);
    }
    return;
  }
  for (int64_t at = 0; at < k; at += KC) {
    const int left = clamp(k - at, KC);
    const T *from_x = x + at * x1, *from_y = y + at * y1;
    const float* a = panels.left.find(from_x, x0, x1, rows, left, Pieces::LEFT * 4, [&](float* to) {
      Pieces::load_left(to, from_x, x0, x1, rows, left);
    });
    if constexpr (BM <= FLAT) {
      alignas(64) static thread_local float b[Pieces::RIGHT];
      Pieces::load_right(b, from_y, y0, y1, cols, left);
      Pieces::mma(acc, a, b, (int)rows, (int)cols, left, fresh && at == 0);
    } else {
      const float* b = panels.right.find(from_y, y0, y1, cols, left, Pieces::RIGHT * 4, [&](float* to) {
        Pieces::load_right(to, from_y, y0, y1, cols, left);
      });
      Pieces::mma(acc, a, b, (int)rows, (int)cols, left, fresh && at == 0);
    }
  }
}

}  // namespace tw
