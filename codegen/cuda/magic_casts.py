"""Casts without conversion instructions, which run at a quarter of the rate: magic numbers.

An integer c below 2^m or'ed into the mantissa of 2^m (in the type whose mantissa has m bits) is
the float 2^m + c; one exact subtraction leaves c. For 16-bit floats two elements share each
instruction:

    0x6400 | c       is the f16  1024 + c, for c < 1024
    0x4300 | c       is the bf16  128 + c, for c < 128
    0x4b000000 | c   is the f32  2^23 + c

A signed c is biased by half its range first, which flips its sign bit. Pairs of f32 round to 16-bit
floats in one instruction.
"""

from __future__ import annotations

import numpy as np

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import Emitter
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.instructions.elementwise import Cast
from tilewright.ir.types import DType
from tilewright.ir.values import TileType, element_type

add_snippets(r"""
//@ tw_magic_f16
__device__ __forceinline__ unsigned tw_magic_f16(unsigned codes, unsigned bias) {
    unsigned result;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(result) : "r"(codes | 0x64006400u), "r"(bias));
    return result;
}
//@ tw_magic_bf16
__device__ __forceinline__ unsigned tw_magic_bf16(unsigned codes, unsigned bias) {
    unsigned result;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;"
        : "=r"(result) : "r"(codes | 0x43004300u), "r"(0x3f803f80u), "r"(bias));
    return result;
}
//@ tw_magic_f32
__device__ __forceinline__ float tw_magic_f32(unsigned code, float bias) {
    return __uint_as_float(code | 0x4b000000u) - bias;
}
//@ tw_pair_f16
__device__ __forceinline__ unsigned tw_pair_f16(float low, float high) {
    unsigned result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}
//@ tw_pair_bf16
__device__ __forceinline__ unsigned tw_pair_bf16(float low, float high) {
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}
""")


MANTISSA = {"f16": 10, "bf16": 7, "f32": 23}
MOST_BITS = {"f16": 8, "bf16": 7, "f32": 8}
"""Bits of the widest integer that is cast this way."""


def emit_magic_cast(e: Emitter, item: Cast) -> bool:
    """Emit a cast by magic numbers or in pairs; False where no such sequence exists."""
    source, target = element_type(item.operand), item.dtype
    result = item.results[0]
    if not isinstance(result.type, TileType):
        return False
    small = source.is_integer and source.bits <= MOST_BITS.get(target.name, 0)
    if target.name == "f32" and small:
        e.define_each(result, lambda at: _single(e, source, at(item.operand)))
        return True
    rounds = source.name == "f32" and target.name in ("f16", "bf16")
    if e.registers(result) % 2 or not (small or rounds):
        return False
    origin, name = e.name(item.operand), e.fresh(result.name or "v")
    e.line(f"__align__(16) {stored_type(target)} {name}[{e.registers(result)}];")
    e.alias(result, name)
    with e.loop(e.registers(result), step=2) as r:
        second = "1" if r == "0" else f"{r} + 1"
        low, high = f"{origin}[{r}]", f"{origin}[{second}]"
        if rounds:
            word = e.call(f"tw_pair_{target.name}", low, high)
        else:
            codes = f"{_biased(source, low)} | {_biased(source, high)} << 16"
            word = e.call(f"tw_magic_{target.name}", codes, _bias_pair(source, target))
        e.line(f"*(unsigned *)&{name}[{r}] = {word};")
    return True


def _single(e: Emitter, source: DType, stored: str) -> str:
    bias = (1 << 23) + _half_range(source)
    return e.call("tw_magic_f32", _biased(source, stored), f"{bias}.0f")


def _half_range(source: DType) -> int:
    return 1 << (source.bits - 1) if source.signed else 0


def _biased(source: DType, stored: str) -> str:
    """The element plus half its range, as an unsigned number."""
    if not source.signed:
        return f"(unsigned){stored}"
    return f"(unsigned)({stored} + {_half_range(source)})"


def _bias_pair(source: DType, target: DType) -> str:
    """2^m + bias twice, as the codes of `target`; negated where it is added."""
    number = float((1 << MANTISSA[target.name]) + _half_range(source))
    code = int(target.encode(np.asarray(-number if target.name == "bf16" else number)))
    return f"{code << 16 | code:#x}u"
