template <class T>
__device__ __forceinline__ T tw_floordiv(T x, T y) {
    if (y == 0) return 0;
    const T quotient = x / y;
    return quotient * y != x && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}
// BYTES bytes that move in one access.
template <int BYTES> struct tw_words;
template <> struct tw_words<1> { typedef unsigned char type; };
template <> struct tw_words<2> { typedef unsigned short type; };
template <> struct tw_words<4> { typedef unsigned type; };
template <> struct tw_words<8> { typedef uint2 type; };
template <> struct tw_words<16> { typedef uint4 type; };
// From memory that nothing writes while the kernel runs (ld.global.nc).
template <int BYTES>
__device__ __forceinline__ void tw_load_constant(void *registers, const void *memory) {
    typedef typename tw_words<BYTES>::type word;
    const word loaded = __ldg((const word *)memory);
    memcpy(registers, &loaded, BYTES);
}
template <int BYTES>
__device__ __forceinline__ void tw_store(void *memory, const void *registers) {
    typename tw_words<BYTES>::type word;
    memcpy(&word, registers, BYTES);
    *(typename tw_words<BYTES>::type *)memory = word;
}
// The first `count` elements of `size` bytes, fewer than BYTES: by halves, moving the rest down.
template <int BYTES>
__device__ __forceinline__ void tw_store_part(
    void *memory, const void *registers, long long count, int size) {
    unsigned long long low = 0, high = 0;
    memcpy(&low, registers, BYTES < 8 ? BYTES : 8);
    if (BYTES == 16) memcpy(&high, (const char *)registers + 8, 8);
    const int bytes = (int)count * size;
    char *to = (char *)memory;
    if (BYTES > 8 && (bytes & 8)) { *(unsigned long long *)to = low; low = high; to += 8; }
    if (size <= 4 && (bytes & 4)) { *(unsigned *)to = (unsigned)low; low >>= 32; to += 4; }
    if (size <= 2 && (bytes & 2)) {
        *(unsigned short *)to = (unsigned short)low;
        low >>= 16;
        to += 2;
    }
    if (size <= 1 && (bytes & 1)) *(unsigned char *)to = (unsigned char)low;
}
// The larger one; NaN if either is.
template <class T>
__device__ __forceinline__ T tw_reduce_max(T x, T y) { return x > y || x != x ? x : y; }
// layout #0 = [4, 128]{4:4@reg, 32:1@lane 4:1@reg}
// layout #1 = [4, 1]{4:1@reg, 1 | copies 32:1@lane}
extern "C" __global__ void __launch_bounds__(32, 1) softmax_kernel(const float *__restrict__ x, long long x_extent0, long long x_extent1, long long x_stride0, float *y, long long y_extent0, long long y_extent1, long long y_stride0) {
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
#line 2 "/_kernel_"
    // %b: i32 = const value=4, dtype=i32
    const int b = 4;
#line 3 "/_kernel_"
    // %zero: i32 = const value=0, dtype=i32
    const int zero = 0;
#line 4 "/_kernel_"
    // %c: i32 = const value=3, dtype=i32
    const int c = 3;
#line 5 "/_kernel_"
    // %low: f32 = const value=-inf, dtype=f32
    const float low = -__int_as_float(0x7f800000);
#line 6 "/_kernel_"
    // %m: i32 = extent %x, axis=0, dtype=i32
    const int m = (int)x_extent0;
#line 7 "/_kernel_"
    // %m1: i32 = add %m, %c
    const int m1 = (int)((unsigned)m + (unsigned)c);
#line 8 "/_kernel_"
    // %g: i32 = floordiv %m1, %b
    const int g = tw_floordiv<int>(m1, b);
#line 9 "/_kernel_"
    // for_tiles [%g]
    const long long tw_tiles = (long long)g;
    const long long tw_tile = blockIdx.x;
    if (tw_tile >= tw_tiles) return;
    const int i = (int)(tw_tile);
#line 10 "/_kernel_"
    // %o: i32 = mul %i, %b
    const int o = (int)((unsigned)i * (unsigned)b);
#line 11 "/_kernel_"
    // %t: tile<[4, 100], f32, #0> = load %x, [%o, %zero], other=%low, shape=[4, 100], bounds=[true, true], vector=4
    __align__(16) float t[16];
    #pragma unroll
    for (int r = 0; r < 16; r += 4) {
        const int x_0 = o + r / 4;
        const int x_1 = zero + lane * 4 + r % 4;
        #pragma unroll
        for (int at = 0; at < 4; ++at) {
            t[r + at] = low;
        }
        if (lane * 4 + r % 4 < 100 && (unsigned)x_0 < (unsigned)x_extent0 && (unsigned)x_1 < (unsigned)x_extent1 && (unsigned)(x_1 + 3) < (unsigned)x_extent1) tw_load_constant<16>(&t[r], x + x_0 * (int)x_stride0 + x_1);
    }
    #pragma unroll
    for (int r = 0; r < 16; r += 4) {
        const int x_0_1 = o + r / 4;
        const int x_1_1 = zero + lane * 4 + r % 4;
        if (lane * 4 + r % 4 < 100 && (unsigned)x_0_1 < (unsigned)x_extent0 && (unsigned)x_1_1 < (unsigned)x_extent1 && !((unsigned)(x_1_1 + 3) < (unsigned)x_extent1)) {
            #pragma unroll
            for (int at = 0; at < 4; ++at) {
                if (lane * 4 + r % 4 < 100 && (unsigned)x_0_1 < (unsigned)x_extent0 && (unsigned)(x_1_1 + at) < (unsigned)x_extent1) t[r + at] = (x + x_0_1 * (int)x_stride0 + x_1_1)[at];
            }
        }
    }
#line 12 "/_kernel_"
    // %top: tile<[4, 1], f32, #1> = reduce_max %t, axis=1
    float top_total[4];
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = -__int_as_float(0x7f800000);
    }
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        top_total[r / 4] = tw_reduce_max<float>(top_total[r / 4], (lane * 4 + r % 4 < 100 ? t[r] : -__int_as_float(0x7f800000)));
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = tw_reduce_max<float>(top_total[r], __shfl_xor_sync(0xffffffffu, top_total[r], 1));
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = tw_reduce_max<float>(top_total[r], __shfl_xor_sync(0xffffffffu, top_total[r], 2));
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = tw_reduce_max<float>(top_total[r], __shfl_xor_sync(0xffffffffu, top_total[r], 4));
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = tw_reduce_max<float>(top_total[r], __shfl_xor_sync(0xffffffffu, top_total[r], 8));
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top_total[r] = tw_reduce_max<float>(top_total[r], __shfl_xor_sync(0xffffffffu, top_total[r], 16));
    }
    float top[4];
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        top[r] = top_total[r];
    }
#line 14 "/_kernel_"
    // %tops: tile<[4, 100], f32, #0> = broadcast %top, shape=[4, 100]
    float tops[16];
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        tops[r] = top[r / 4];
    }
#line 14 "/_kernel_"
    // %d: tile<[4, 100], f32, #0> = sub %t, %tops
    float d[16];
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        d[r] = t[r] - tops[r];
    }
#line 15 "/_kernel_"
    // %e: tile<[4, 100], f32, #0> = exp %d
    float e[16];
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        e[r] = expf(d[r]);
    }
#line 16 "/_kernel_"
    // %s: tile<[4, 1], f32, #1> = sum %e, axis=1
    float s_total[4];
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = 0.0f;
    }
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        s_total[r / 4] = s_total[r / 4] + (lane * 4 + r % 4 < 100 ? e[r] : 0.0f);
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = s_total[r] + __shfl_xor_sync(0xffffffffu, s_total[r], 1);
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = s_total[r] + __shfl_xor_sync(0xffffffffu, s_total[r], 2);
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = s_total[r] + __shfl_xor_sync(0xffffffffu, s_total[r], 4);
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = s_total[r] + __shfl_xor_sync(0xffffffffu, s_total[r], 8);
    }
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s_total[r] = s_total[r] + __shfl_xor_sync(0xffffffffu, s_total[r], 16);
    }
    float s[4];
    #pragma unroll
    for (int r = 0; r < 4; ++r) {
        s[r] = s_total[r];
    }
#line 18 "/_kernel_"
    // %ss: tile<[4, 100], f32, #0> = broadcast %s, shape=[4, 100]
    float ss[16];
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        ss[r] = s[r / 4];
    }
#line 18 "/_kernel_"
    // %r: tile<[4, 100], f32, #0> = div %e, %ss
    float r_[16];
    #pragma unroll
    for (int r = 0; r < 16; ++r) {
        r_[r] = e[r] / ss[r];
    }
#line 19 "/_kernel_"
    // store %y, [%o, %zero], %r, bounds=[true, true], vector=4
    {
        #pragma unroll
        for (int r = 0; r < 16; r += 4) {
            const int y_0 = o + r / 4;
            const int y_1 = zero + lane * 4 + r % 4;
            if (lane * 4 + r % 4 < 100 && (unsigned)y_0 < (unsigned)y_extent0 && (unsigned)y_1 < (unsigned)y_extent1 && (unsigned)(y_1 + 3) < (unsigned)y_extent1) {
                tw_store<16>(y + y_0 * (int)y_stride0 + y_1, &r_[r]);
            }
            else if (lane * 4 + r % 4 < 100 && (unsigned)y_0 < (unsigned)y_extent0 && (unsigned)y_1 < (unsigned)y_extent1) {
                tw_store_part<16>(y + y_0 * (int)y_stride0 + y_1, &r_[r], (int)y_extent1 - y_1, 4);
            }
        }
    }
#line 20 "/_kernel_"
}
