// c[m, n] = sum_k a[m, k] * b[n, k], bf16 in, f32 out. Block tile 64 x 64 x 32, 8 warps (2 x 4), 3 stages.
typedef unsigned int u32;
typedef unsigned short u16;
#define STAGES 3
#define BM 64
#define BN 64
#define BK 32

__device__ __forceinline__ u32 place(u32 base, int row, int chunk) {  // 64-byte rows, 16-byte chunks, xor swizzle
  return base + row * 64 + ((chunk ^ (row >> 1 & 3)) << 4);
}
__device__ __forceinline__ void copy16(u32 dst, const void* src, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(bytes));
}
__device__ __forceinline__ void ldmatrix4(u32* r, u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

extern "C" __global__ void __launch_bounds__(256) matmul(const u16* a, const u16* b, float* c, int m, int n, int k) {
  extern __shared__ __align__(1024) char shared[];
  u32 base = (u32)__cvta_generic_to_shared(shared);
  int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
  int row0 = blockIdx.y * BM, col0 = blockIdx.x * BN;
  int wm = (warp & 1) * 32, wn = (warp >> 1) * 16;
  float acc[2][2][4] = {};
  int steps = (k + BK - 1) / BK;
  auto issue = [&](int step) {
    u32 sa = base + (step % STAGES) * (BM + BN) * BK * 2, sb = sa + BM * BK * 2;
    int r = tid >> 2, ch = tid & 3, kk = step * BK + ch * 8;
    int left = (k - kk) * 2;
    left = left < 0 ? 0 : left > 16 ? 16 : left;
    bool in_a = row0 + r < m && left > 0, in_b = col0 + r < n && left > 0;
    copy16(place(sa, r, ch), in_a ? a + (size_t)(row0 + r) * k + kk : a, in_a ? left : 0);
    copy16(place(sb, r, ch), in_b ? b + (size_t)(col0 + r) * k + kk : b, in_b ? left : 0);
  };
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < steps) issue(s);
    asm volatile("cp.async.commit_group;");
  }
  for (int step = 0; step < steps; step++) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));  // WAIT
    __syncthreads();                                            // BARRIER
    if (step + STAGES - 1 < steps) issue(step + STAGES - 1);
    asm volatile("cp.async.commit_group;");
    u32 sa = base + (step % STAGES) * (BM + BN) * BK * 2, sb = sa + BM * BK * 2;
    for (int ks = 0; ks < 2; ks++) {
      u32 fa[2][4], fb[4];
      for (int i = 0; i < 2; i++)
        ldmatrix4(fa[i], place(sa, wm + i * 16 + (lane & 15), ks * 2 + (lane >> 4)));
      ldmatrix4(fb, place(sb, wn + (lane & 7) + ((lane >> 4) << 3), ks * 2 + (lane >> 3 & 1)));
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
          asm volatile(
              "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
              : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
              : "r"(fa[i][0]), "r"(fa[i][1]), "r"(fa[i][2]), "r"(fa[i][3]), "r"(fb[2 * j]), "r"(fb[2 * j + 1]));
    }
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      for (int e = 0; e < 4; e++) {
        int row = row0 + wm + i * 16 + (lane >> 2) + (e >> 1) * 8, col = col0 + wn + j * 8 + (lane & 3) * 2 + (e & 1);
        if (row < m && col < n) c[(size_t)row * n + col] = acc[i][j][e];
      }
}
