"""print and check inside kernels: `vprintf` and `__assertfail`, which the driver provides (NVRTC
knows the second by itself).

Tiles are printed by one lane, which holds them whole (`infer_layouts` replicates what is printed).
"""

from __future__ import annotations

import json
import math
import re

from tilewright.codegen.cuda.elements import read_number
from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.codegen.cuda.gather import once_per_block
from tilewright.codegen.cuda.places import all_of, is_inside_tile
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.instructions.check import Check, Print
from tilewright.ir.types import DType
from tilewright.ir.values import ScalarType, TileType, Value, element_type, shape_of, tile_type

add_snippets(r"""
//@ tw_print
extern "C" __device__ int vprintf(const char *format, void *values);
__device__ __forceinline__ void tw_print(const char *format) { vprintf(format, 0); }
__device__ __forceinline__ void tw_print(const char *format, long long *words) {
    vprintf(format, words);
}
__device__ __forceinline__ void tw_print(const char *format, long long value) {
    vprintf(format, &value);
}
__device__ __forceinline__ void tw_print(const char *format, unsigned long long value) {
    vprintf(format, &value);
}
__device__ __forceinline__ void tw_print(const char *format, double value) {
    vprintf(format, &value);
}
""")


MOST_VALUES = 32
"""Arguments of one `vprintf`. What one call prints stays together; calls of blocks interleave."""


@emits(Print)
def emit_print(item: Print, e: Emitter) -> None:
    """`{}` takes the values in order; `{{` and `}}` are braces."""
    e.comment(item)
    texts = [_plain(part) for part in re.split(r"(?<!\{)\{[^{}]*\}(?!\})", item.text)]
    values = [[_format_number(*n) for n in _list_numbers(e, v)] for v in item.values]
    with e.block(f"if ({once_per_block(e)})"):
        if 0 < sum(map(len, values)) <= MOST_VALUES:
            shown = [_join(v, formats) for v, formats in zip(item.values, values, strict=True)]
            line = "".join(a + b for a, b in zip(texts, [*shown, "\n"], strict=True))
            words = ", ".join(word for formats in values for _, word in formats)
            e.line(f"long long tw_words[] = {{{words}}};")
            e.line(e.call("tw_print", _quoted(line), "tw_words") + ";")
            return
        for i, text in enumerate(texts):
            if i:
                _print_value(e, item.values[i - 1])
            if i == len(texts) - 1:
                text += "\n"
            if text:
                e.line(e.call("tw_print", _quoted(text)) + ";")


def _list_numbers(e: Emitter, value: Value) -> list[tuple[DType, str]]:
    """The numbers of a value: their dtype, and their C++ text."""
    name, dtype = e.name(value), element_type(value)
    count = 0 if isinstance(value.type, ScalarType) else math.prod(shape_of(value))
    places = [f"{name}[{r}]" for r in range(count)] if count else [name]
    return [(dtype, read_number(e, dtype, place)) for place in places]


def _format_number(dtype: DType, number: str) -> tuple[str, str]:
    """How `vprintf` shows a number, and the word of 8 bytes that it is given."""
    if dtype.kind == "bool":
        return "%s", f'(long long)({number} ? "True" : "False")'
    if not dtype.is_integer:
        digits = 17 if dtype.name == "f64" else 9
        return f"%.{digits}g", f"__double_as_longlong((double)({number}))"
    return ("%lld" if dtype.signed or dtype.bits < 64 else "%llu"), f"(long long)({number})"


def _join(value: Value, formats: list[tuple[str, str]]) -> str:
    text = " ".join(kind for kind, _ in formats)
    return text if isinstance(value.type, ScalarType) else f"[{text}]"


def _print_value(e: Emitter, value: Value) -> None:
    name, dtype = e.name(value), element_type(value)
    if isinstance(value.type, ScalarType):
        e.line(_print_number(e, dtype, name, ""))
        return
    count = 1
    for extent in shape_of(value):
        count *= extent
    for r in range(count):
        e.line(_print_number(e, dtype, f"{name}[{r}]", " " if r else "["))
    e.line(e.call("tw_print", '"]"') + ";")


def _print_number(e: Emitter, dtype: DType, stored: str, before: str) -> str:
    number = read_number(e, dtype, stored)
    if dtype.kind == "bool":
        return e.call("tw_print", f'{number} ? "{before}True" : "{before}False"') + ";"
    if not dtype.is_integer:
        digits = 17 if dtype.name == "f64" else 9
        return e.call("tw_print", f'"{before}%.{digits}g"', f"(double)({number})") + ";"
    if dtype.signed or dtype.bits < 64:
        return e.call("tw_print", f'"{before}%lld"', f"(long long)({number})") + ";"
    return e.call("tw_print", f'"{before}%llu"', number) + ";"


def _plain(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}").replace("%", "%%")


def _quoted(text: str) -> str:
    """A C string literal."""
    return json.dumps(text)


@emits(Check)
def emit_check(item: Check, e: Emitter) -> None:
    e.comment(item)
    place = item.location
    file, line = (place.file.rsplit("/", 1)[-1], place.line) if place else ("kernel", 0)
    arguments = f"{_quoted(item.text)}, {_quoted(file)}, {line}, {_quoted(e.kernel.name)}, 1"
    fail = f"__assertfail({arguments});"
    if isinstance(item.condition.type, TileType):
        name = e.name(item.condition)
        with e.loop(e.registers(item.condition)) as r:
            real = is_inside_tile(e, tile_type(item.condition), r)
            e.line(f"if ({all_of((real, f'!{name}[{r}]'))}) {fail}")
        return
    e.line(f"if (!{e.name(item.condition)}) {fail}")
