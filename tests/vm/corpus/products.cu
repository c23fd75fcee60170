// sm_80
// mma.h: C++ fragments of every type; one warp per product, A row by row, B by columns unless said.
#include <mma.h>
#include <cuda_bf16.h>
using namespace nvcuda;

template <class A, class C, int M, int N, int K, class LA = wmma::row_major, class LB = wmma::col_major>
__device__ void product(const A* a, const A* b, const C* c, C* d, int lda, int ldb) {
  wmma::fragment<wmma::matrix_a, M, N, K, A, LA> fa;
  wmma::fragment<wmma::matrix_b, M, N, K, A, LB> fb;
  wmma::fragment<wmma::accumulator, M, N, K, C> fc;
  wmma::load_matrix_sync(fa, a, lda);
  wmma::load_matrix_sync(fb, b, ldb);
  wmma::load_matrix_sync(fc, c, N, wmma::mem_row_major);
  wmma::mma_sync(fc, fa, fb, fc);
  for (int i = 0; i < fc.num_elements; i++) fc.x[i] = fc.x[i] + fc.x[i];
  wmma::store_matrix_sync(d, fc, N, wmma::mem_row_major);
}

extern "C" __global__ void f16_to_f32(const __half* a, const __half* b, const float* c, float* d) { product<__half, float, 16, 16, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void f16_to_f16(const __half* a, const __half* b, const __half* c, __half* d) { product<__half, __half, 16, 16, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void f16_wide(const __half* a, const __half* b, const float* c, float* d) { product<__half, float, 8, 32, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void f16_tall(const __half* a, const __half* b, const float* c, float* d) { product<__half, float, 32, 8, 16>(a, b, c, d, 16, 16); }
// A by columns, B by rows
extern "C" __global__ void f16_turned(const __half* a, const __half* b, const float* c, float* d) {
  product<__half, float, 16, 16, 16, wmma::col_major, wmma::row_major>(a, b, c, d, 16, 16);
}
extern "C" __global__ void bf16_to_f32(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) { product<__nv_bfloat16, float, 16, 16, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void s8_to_s32(const signed char* a, const signed char* b, const int* c, int* d) { product<signed char, int, 16, 16, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void u8_to_s32(const unsigned char* a, const unsigned char* b, const int* c, int* d) { product<unsigned char, int, 32, 8, 16>(a, b, c, d, 16, 16); }
extern "C" __global__ void f64_to_f64(const double* a, const double* b, const double* c, double* d) { product<double, double, 8, 8, 4>(a, b, c, d, 4, 4); }

extern "C" __global__ void tf32_to_f32(const float* a, const float* b, const float* c, float* d) {
  wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 8, float> fc;
  wmma::load_matrix_sync(fa, a, 8);
  wmma::load_matrix_sync(fb, b, 8);
  wmma::load_matrix_sync(fc, c, 16, wmma::mem_row_major);
  for (int i = 0; i < fa.num_elements; i++) fa.x[i] = wmma::__float_to_tf32(fa.x[i]);
  for (int i = 0; i < fb.num_elements; i++) fb.x[i] = wmma::__float_to_tf32(fb.x[i]);
  wmma::mma_sync(fc, fa, fb, fc);
  for (int i = 0; i < fc.num_elements; i++) fc.x[i] += fc.x[i];
  wmma::store_matrix_sync(d, fc, 16, wmma::mem_row_major);
}

extern "C" __global__ void s4_to_s32(const int* a, const int* b, const int* c, int* d) {
  namespace e = wmma::experimental;
  wmma::fragment<wmma::matrix_a, 8, 8, 32, e::precision::s4, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 8, 8, 32, e::precision::s4, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 8, 8, 32, int> fc;
  wmma::load_matrix_sync(fa, a, 32);
  wmma::load_matrix_sync(fb, b, 32);
  wmma::load_matrix_sync(fc, c, 8, wmma::mem_row_major);
  wmma::mma_sync(fc, fa, fb, fc);
  wmma::store_matrix_sync(d, fc, 8, wmma::mem_row_major);
}

extern "C" __global__ void b1_to_s32(const unsigned* a, const unsigned* b, int* x, int* y) {
  namespace e = wmma::experimental;
  wmma::fragment<wmma::matrix_a, 8, 8, 128, e::precision::b1, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 8, 8, 128, e::precision::b1, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 8, 8, 128, int> fx, fy;
  wmma::load_matrix_sync(fa, a, 128);
  wmma::load_matrix_sync(fb, b, 128);
  wmma::fill_fragment(fx, 0);
  wmma::fill_fragment(fy, 0);
  wmma::bmma_sync(fx, fa, fb, fx, e::bmmaBitOpXOR);
  wmma::bmma_sync(fy, fa, fb, fy, e::bmmaBitOpAND);
  wmma::store_matrix_sync(x, fx, 8, wmma::mem_row_major);
  wmma::store_matrix_sync(y, fy, 8, wmma::mem_row_major);
}
