// What the kernels of this folder share: one inline instruction per function, each on a line of its own.
typedef unsigned int u32;
typedef unsigned long long u64;
struct alignas(64) Map { char bytes[128]; };

#define ASM(text, ...) asm volatile(text ::__VA_ARGS__ : "memory")
__device__ __forceinline__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void init(u32 bar, int count) { ASM("mbarrier.init.shared::cta.b64 [%0], %1;", "r"(bar), "r"(count)); }
__device__ __forceinline__ void wait(u32 bar, int parity) {
  ASM("{\n\t.reg .pred %%p;\n\tAGAIN:\n\tmbarrier.try_wait.parity.shared::cta.b64 %%p, [%0], %1;\n\t@!%%p bra AGAIN;\n\t}", "r"(bar), "r"(parity));
}
__device__ __forceinline__ void arrive(u32 bar) { ASM("mbarrier.arrive.shared::cta.b64 _, [%0];", "r"(bar)); }
__device__ __forceinline__ void expect(u32 bar, int bytes) {
  ASM("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;", "r"(bar), "r"(bytes));
}
__device__ __forceinline__ void tile(u32 to, const Map* map, int x, int y, u32 bar) {
  ASM("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];",
      "r"(to), "l"(map), "r"(x), "r"(y), "r"(bar));
}
__device__ __forceinline__ void store_tile(const Map* map, int x, int y, u32 from) {
  ASM("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];", "l"(map), "r"(x), "r"(y), "r"(from));
}
__device__ __forceinline__ void fence_async() { ASM("fence.proxy.async.shared::cta;", ); }
__device__ __forceinline__ u32 cluster_rank() { u32 r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
__device__ __forceinline__ u32 in_block(u32 address, u32 rank) {
  u32 r; asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank)); return r;
}
