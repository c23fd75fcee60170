// A libcuda.so.1 without a GPU: it answers the calls that tilewright makes and writes down what a
// launch passes, so that argument packing is tested through the real Python bindings.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
FILE* record() {
  static FILE* file = fopen(getenv("FAKE_DRIVER_RECORD"), "w");
  return file;
}
int ok() { return 0; }
int init(unsigned) { return 0; }
int version(int* out) { return *out = 13000, 0; }
int count(int* out) { return *out = 1, 0; }
int get(int* out, int ordinal) { return *out = ordinal, 0; }
int device_name(char* out, int size, int) { return snprintf(out, size, "Fake GPU"), 0; }
int total(size_t* out, int) { return *out = 1ull << 37, 0; }
int attribute(int* out, int which, int) {
  switch (which) {
    case 75: return *out = 9, 0;       // compute capability, major
    case 76: return *out = 0, 0;       // minor
    case 97: return *out = 232448, 0;  // shared memory per block, opt in
    default: return *out = 1000 + which, 0;
  }
}
int retain(void** out, int) { return *out = reinterpret_cast<void*>(0x1000), 0; }
int set_current(void* context) { return fprintf(record(), "context %p\n", context), 0; }
int load(void** out, const void* image) {
  *out = reinterpret_cast<void*>(0x2000);
  return fprintf(record(), "image %.4s\n", static_cast<const char*>(image) + 1), 0;
}
int function(void** out, void*, const char* entry) {
  *out = reinterpret_cast<void*>(0x3000);
  return fprintf(record(), "entry %s\n", entry), 0;
}
int set_attribute(void* f, int which, int value) {
  return fprintf(record(), "attribute %p %d %d\n", f, which, value), 0;
}
// The kernel's arguments are (pointer, i32, i64, f32, 128 bytes).
int launch(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
           unsigned shared, void* stream, void** arguments, void** extra) {
  if (stream == reinterpret_cast<void*>(0xbad)) return 700;
  fprintf(record(), "launch %p %u %u %u %u %u %u %u %p %p\n", f, gx, gy, gz, bx, by, bz, shared,
          stream, static_cast<void*>(extra));
  const unsigned char* bytes = static_cast<unsigned char*>(arguments[4]);
  fprintf(record(), "arguments %p %d %lld %g %u %u\n", *static_cast<void**>(arguments[0]),
          *static_cast<int32_t*>(arguments[1]),
          static_cast<long long>(*static_cast<int64_t*>(arguments[2])),
          static_cast<double>(*static_cast<float*>(arguments[3])), bytes[0], bytes[127]);
  return fflush(record()), 0;
}

struct Symbol {
  const char* name;
  void* address;
};
#define SYMBOL(name, function) {name, reinterpret_cast<void*>(&function)}
const Symbol symbols[] = {
    SYMBOL("cuInit", init), SYMBOL("cuDriverGetVersion", version),
    SYMBOL("cuDeviceGetCount", count), SYMBOL("cuDeviceGet", get),
    SYMBOL("cuDeviceGetName", device_name), SYMBOL("cuDeviceTotalMem", total),
    SYMBOL("cuDeviceGetAttribute", attribute), SYMBOL("cuDevicePrimaryCtxRetain", retain),
    SYMBOL("cuCtxSetCurrent", set_current), SYMBOL("cuModuleLoadData", load),
    SYMBOL("cuModuleGetFunction", function), SYMBOL("cuFuncSetAttribute", set_attribute),
    SYMBOL("cuLaunchKernel", launch),
};
}  // namespace

extern "C" int cuGetProcAddress_v2(const char* name, void** out, int, uint64_t, void* status) {
  if (status != nullptr) *static_cast<int*>(status) = 0;
  for (const Symbol& symbol : symbols)
    if (strcmp(symbol.name, name) == 0) return *out = symbol.address, 0;
  *out = nullptr;
  return 500;  // CUDA_ERROR_NOT_FOUND
}
