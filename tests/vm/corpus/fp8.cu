// sm_80 sm_89 sm_90
// cuda_fp8.h, cuda_fp6.h and cuda_fp4.h: conversions by the hardware where it has them, in software elsewhere.
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

extern "C" __global__ void narrow(const float* x, unsigned char* e4, unsigned char* e5, unsigned char* open4, unsigned char* e8,
                                  unsigned char* six, unsigned char* four, float* w, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i];
  __nv_fp8_e4m3 a(v);
  __nv_fp8_e5m2 b(v);
  e4[i] = a.__x;
  e5[i] = b.__x;
  open4[i] = __nv_cvt_float_to_fp8(v, __NV_NOSAT, __NV_E4M3);
  e8[i] = __nv_cvt_float_to_e8m0(fabsf(v), __NV_SATFINITE, cudaRoundPosInf);
  __nv_fp6_e3m2 c(v);
  __nv_fp4_e2m1 d(v);
  six[i] = c.__x;
  four[i] = d.__x;
  w[i] = float(a);
  w[n + i] = float(b);
  w[2 * n + i] = float(c);
  w[3 * n + i] = float(d);
  w[4 * n + i] = __half2float(__half(__nv_cvt_fp8_to_halfraw(open4[i], __NV_E4M3)));
}

extern "C" __global__ void four_at_once(const float4* x, __nv_fp8x4_e4m3* o, float4* w, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  o[i] = __nv_fp8x4_e4m3(x[i]);
  w[i] = float4(o[i]);
}
