// One line of output, collected and written at once so that lines of blocks that run together do not mix.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "element.h"

namespace tw {

struct Line {
  char* data = nullptr;
  size_t size = 0, room = 0;

  void text(const char* s) {
    const size_t n = strlen(s);
    if (size + n + 2 > room) data = (char*)realloc(data, room = 2 * (size + n) + 64);
    memcpy(data + size, s, n);
    size += n;
  }
  void value(bool x) { text(x ? "True" : "False"); }
  void value(int64_t x) { char s[32]; snprintf(s, sizeof s, "%lld", (long long)x); text(s); }
  void value(uint64_t x) { char s[32]; snprintf(s, sizeof s, "%llu", (unsigned long long)x); text(s); }
  void value(int32_t x) { value((int64_t)x); }
  void value(uint32_t x) { value((uint64_t)x); }
  void value(int8_t x) { value((int64_t)x); }
  void value(uint8_t x) { value((uint64_t)x); }
  void value(int16_t x) { value((int64_t)x); }
  void value(uint16_t x) { value((uint64_t)x); }
  // The shortest decimal that reads back as the same double, with a point as Python writes it.
  void value(double x) {
    char s[40];
    int digits = 1;
    do snprintf(s, sizeof s, "%.*g", digits, x);
    while (x == x && strtod(s, nullptr) != x && ++digits <= 17);
    if (x != x) snprintf(s, sizeof s, "nan");
    else if (!strpbrk(s, ".eni")) strcat(s, ".0");
    text(s);
  }
  void value(float x) { value((double)x); }
  void end() {
    text("\n");
    fwrite(data, 1, size, stdout);
    fflush(stdout);
    free(data);
  }
};

}  // namespace tw
