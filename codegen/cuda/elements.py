"""How one element of every data type is stored in C, read as a number, and written back.

Three forms of an element. *Stored*: what a register array holds, e.g. the 16 bits of an f16 or a
sign-extended i5. *Number*: what arithmetic is done on: int, float, double. *Code*: the bare bits,
unsigned. For i32, f32, … all three coincide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tilewright.ir.types import DType
from tilewright.ir.types.codebooks import list_borders

if TYPE_CHECKING:
    from tilewright.codegen.cuda.emitter import Emitter

_INTEGER = {8: "char", 16: "short", 32: "int", 64: "long long"}
_FLOAT = {"f16": "unsigned short", "bf16": "unsigned short", "tf32": "float", "f32": "float"}


def stored_type(dtype: DType) -> str:
    """The C type that holds one element in a register."""
    if dtype.kind == "bool":
        return "bool"
    if dtype.is_integer:
        return integer_type(max(8, dtype.bits), dtype.signed)
    if dtype.name == "f64":
        return "double"
    return _FLOAT.get(dtype.name, "unsigned char")


def pointed_type(dtype: DType) -> str:
    """What a pointer to a tensor points to: elements, or bytes where several share one."""
    return "unsigned char" if dtype.bits < 8 else stored_type(dtype)


def integer_type(bits: int, signed: bool) -> str:
    """The C integer of `bits` bits."""
    name = _INTEGER[bits]
    if signed:
        return "signed char" if bits == 8 else name
    return f"unsigned {name}" if bits != 32 else "unsigned"


def code_type(dtype: DType) -> str:
    """The unsigned C type that holds one code."""
    return integer_type(max(8, dtype.bits), signed=False)


def number_type(dtype: DType) -> str:
    """The C type in which arithmetic on `dtype` is done."""
    if dtype.kind == "bool":
        return "bool"
    if dtype.is_integer:
        return integer_type(max(32, dtype.bits), dtype.signed or dtype.bits < 32)
    return "double" if dtype.name == "f64" else "float"


def read_number(e: Emitter, dtype: DType, stored: str) -> str:
    """The number that a stored element means."""
    match dtype.name:
        case "f16":
            return e.call("tw_from_f16", stored)
        case "bf16":
            return e.call("tw_from_bf16", stored)
        case "e8m0":
            return e.call("tw_from_e8m0", stored)
    if dtype.kind == "codebook":
        return f"{e.table(dtype)}[{stored}]"
    if dtype.is_float and dtype.bits <= 8:
        return e.call(f"tw_from_small<{float_fields(dtype)}>", stored)
    return stored


def write_number(e: Emitter, dtype: DType, number: str) -> str:
    """The stored element for a number in `number_type`, rounded once or wrapped."""
    match dtype.name:
        case "f32" | "f64":
            return number
        case "f16" | "bf16" | "tf32" | "e8m0":
            return e.call(f"tw_to_{dtype.name}", number)
    if dtype.kind == "bool":
        return number
    if dtype.kind == "codebook":
        return e.call(f"tw_to_table<{count_borders(dtype)}>", number, *e.borders(dtype))
    if dtype.is_float:
        return e.call(f"tw_to_small<{float_fields(dtype)}>", number)
    return wrap_integer(e, dtype, number)


def wrap_integer(e: Emitter, dtype: DType, number: str) -> str:
    """An integer of at least 32 bits brought into `dtype` modulo 2^bits."""
    if dtype.bits >= 32:
        return number
    if dtype.bits in (8, 16):
        return f"({stored_type(dtype)})({number})"
    if dtype.signed:
        return e.call(f"tw_wrap_signed<{dtype.bits}>", number)
    return f"(unsigned char)(({number}) & {(1 << dtype.bits) - 1})"


def count_borders(dtype: DType) -> int:
    """Borders between the distinct values of a codebook."""
    return len(list_borders(dtype)[0])


def float_fields(dtype: DType) -> str:
    """Template arguments of a small float: exponent and mantissa bits, bias, special values."""
    special = {"finite": 0, "nan": 1, "ieee": 2}[dtype.special]
    return f"{dtype.exponent}, {dtype.mantissa}, {dtype.bias}, {special}"


def read_code(e: Emitter, dtype: DType, stored: str) -> str:
    """The unsigned code of a stored element."""
    if dtype.name in ("f32", "tf32"):
        return f"__float_as_uint({stored})"
    if dtype.name == "f64":
        return f"(unsigned long long)__double_as_longlong({stored})"
    if dtype.is_integer and dtype.signed:
        code = f"({code_type(dtype)})({stored})"
        return code if dtype.bits >= 8 else f"({code} & {(1 << dtype.bits) - 1})"
    return stored


def write_code(e: Emitter, dtype: DType, code: str) -> str:
    """The stored element of an unsigned code, whose bits above `dtype.bits` are zero."""
    if dtype.name in ("f32", "tf32"):
        return f"__uint_as_float({code})"
    if dtype.name == "f64":
        return f"__longlong_as_double((long long)({code}))"
    if dtype.is_integer and dtype.signed and dtype.bits < 8:
        return e.call(f"tw_wrap_signed<{dtype.bits}>", code)
    return f"({stored_type(dtype)})({code})"


def literal(dtype: DType, value: float) -> str:
    """A C literal of the stored form of `value`."""
    if dtype.kind == "bool":
        return "true" if value else "false"
    if dtype.is_integer:
        wrapped = int(dtype.decode(dtype.encode(np.asarray(value))))
        return _integer_literal(dtype, wrapped)
    number = float(dtype.decode(dtype.encode(np.asarray(value, np.float64))))
    if dtype.name in ("f32", "tf32", "f64"):
        return float_literal(number, double=dtype.name == "f64")
    code = int(dtype.encode(np.asarray(value, np.float64)))
    return f"{code:#x}"


def float_literal(number: float, *, double: bool) -> str:
    """A C literal of exactly `number`, which the type holds."""
    if math.isnan(number) or math.isinf(number):
        sign = "-" if number < 0 else ""
        if double:
            code = "0x7ff8000000000000" if math.isnan(number) else "0x7ff0000000000000"
            return f"{sign}__longlong_as_double({code}ll)"
        code = "0x7fc00000" if math.isnan(number) else "0x7f800000"
        return f"{sign}__int_as_float({code})"
    text = repr(number) if double else str(np.float32(number))
    if "e" not in text and "." not in text:
        text += ".0"
    return text if double else text + "f"


def _integer_literal(dtype: DType, value: int) -> str:
    if dtype.bits == 64:
        if not dtype.signed:
            return f"{value}ull"
        return f"{value}ll" if value > -(1 << 63) else "(-9223372036854775807ll - 1)"
    if dtype.bits == 32:
        if not dtype.signed:
            return f"{value}u"
        return str(value) if value > -(1 << 31) else "(-2147483647 - 1)"
    return str(value)
