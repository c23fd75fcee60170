"""Data types as C++: how elements lie in memory, how they are held, how one becomes another.

A value is *held* in float (every float of at most 32 bits), double, int32_t, uint32_t, int64_t,
uint64_t or bool; an operation of a narrower type is the holder's, then `round_held`. Element
arithmetic is in `prelude/element.h`; a type of at most 8 bits that is no integer decodes through a
table, which `Tables` declares once per source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from tilewright.ir.numeric import zero_of
from tilewright.ir.types import DType
from tilewright.ir.types.codebooks import _borders

_SPECIAL = {"finite": 0, "nan": 1, "ieee": 2}
WIDE_FLOATS = ("f16", "bf16", "tf32", "f32", "f64")


def is_coded(dtype: DType) -> bool:
    """Whether elements are codes that decode through a table."""
    return dtype.kind in ("scale", "codebook") or (dtype.is_float and dtype.bits <= 8)


def is_floating(dtype: DType) -> bool:
    """Whether values are held in float or double."""
    return not dtype.is_integer and dtype.kind != "bool"


def held_type(dtype: DType) -> str:
    """The C++ type that holds a value in an expression."""
    if dtype.kind == "bool":
        return "bool"
    if dtype.is_integer:
        return f"{'int' if dtype.signed else 'uint'}{64 if dtype.bits == 64 else 32}_t"
    return "double" if dtype.name == "f64" or _is_wide_table(dtype) else "float"


def _is_wide_table(dtype: DType) -> bool:
    return any(float(np.float32(value)) != value for value in dtype.table)


def stored_type(dtype: DType) -> str:
    """The C++ type of a tensor's elements; bytes for types of less than 8 bits."""
    if dtype.name in ("f16", "bf16"):
        return f"tw::{dtype.name}"
    if dtype.name in ("f32", "tf32", "f64"):
        return "double" if dtype.name == "f64" else "float"
    if dtype.is_integer and dtype.bits >= 8:
        return f"{'int' if dtype.signed else 'uint'}{dtype.bits}_t"
    return "uint8_t"


def array_type(dtype: DType, *, half: bool = False) -> str:
    """The C++ type of a local tile's elements; `half` keeps f16 and bf16 in 16 bits."""
    if dtype.is_integer and dtype.bits < 8:
        return "int8_t" if dtype.signed else "uint8_t"
    if dtype.is_integer or dtype.kind == "bool" or half:
        return stored_type(dtype)
    return held_type(dtype)


def size_of(ctype: str) -> int:
    """Bytes of one of the C++ types above."""
    if ctype in ("float", "double", "bool"):
        return {"float": 4, "double": 8, "bool": 1}[ctype]
    return 2 if ctype.startswith("tw::") else int(re.sub(r"\D", "", ctype)) // 8


def literal(dtype: DType, value: float) -> str:
    """The held constant `value` of `dtype`."""
    if dtype.kind == "bool":
        return "true" if value else "false"
    if dtype.is_integer:
        number = int(value)
        if dtype.bits == 64:
            return f"(uint64_t){number}u" if not dtype.signed else _long(number)
        return f"{number}u" if not dtype.signed else _int(number)
    suffix = "f" if held_type(dtype) == "float" else ""
    if np.isnan(value) or np.isinf(value):
        name = f'__builtin_nan{suffix}("")' if np.isnan(value) else f"__builtin_inf{suffix}()"
        return f"-{name}" if value == -np.inf else name
    return f"{float(value)!r}{suffix}"


def _int(number: int) -> str:
    return "INT32_MIN" if number == -(2**31) else str(number)


def _long(number: int) -> str:
    return "INT64_MIN" if number == -(2**63) else f"(int64_t){number}"


def zero_point(dtype: DType) -> str:
    """What a load outside the view gives without `other`: the value 0, or the nearest to it."""
    return literal(dtype, float(zero_of(dtype)))


@dataclass
class Tables:
    """Decoding tables and borders that a source uses, by type."""

    names: dict[DType, str] = field(default_factory=dict)

    def name(self, dtype: DType) -> str:
        """The table of `dtype`, which is declared before the kernel."""
        if dtype not in self.names:
            word = re.sub(r"\W+", "_", dtype.name)[:12].strip("_")
            self.names[dtype] = f"values_{word}_{len(self.names)}"
        return self.names[dtype]

    def declare(self) -> list[str]:
        """The declarations."""
        return [line for dtype, name in self.names.items() for line in _declare(dtype, name)]

    def decode(self, dtype: DType, code: str) -> str:
        """The held value of the code `code`."""
        return f"{self.name(dtype)}[{code}]"

    def encode(self, dtype: DType, held: str) -> str:
        """The code of a held number (float or double), rounded once, saturating."""
        if dtype.kind == "scale":
            return f"tw::encode_e8m0({held})"
        if dtype.kind == "codebook":
            name = self.name(dtype)
            return f"tw::encode_table({held}, {name}_borders, {name}_codes, {name}_count)"
        shape = (dtype.exponent, dtype.mantissa, dtype.bias, _SPECIAL[dtype.special])
        return f"tw::encode_small<{', '.join(map(str, shape))}>({held})"

    def round_held(self, dtype: DType, held: str) -> str:
        """The result of an operation of `dtype`, computed in its holder, brought into `dtype`."""
        if is_coded(dtype):
            return self.decode(dtype, self.encode(dtype, held))
        if dtype.name in ("f16", "bf16", "tf32"):
            return f"tw::round_{dtype.name}({held})"
        if dtype.is_integer and dtype.bits < 32:
            return f"tw::wrap_{'signed' if dtype.signed else 'unsigned'}<{dtype.bits}>({held})"
        return held

    def cast(self, to: DType, source: DType, held: str) -> str:
        """The cast of a held value, by the defaults of `ir.types`."""
        if to == source:
            return held
        if to.kind == "bool":
            return f"({held} != 0)"
        if source.kind == "bool" or source.is_integer:
            return self._cast_integer(to, source, held)
        if to.is_integer:
            return _truncate(to, held)
        wide = held_type(source) == "double"
        if to.name in ("f32", "f64"):
            return f"({held_type(to)}){held}"
        if wide and not is_coded(to):
            held = f"tw::round_odd({held})"
        return self.round_held(to, held)

    def _cast_integer(self, to: DType, source: DType, held: str) -> str:
        if to.is_integer:
            converted = f"({held_type(to)}){held}"
            inside = source.kind == "bool" and to.bits > 1
            return converted if inside else self.round_held(to, converted)
        if to.name in ("f32", "f64"):
            return f"({held_type(to)}){held}"
        exact = f"tw::round_odd({held})" if source.bits == 64 else f"(double){held}"
        if not is_coded(to):
            exact = f"tw::round_odd({exact})"
        return self.round_held(to, exact)

    def from_memory(self, dtype: DType, element: str) -> str:
        """The held value of a tensor's element (its code, for types of less than 8 bits)."""
        if is_coded(dtype):
            return self.decode(dtype, element)
        if dtype.name in ("f16", "bf16"):
            return f"tw::widen({element})"
        if dtype.name == "tf32":
            return f"tw::keep_tf32({element})"
        if dtype.kind == "bool":
            return f"({element} != 0)"
        if dtype.bits < 8:
            return self.round_held(dtype, f"({held_type(dtype)}){element}")
        return _widened(dtype, element)

    def to_memory(self, dtype: DType, held: str) -> str:
        """A held value as a tensor's element."""
        if is_coded(dtype):
            return f"(uint8_t){self.encode(dtype, held)}"
        if dtype.name in ("f16", "bf16"):
            return f"tw::narrow_{dtype.name}({held})"
        if dtype.is_integer or dtype.kind == "bool":
            return f"({stored_type(dtype)}){held}"
        return held

    def from_array(self, dtype: DType, ctype: str, element: str) -> str:
        """The held value of a local tile's element, whose C++ type is `ctype`."""
        if ctype.startswith("tw::"):
            return f"tw::widen({element})"
        return f"({element} != 0)" if dtype.kind == "bool" else _widened(dtype, element)

    def to_array(self, dtype: DType, ctype: str, held: str) -> str:
        """A held value as an element of a local tile."""
        if ctype.startswith("tw::"):
            return f"tw::narrow_{dtype.name}({held})"
        return held if ctype == held_type(dtype) else f"({ctype}){held}"


def _widened(dtype: DType, element: str) -> str:
    """An integer narrower than its holder, held: overloads choose by the operands' type."""
    narrow = dtype.is_integer and dtype.bits < 32
    return f"({held_type(dtype)}){element}" if narrow else element


def _truncate(to: DType, held: str) -> str:
    if to.bits == 64:
        return f"tw::to_{'signed' if to.signed else 'unsigned'}64({held})"
    if to.signed:
        return f"tw::to_signed<{to.bits}>({held})"
    return f"tw::to_unsigned<{to.bits}>({held})"


def _declare(dtype: DType, name: str) -> list[str]:
    codes = np.arange(1 << dtype.bits).astype(dtype.container)
    kind = held_type(dtype)
    wide = dtype if kind == "double" else _F32
    values = ", ".join(literal(wide, float(v)) for v in dtype.decode(codes))
    lines = [f"static const {kind} {name}[{len(codes)}] = {{{values}}};"]
    if dtype.kind == "codebook":
        borders, places = _borders(dtype)
        listed = ", ".join(repr(float(b)) for b in borders) or "0.0"
        lines += [
            f"enum {{ {name}_count = {len(borders)} }};",
            f"static const double {name}_borders[] = {{{listed}}};",
            f"static const uint8_t {name}_codes[] = {{{', '.join(str(int(c)) for c in places)}}};",
        ]
    return lines


_F32 = DType("f32", 32, "float", 8, 23, 127, "ieee")
