// Indivisible read-modify-write of one element of any type, by compare and exchange of its bits.
#pragma once
#include "element.h"

namespace tw {

template <int BYTES> struct Word;
template <> struct Word<1> { typedef uint8_t type; };
template <> struct Word<2> { typedef uint16_t type; };
template <> struct Word<4> { typedef uint32_t type; };
template <> struct Word<8> { typedef uint64_t type; };

// *at = next(*at); gives the old element.
template <class T, class F> TW_INLINE T update(T* at, F next) {
  typedef typename Word<sizeof(T)>::type word;
  word seen = __atomic_load_n((word*)at, __ATOMIC_RELAXED);
  for (;;) {
    T old;
    memcpy(&old, &seen, sizeof old);
    const T made = next(old);
    word wanted;
    memcpy(&wanted, &made, sizeof wanted);
    if (__atomic_compare_exchange_n((word*)at, &seen, wanted, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return old;
  }
}
template <class T> TW_INLINE T acquire(const T* at) {
  typedef typename Word<sizeof(T)>::type word;
  const word seen = __atomic_load_n((const word*)at, __ATOMIC_ACQUIRE);
  T found;
  memcpy(&found, &seen, sizeof found);
  return found;
}

}  // namespace tw
