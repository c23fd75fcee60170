"""Casts between any two types, by the defaults of `ir.types`: one rounding, then saturate or wrap.

A number that has more digits than an f32 goes to narrow formats through an f32 rounded to odd, so
that the second rounding cannot meet a false tie.
"""

from __future__ import annotations

from tilewright.codegen.cuda.elements import (
    integer_type,
    number_type,
    read_number,
    wrap_integer,
    write_number,
)
from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.codegen.cuda.magic_casts import emit_magic_cast
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.instructions.elementwise import Cast
from tilewright.ir.types import DType
from tilewright.ir.values import element_type

add_snippets(r"""
//@ tw_to_integer
// Truncates and saturates to [LOW, HIGH], which fit the float; NaN gives 0.
template <int LOW, int HIGH>
__device__ __forceinline__ int tw_to_integer(float x) {
    return x != x ? 0 : (int)fminf(fmaxf(x, (float)LOW), (float)HIGH);
}
template <int LOW, int HIGH>
__device__ __forceinline__ int tw_to_integer(double x) {
    return x != x ? 0 : (int)fmin(fmax(x, (double)LOW), (double)HIGH);
}
//@ tw_to_i32
__device__ __forceinline__ int tw_to_i32(float x) { return x != x ? 0 : __float2int_rz(x); }
__device__ __forceinline__ int tw_to_i32(double x) { return x != x ? 0 : __double2int_rz(x); }
//@ tw_to_u32
__device__ __forceinline__ unsigned tw_to_u32(float x) { return x != x ? 0 : __float2uint_rz(x); }
__device__ __forceinline__ unsigned tw_to_u32(double x) { return x != x ? 0 : __double2uint_rz(x); }
//@ tw_to_i64
__device__ __forceinline__ long long tw_to_i64(float x) { return x != x ? 0 : __float2ll_rz(x); }
__device__ __forceinline__ long long tw_to_i64(double x) { return x != x ? 0 : __double2ll_rz(x); }
//@ tw_to_u64
__device__ __forceinline__ unsigned long long tw_to_u64(float x) {
    return x != x ? 0 : __float2ull_rz(x);
}
__device__ __forceinline__ unsigned long long tw_to_u64(double x) {
    return x != x ? 0 : __double2ull_rz(x);
}
""")


@emits(Cast)
def emit_cast(item: Cast, e: Emitter) -> None:
    e.comment(item)
    source = element_type(item.operand)
    if emit_magic_cast(e, item):
        return
    e.define_each(
        item.results[0], lambda at: cast_expression(e, source, item.dtype, at(item.operand))
    )


def cast_expression(e: Emitter, source: DType, target: DType, stored: str) -> str:
    """The stored form of `target` for a stored element of `source`."""
    if source == target:
        return stored
    number = read_number(e, source, stored)
    if target.kind == "bool":
        return f"{number} != 0"
    if source.is_integer or source.kind == "bool":
        return _from_integer(e, source, target, number)
    if target.is_integer:
        return _to_integer(e, target, number)
    if target.kind == "codebook":
        return write_number(e, target, f"(double){number}")
    if source.name == "f64":
        narrow = "__double2float_rn" if target.name == "f32" else ""
        return (
            f"{narrow}({number})"
            if narrow
            else write_number(e, target, e.call("tw_odd_f64", number))
        )
    if target.name == "f64":
        return f"(double){number}"
    return write_number(e, target, number)


def _from_integer(e: Emitter, source: DType, target: DType, number: str) -> str:
    if target.is_integer:
        kind = integer_type(max(32, target.bits), target.signed or target.bits < 32)
        return wrap_integer(e, target, f"({kind}){number}")
    if target.name in ("f32", "f64"):
        return f"({number_type(target)}){number}"
    if target.kind == "codebook":
        return write_number(e, target, f"(double){number}")
    if source.kind == "bool" or source.bits <= 16:
        return write_number(e, target, f"(float){number}")
    if source.signed or source.bits < 64:
        return write_number(e, target, e.call("tw_odd_i64", f"(long long){number}"))
    return write_number(e, target, e.call("tw_odd_u64", number))


def _to_integer(e: Emitter, target: DType, number: str) -> str:
    if target.bits >= 32:
        return e.call(f"tw_to_{target.name}", number)
    low, high = int(target.min), int(target.max)
    return wrap_integer(e, target, e.call(f"tw_to_integer<{low}, {high}>", number))
