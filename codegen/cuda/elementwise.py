"""Elementwise instructions: arithmetic on numbers, one rounding or wrap per instruction.

Integers are added and multiplied unsigned, because they wrap. f16, bf16 and smaller floats are
computed in f32 (whose 24 bits make the second rounding harmless for +, -, *, / and sqrt).
"""

from __future__ import annotations

from collections.abc import Callable

from tilewright.codegen.cuda.elements import (
    integer_type,
    number_type,
    read_number,
    wrap_integer,
    write_number,
)
from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.ir.instructions.elementwise import Binary, Compare, Fma, Select, Unary
from tilewright.ir.types import DType
from tilewright.ir.values import Value, element_type

At = Callable[[Value], str]

FLOAT_UNARY = {
    "neg": "-{x}",
    "abs": "fabs{f}({x})",
    "exp": "exp{f}({x})",
    "exp2": "exp2{f}({x})",
    "log": "log{f}({x})",
    "log2": "log2{f}({x})",
    "sin": "sin{f}({x})",
    "cos": "cos{f}({x})",
    "tanh": "tanh{f}({x})",
    "erf": "erf{f}({x})",
    "sigmoid": "{one} / ({one} + exp{f}(-{x}))",
    "sqrt": "sqrt{f}({x})",
    "rsqrt": "rsqrt{f}({x})",
    "floor": "floor{f}({x})",
    "ceil": "ceil{f}({x})",
    "round": "rint{f}({x})",
}
FLOAT_BINARY = {
    "add": "{x} + {y}",
    "sub": "{x} - {y}",
    "mul": "{x} * {y}",
    "div": "{x} / {y}",
    "floordiv": "({kind})floor((double){x} / (double){y})",
    "mod": "{mod}({x}, {y})",
    "min": "fmin{f}({x}, {y})",
    "max": "fmax{f}({x}, {y})",
    "pow": "pow{f}({x}, {y})",
}
INTEGER_BINARY = {
    "add": "({kind})(({wide}){x} + ({wide}){y})",
    "sub": "({kind})(({wide}){x} - ({wide}){y})",
    "mul": "({kind})(({wide}){x} * ({wide}){y})",
    "div": "({kind}){x} / ({kind}){y}",
    "min": "{x} < {y} ? {x} : {y}",
    "max": "{x} > {y} ? {x} : {y}",
    "and": "{x} & {y}",
    "or": "{x} | {y}",
    "xor": "{x} ^ {y}",
}
INTEGER_CALLS = {
    "floordiv": "tw_floordiv<{kind}>",
    "mod": "tw_mod<{kind}>",
    "pow": "tw_power<{wide}>",
    "shl": "tw_shl<{bits}, {kind}>",
    "shr": "tw_shr<{bits}, {kind}>",
}
UNSIGNED_CALLS = {"floordiv": "tw_udiv<{kind}>", "mod": "tw_umod<{kind}>"}
BOOL_BINARY = {
    "add": "||",
    "max": "||",
    "or": "||",
    "mul": "&&",
    "min": "&&",
    "and": "&&",
    "xor": "!=",
    "sub": "!=",
}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@emits(Unary)
def emit_unary(item: Unary, e: Emitter) -> None:
    e.comment(item)
    dtype = element_type(item.operand)
    result = item.results[0]
    e.define_each(result, lambda at: _unary(e, item.op, dtype, at(item.operand)))


def _unary(e: Emitter, op: str, dtype: DType, stored: str) -> str:
    if dtype.kind == "bool":
        return f"!{stored}" if op == "not" else stored
    if dtype.is_integer:
        wide = integer_type(max(32, dtype.bits), signed=False)
        kind = number_type(dtype)
        text = {
            "neg": f"({kind})(0 - ({wide}){stored})",
            "abs": f"{stored} < 0 ? ({kind})(0 - ({wide}){stored}) : ({kind}){stored}",
            "not": f"~{stored}",
        }[op]
        return wrap_integer(e, dtype, text)
    x = read_number(e, dtype, stored)
    return write_number(e, dtype, FLOAT_UNARY[op].format(x=x, **_float_words(dtype)))


@emits(Binary)
def emit_binary(item: Binary, e: Emitter) -> None:
    e.comment(item)
    dtype = element_type(item.left)
    e.define_each(
        item.results[0],
        lambda at: binary_expression(e, item.op, dtype, at(item.left), at(item.right)),
    )


def binary_expression(e: Emitter, op: str, dtype: DType, left: str, right: str) -> str:
    """The stored result of a binary operator on two stored elements."""
    if dtype.kind == "bool":
        return f"{left} {BOOL_BINARY[op]} {right}"
    if dtype.is_integer:
        return wrap_integer(e, dtype, _integer(e, op, dtype, left, right))
    x, y = read_number(e, dtype, left), read_number(e, dtype, right)
    if op == "mod":
        e.need("tw_fmod_f64" if dtype.name == "f64" else "tw_fmod_f32")
    text = FLOAT_BINARY[op].format(x=x, y=y, **_float_words(dtype))
    return write_number(e, dtype, text)


def _integer(e: Emitter, op: str, dtype: DType, x: str, y: str) -> str:
    words = {
        "kind": number_type(dtype),
        "wide": integer_type(max(32, dtype.bits), signed=False),
        "bits": max(8, dtype.bits),
    }
    if op in INTEGER_CALLS:
        calls = INTEGER_CALLS if dtype.signed else {**INTEGER_CALLS, **UNSIGNED_CALLS}
        return e.call(calls[op].format(**words), x, y)
    return INTEGER_BINARY[op].format(x=x, y=y, **words)


def _float_words(dtype: DType) -> dict[str, str]:
    double = dtype.name == "f64"
    return {
        "f": "" if double else "f",
        "one": "1.0" if double else "1.0f",
        "kind": number_type(dtype),
        "mod": "tw_fmod_f64" if double else "tw_fmod_f32",
    }


@emits(Compare)
def emit_compare(item: Compare, e: Emitter) -> None:
    e.comment(item)

    def compare(at: Callable[[Value], str]) -> str:
        x, y = (e.number(v, at(v)) for v in (item.left, item.right))
        return f"{x} {COMPARE[item.op]} {y}"

    e.define_each(item.results[0], compare)


@emits(Fma)
def emit_fma(item: Fma, e: Emitter) -> None:
    e.comment(item)
    dtype = element_type(item.x)

    def fused(at: Callable[[Value], str]) -> str:
        stored = (at(item.x), at(item.y), at(item.z))
        if dtype.is_integer:
            product = binary_expression(e, "mul", dtype, stored[0], stored[1])
            return binary_expression(e, "add", dtype, f"({product})", stored[2])
        if dtype.name in ("f16", "bf16"):
            return e.call(f"tw_fma_{dtype.name}", *stored)
        numbers = ", ".join(read_number(e, dtype, s) for s in stored)
        return e.rounded(item.results[0], f"fma{'' if dtype.name == 'f64' else 'f'}({numbers})")

    e.define_each(item.results[0], fused)


@emits(Select)
def emit_select(item: Select, e: Emitter) -> None:
    e.comment(item)
    e.define_each(
        item.results[0], lambda at: f"{at(item.condition)} ? {at(item.yes)} : {at(item.no)}"
    )
