// Elements of 1 to 7 bits: dense little-endian bit streams, every row starts on a byte.
//
// Element k of a row occupies bits k * BITS .. k * BITS + BITS - 1. Eight elements are exactly BITS bytes, so runs are
// unpacked and packed in groups of eight; single elements touch one byte, or two where they straddle.
#pragma once
#include "element.h"

namespace tw {

template <int BITS> TW_INLINE uint8_t get_code(const uint8_t* row, int64_t k) {
  const int64_t bit = k * BITS;
  const int shift = (int)(bit & 7);
  uint32_t word = row[bit >> 3];
  if (8 % BITS != 0 && shift + BITS > 8) word |= (uint32_t)row[(bit >> 3) + 1] << 8;
  return (uint8_t)(word >> shift & ((1u << BITS) - 1));
}
template <int BITS> TW_INLINE void put_code(uint8_t* row, int64_t k, uint8_t code) {
  constexpr uint32_t MASK = (1u << BITS) - 1;
  const int64_t bit = k * BITS;
  const int shift = (int)(bit & 7);
  uint8_t* at = row + (bit >> 3);
  at[0] = (uint8_t)((at[0] & ~(MASK << shift)) | (code & MASK) << shift);
  if (8 % BITS != 0 && shift + BITS > 8)
    at[1] = (uint8_t)((at[1] & ~(MASK >> (8 - shift))) | (code & MASK) >> (8 - shift));
}

// codes[i] = element first + i of the row, i < count.
template <int BITS> TW_INLINE void unpack_codes(uint8_t* codes, const uint8_t* row, int64_t first, int count) {
  int i = 0;
  for (; i < count && (first + i) % 8 != 0; i++) codes[i] = get_code<BITS>(row, first + i);
  const uint8_t* at = row + (first + i) / 8 * BITS;
  const int groups = (count - i) / 8;
  uint8_t* to = codes + i;
  if (BITS == 1 || BITS == 2 || BITS == 4) {
    constexpr int PER = 8 / (BITS == 3 || BITS > 4 ? 1 : BITS);
    for (int b = 0; b < groups * BITS; b++)
      for (int e = 0; e < PER; e++) to[b * PER + e] = (uint8_t)(at[b] >> (e * BITS) & ((1 << BITS) - 1));
  } else {
    for (int g = 0; g < groups; g++) {
      uint64_t word = 0;
      memcpy(&word, at + g * BITS, BITS);
      for (int e = 0; e < 8; e++) to[g * 8 + e] = (uint8_t)(word >> (e * BITS) & ((1u << BITS) - 1));
    }
  }
  for (i += groups * 8; i < count; i++) codes[i] = get_code<BITS>(row, first + i);
}

// Element first + i of the row = codes[i]; where the row ends (at `extent` elements) its padding bits become zero.
template <int BITS>
TW_INLINE void pack_codes(uint8_t* row, const uint8_t* codes, int64_t first, int count, int64_t extent) {
  if (count <= 0) return;
  int i = 0;
  for (; i < count && (first + i) % 8 != 0; i++) put_code<BITS>(row, first + i, codes[i]);
  for (; i + 8 <= count; i += 8) {
    uint64_t word = 0;
    for (int e = 0; e < 8; e++) word |= (uint64_t)(codes[i + e] & ((1u << BITS) - 1)) << (e * BITS);
    memcpy(row + (first + i) / 8 * BITS, &word, BITS);
  }
  for (; i < count; i++) put_code<BITS>(row, first + i, codes[i]);
  if (first + count == extent && extent * BITS % 8 != 0)
    row[extent * BITS / 8] &= (uint8_t)((1 << extent * BITS % 8) - 1);
}

}  // namespace tw
