// sm_80 sm_90
// cuda_fp16.h and cuda_bf16.h: arithmetic in pairs, comparisons, conversions, functions. A row of the output per line.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

template <class T2>
__device__ void pairs(const T2* x, const T2* y, const T2* z, T2* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T2 a = x[i], b = y[i], c = z[i];
  T2 r[] = {
    __hadd2(a, b), __hsub2(a, b), __hmul2(a, b), __hfma2(a, b, c), __hadd2_sat(a, b), __hmul2_sat(a, b),
    __hfma2_sat(a, b, c), __hfma2_relu(a, b, c), __hmin2(a, b), __hmax2_nan(a, b), __habs2(a), __hneg2(a),
    __h2div(a, b), __hadd2_rn(a, b), __hlt2(a, b), __hge2(a, b), __hneu2(a, b), __hisnan2(c),
    h2floor(a), h2ceil(a), h2trunc(a), h2rint(a), __lowhigh2highlow(a), __lows2half2_or(a, b)};
  for (int j = 0; j < sizeof(r) / sizeof(r[0]); j++) o[j * n + i] = r[j];
}

__device__ __half2 __lows2half2_or(__half2 a, __half2 b) { return __lows2half2(a, b); }
__device__ __nv_bfloat162 __lows2half2_or(__nv_bfloat162 a, __nv_bfloat162 b) { return __lows2bfloat162(a, b); }

extern "C" __global__ void pairs_f16(const __half2* x, const __half2* y, const __half2* z, __half2* o, int n) { pairs(x, y, z, o, n); }
extern "C" __global__ void pairs_bf16(const __nv_bfloat162* x, const __nv_bfloat162* y, const __nv_bfloat162* z, __nv_bfloat162* o, int n) { pairs(x, y, z, o, n); }

extern "C" __global__ void functions_f16(const __half* x, __half* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __half a = x[i];
  __half r[] = {hexp(a), hexp2(a), hexp10(a), hlog(__habs(a)), hlog2(__habs(a)), hlog10(__habs(a)), hsqrt(__habs(a)),
                hrsqrt(__habs(a)), hrcp(a), hsin(a), hcos(a), htanh(a), htanh_approx(a)};
  for (int j = 0; j < sizeof(r) / sizeof(r[0]); j++) o[j * n + i] = r[j];
}

extern "C" __global__ void functions_bf16(const __nv_bfloat16* x, __nv_bfloat16* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __nv_bfloat16 a = x[i];
  __nv_bfloat16 r[] = {hexp(a), hexp2(a), hexp10(a), hlog(__habs(a)), hlog2(__habs(a)), hlog10(__habs(a)), hsqrt(__habs(a)),
                       hrsqrt(__habs(a)), hrcp(a), hsin(a), hcos(a), htanh(a), htanh_approx(a)};
  for (int j = 0; j < sizeof(r) / sizeof(r[0]); j++) o[j * n + i] = r[j];
}

// Every rounding of every conversion; integers come back as 64 bits.
extern "C" __global__ void conversions(const float* x, const double* d, const int* k, unsigned short* o, long long* w, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float f = x[i];
  __half h[] = {__float2half_rn(f), __float2half_rz(f), __float2half_ru(f), __float2half_rd(f), __double2half(d[i]),
                __int2half_rn(k[i]), __int2half_rz(k[i]), __uint2half_rd(k[i]), __ll2half_ru((long long)k[i] * 3), __short2half_rn(k[i]),
                __ushort2half_rn(k[i])};
  __nv_bfloat16 b[] = {__float2bfloat16_rn(f), __float2bfloat16_rz(f), __float2bfloat16_ru(f), __float2bfloat16_rd(f),
                       __double2bfloat16(d[i]), __int2bfloat16_rn(k[i]), __int2bfloat16_rz(k[i])};
  for (int j = 0; j < 11; j++) o[j * n + i] = __half_as_ushort(h[j]);
  for (int j = 0; j < 7; j++) o[(11 + j) * n + i] = __bfloat16_as_ushort(b[j]);
  __half v = h[0]; __nv_bfloat16 u = b[0];
  long long r[] = {__half2int_rn(v), __half2int_rz(v), __half2int_ru(v), __half2int_rd(v), __half2short_rz(v), __half2ushort_rn(v),
                   __half2uint_rd(v), __half2ll_ru(v), (long long)__half2ull_rn(v), __half2char_rz(v), __half2uchar_rz(v),
                   __bfloat162int_rn(u), __bfloat162int_rz(u), __bfloat162short_rd(u), (long long)__bfloat162ull_ru(u)};
  for (int j = 0; j < 15; j++) w[j * n + i] = r[j];
}

extern "C" __global__ void shared_sums(const __half2* x, __half2* o, __nv_bfloat162* p, int n) {
  __shared__ __half2 part[8];
  __half2 sum = __float2half2_rn(0.f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum = __hadd2(sum, x[i]);
  for (int d = 16; d; d /= 2) sum = __hadd2(sum, __shfl_xor_sync(~0u, sum, d));
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  atomicAdd(o, threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : __float2half2_rn(0.f));
  atomicAdd(p, __float22bfloat162_rn(make_float2(1.f, threadIdx.x & 1)));
}
