"""The device functions that generated kernels call, by name; only those in use are printed.

No header is included: what is not here is a built-in function of NVRTC. Conversions follow the
defaults of `ir.types`: nearest even; floats of 16 bits and more overflow to infinity, smaller ones
saturate; floats truncate and saturate to integers, NaN gives 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SOURCE = r"""
//@ tw_from_f16
__device__ __forceinline__ float tw_from_f16(unsigned short x) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x));
    return result;
}
//@ tw_to_f16
__device__ __forceinline__ unsigned short tw_to_f16(float x) {
    unsigned short result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(x));
    return result;
}
//@ tw_from_bf16
__device__ __forceinline__ float tw_from_bf16(unsigned short x) {
    return __uint_as_float((unsigned)x << 16);
}
//@ tw_to_bf16
__device__ __forceinline__ unsigned short tw_to_bf16(float x) {
    unsigned short result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(x));
    return result;
}
//@ tw_to_tf32
__device__ __forceinline__ float tw_to_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    if (x == x) bits += 0xfff + ((bits >> 13) & 1);
    return __uint_as_float(bits & 0xffffe000u);
}
//@ tw_from_e8m0
__device__ __forceinline__ float tw_from_e8m0(unsigned char code) {
    const unsigned bits = code == 0 ? 0x00400000u : (unsigned)code << 23;
    return __uint_as_float(code == 255 ? 0x7fc00000u : bits);
}
//@ tw_to_e8m0
__device__ __forceinline__ unsigned char tw_to_e8m0(float x) {
    const unsigned bits = __float_as_uint(x) & 0x7fffffffu;
    if (x != x || x < 0.0f) return 255;
    const unsigned rounded = bits >= 0x00800000u ? (bits + 0x00400000u) >> 23 : bits >= 0x00600000u;
    return rounded > 254 ? 254 : rounded;
}
//@ tw_from_small
// A float of at most 8 bits: E exponent and M mantissa bits; S: 0 finite, 1 NaN only, 2 IEEE.
template <int E, int M, int BIAS, int S>
__device__ __forceinline__ float tw_from_small(unsigned char code) {
    const unsigned sign = (unsigned)(code >> (E + M)) << 31;
    const unsigned magnitude = code & ((1u << (E + M)) - 1);
    // Shift into an f32 of the same fields, then correct the bias: exact, subnormals included.
    const float rescale = __uint_as_float((254u - BIAS) << 23);
    unsigned bits = __float_as_uint(__uint_as_float(magnitude << (23 - M)) * rescale);
    if (E == 8) bits = magnitude << (23 - M);
    if (S == 1 && magnitude == (1u << (E + M)) - 1) bits = 0x7fc00000u;
    if (S == 2 && (magnitude >> M) == (1u << E) - 1)
        bits = (magnitude & ((1u << M) - 1)) ? 0x7fc00000u : 0x7f800000u;
    return __uint_as_float(bits | sign);
}
//@ tw_to_small
// Nearest even; beyond the largest finite value it saturates; NaN stays or becomes the largest.
template <int E, int M, int BIAS, int S>
__device__ __forceinline__ unsigned char tw_to_small(float x) {
    const int end = 1 << (E + M);
    const int largest = S == 0 ? end - 1 : S == 1 ? end - 2 : end - (1 << M) - 1;
    const int nan = S == 0 ? largest : S == 1 ? largest + 1 : largest + 1 + ((1 << M) >> 1);
    if (x != x) return nan;
    const unsigned bits = __float_as_uint(x);
    const int sign = bits >> 31 << (E + M);
    int exponent = (int)((bits >> 23) & 255) - 127;
    if (exponent < 1 - BIAS) exponent = 1 - BIAS;
    if (exponent > 127) return sign | largest;
    // 2^(M - exponent): one unit in the last place becomes 1.
    const float unit = __uint_as_float((unsigned)(127 - exponent) << 23) * (float)(1 << M);
    int magnitude = (int)rintf(fabsf(x) * unit) + ((exponent - (1 - BIAS)) << M);
    if (magnitude > largest) magnitude = largest;
    return sign | magnitude;
}
//@ tw_to_table
// The code of the interval between the borders of a codebook; NaN: that of the largest value.
template <int N>
__device__ __forceinline__ unsigned char tw_to_table(
    double x, const double *borders, const unsigned char *codes) {
    int above = 0;
    for (int i = 0; i < N; ++i) above += !(x < borders[i]);
    return codes[above];
}
//@ tw_wrap_signed
template <int BITS, class T>
__device__ __forceinline__ signed char tw_wrap_signed(T x) {
    return (signed char)((int)((unsigned)x << (32 - BITS)) >> (32 - BITS));
}
//@ tw_odd_f64
// To f32 by rounding to odd, so that a second rounding to at most 22 bits is right.
__device__ __forceinline__ float tw_odd_f64(double x) {
    const float cut = __double2float_rz(x);
    return x == x && (double)cut != x ? __uint_as_float(__float_as_uint(cut) | 1) : cut;
}
//@ tw_odd_i64
__device__ __forceinline__ float tw_odd_i64(long long x) {
    const float cut = __ll2float_rz(x);
    return (long long)cut != x ? __uint_as_float(__float_as_uint(cut) | 1) : cut;
}
//@ tw_odd_u64
__device__ __forceinline__ float tw_odd_u64(unsigned long long x) {
    const float cut = __ull2float_rz(x);
    return (unsigned long long)cut != x ? __uint_as_float(__float_as_uint(cut) | 1) : cut;
}
//@ tw_udiv
template <class T>
__device__ __forceinline__ T tw_udiv(T x, T y) { return y == 0 ? 0 : x / y; }
//@ tw_umod
template <class T>
__device__ __forceinline__ T tw_umod(T x, T y) { return y == 0 ? 0 : x % y; }
//@ tw_floordiv
template <class T>
__device__ __forceinline__ T tw_floordiv(T x, T y) {
    if (y == 0) return 0;
    const T quotient = x / y;
    return quotient * y != x && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}
//@ tw_mod
template <class T>
__device__ __forceinline__ T tw_mod(T x, T y) {
    if (y == 0) return 0;
    const T rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
//@ tw_fmod_f32
__device__ __forceinline__ float tw_fmod_f32(float x, float y) {
    const float rest = fmodf(x, y);
    return rest == 0.0f ? copysignf(0.0f, y) : (rest < 0.0f) != (y < 0.0f) ? rest + y : rest;
}
//@ tw_fmod_f64
__device__ __forceinline__ double tw_fmod_f64(double x, double y) {
    const double rest = fmod(x, y);
    return rest == 0.0 ? copysign(0.0, y) : (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}
//@ tw_power
template <class T>
__device__ __forceinline__ T tw_power(T x, T y) {
    T result = 1;
    for (; y > 0; y >>= 1, x *= x)
        if (y & 1) result *= x;
    return result;
}
//@ tw_shl
template <int BITS, class T>
__device__ __forceinline__ T tw_shl(T x, T y) {
    return (unsigned long long)y >= BITS ? (T)0 : (T)((unsigned long long)x << y);
}
//@ tw_shr
template <int BITS, class T>
__device__ __forceinline__ T tw_shr(T x, T y) {
    return (unsigned long long)y >= BITS ? (T)(x < 0 ? -1 : 0) : (T)(x >> y);
}
//@ tw_fma_f16
__device__ __forceinline__ unsigned short tw_fma_f16(
    unsigned short x, unsigned short y, unsigned short z) {
    unsigned short result;
    asm("fma.rn.f16 %0, %1, %2, %3;" : "=h"(result) : "h"(x), "h"(y), "h"(z));
    return result;
}
//@ tw_fma_bf16
__device__ __forceinline__ unsigned short tw_fma_bf16(
    unsigned short x, unsigned short y, unsigned short z) {
    unsigned short result;
    asm("fma.rn.bf16 %0, %1, %2, %3;" : "=h"(result) : "h"(x), "h"(y), "h"(z));
    return result;
}
//@ tw_get_bits
// The code of element `index` in a little-endian stream of BITS-bit codes; a second byte is read
// only where the code reaches into it.
template <int BITS>
__device__ __forceinline__ unsigned char tw_get_bits(const unsigned char *row, long long index) {
    const long long bit = index * BITS;
    const int shift = (int)(bit & 7);
    unsigned word = row[bit >> 3];
    if (8 % BITS != 0 && shift + BITS > 8) word |= (unsigned)row[(bit >> 3) + 1] << 8;
    return (word >> shift) & ((1u << BITS) - 1);
}
//@ tw_unpack
// COUNT codes of BITS bits from whole bytes, and back.
template <int BITS, int COUNT>
__device__ __forceinline__ void tw_unpack(const unsigned char *bytes, unsigned char *codes) {
    #pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        unsigned word = bytes[i * BITS / 8];
        if (i * BITS % 8 + BITS > 8) word |= (unsigned)bytes[i * BITS / 8 + 1] << 8;
        codes[i] = (word >> (i * BITS % 8)) & ((1u << BITS) - 1);
    }
}
//@ tw_pack
template <int BITS, int COUNT>
__device__ __forceinline__ void tw_pack(const unsigned char *codes, unsigned char *bytes) {
    #pragma unroll
    for (int i = 0; i < COUNT * BITS / 8; ++i) bytes[i] = 0;
    #pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        const unsigned word = (unsigned)codes[i] << (i * BITS % 8);
        bytes[i * BITS / 8] |= word;
        if (i * BITS % 8 + BITS > 8) bytes[i * BITS / 8 + 1] |= word >> 8;
    }
}
//@ tw_words
// BYTES bytes that move in one access.
template <int BYTES> struct tw_words;
template <> struct tw_words<1> { typedef unsigned char type; };
template <> struct tw_words<2> { typedef unsigned short type; };
template <> struct tw_words<4> { typedef unsigned type; };
template <> struct tw_words<8> { typedef uint2 type; };
template <> struct tw_words<16> { typedef uint4 type; };
//@ tw_load: tw_words
template <int BYTES>
__device__ __forceinline__ void tw_load(void *registers, const void *memory) {
    const typename tw_words<BYTES>::type word = *(const typename tw_words<BYTES>::type *)memory;
    memcpy(registers, &word, BYTES);
}
//@ tw_load_constant: tw_words
// From memory that nothing writes while the kernel runs (ld.global.nc).
template <int BYTES>
__device__ __forceinline__ void tw_load_constant(void *registers, const void *memory) {
    typedef typename tw_words<BYTES>::type word;
    const word loaded = __ldg((const word *)memory);
    memcpy(registers, &loaded, BYTES);
}
//@ tw_store: tw_words
template <int BYTES>
__device__ __forceinline__ void tw_store(void *memory, const void *registers) {
    typename tw_words<BYTES>::type word;
    memcpy(&word, registers, BYTES);
    *(typename tw_words<BYTES>::type *)memory = word;
}
"""

_HEAD = re.compile(r"^//@ (\w+)(?:: (.*))?\n", re.MULTILINE)


def _parse(source: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    parts = _HEAD.split(source)[1:]
    triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {name: (text, tuple((needs or "").split())) for name, needs, text in triples}


SNIPPETS: dict[str, tuple[str, tuple[str, ...]]] = _parse(_SOURCE)
"""Name → (C++ text, names of the snippets that it calls)."""


def add_snippets(source: str) -> None:
    """Declare further snippets in the same form: `//@ name: needed names`, then the text."""
    SNIPPETS.update(_parse(source))


def print_prelude(used: Iterable[str]) -> str:
    """The text of the snippets `used` and of what they need, in the order of declaration."""
    wanted: set[str] = set()
    stack = list(used)
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            stack.extend(SNIPPETS[name][1])
    return "".join(SNIPPETS[name][0] for name in SNIPPETS if name in wanted)
