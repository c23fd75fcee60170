"""Calls: of the language, of inline functions and methods, of dtypes, of Python's own functions.

Python's own functions run while compiling, on statics. A few of them (`abs`, `min`, `max`, `range`)
mean an instruction or a loop where an argument is dynamic.
"""

from __future__ import annotations

import ast
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import InlineFunction
from tilewright.frontend.arithmetic import binary, fold, len_of
from tilewright.frontend.context import Context
from tilewright.frontend.handlers import call_handler
from tilewright.frontend.operands import cast, default_dtype, embed, is_scalar, is_tile
from tilewright.frontend.outside import LANGUAGE, PURE
from tilewright.frontend.sequences import iterate
from tilewright.frontend.values import DynamicRange, Method, describe, is_number, is_static
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.types import DType
from tilewright.ir.values import Value


def call(c: Context, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`callee(*args, **kwargs)`."""
    if isinstance(callee, InlineFunction):
        return c.call_inline(c, callee, args, kwargs)
    if isinstance(callee, Method):
        name = f".{callee.member.__name__}"
        return call_handler(c, callee.member, name, (callee.owner, *args), kwargs)
    if isinstance(callee, DType):
        return _call_dtype(c, callee, args, kwargs)
    if callable(callee):
        if callee in LANGUAGE:
            return call_handler(c, callee, f"tw.{LANGUAGE[callee]}", args, kwargs)
        if callee in PURE:
            return _call_python(c, callee, args, kwargs)
    text = ast.unparse(c.node.func) if isinstance(c.node, ast.Call) else describe(callee)
    raise LanguageError(f"{text} cannot be called in a kernel")


def _call_dtype(c: Context, dtype: DType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """`tw.f32(x)`: a number as a constant, a value cast."""
    if len(args) != 1 or kwargs:
        raise LanguageError(f"tw.{dtype.name}(x) takes one argument")
    held = args[0]
    if is_number(held):
        exact = dtype.is_float or dtype.is_integer
        return embed(c, held, dtype) if exact else cast(c, _default(c, held), dtype)
    if is_tile(held) or is_scalar(held):
        return cast(c, held, dtype)
    raise TypeMismatch(f"{describe(held)} does not become {dtype.name}")


def _default(c: Context, number: bool | int | float) -> Value:
    return embed(c, number, default_dtype(number))


ON_VALUES: dict[Any, Any] = {abs: language.abs, min: language.minimum, max: language.maximum}
"""Python's own functions that mean an instruction where an argument is dynamic."""


def _call_python(c: Context, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = PURE[callee]
    if callee is len:
        return len_of(args[0]) if len(args) == 1 else fold(len, *args)
    if callee in (isinstance, str, list):
        raise LanguageError(f"{name}() is not in the language of kernels")
    if all(map(is_static, (*args, *kwargs.values()))):
        found = fold(lambda *a: callee(*a, **kwargs), *args)
        keep = isinstance(found, (range, tuple, int, float, bool))
        return found if keep else tuple(found)
    if callee is range and not kwargs:
        bounds = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
        return DynamicRange(*bounds)
    if callee in (tuple, reversed, enumerate, zip, sum):
        rows = tuple(iterate(c, a) for a in args)
        return _on_sequences(c, callee, rows)
    if callee in ON_VALUES and len(args) >= 1 and not kwargs:
        found = args[0] if len(args) > 1 else call_handler(c, ON_VALUES[callee], name, args, {})
        for other in args[1:]:
            found = call_handler(c, ON_VALUES[callee], f"{name}()", (found, other), {})
        return found
    hint = {
        "float": "write x.cast(tw.f32)",
        "int": "write x.cast(tw.i32)",
        "bool": "compare: x != 0",
    }
    fallback = f"use tw.{name.removeprefix('math.')} where it exists"
    raise LanguageError(
        f"{name}() runs while compiling and got {', '.join(map(describe, args))}",
        hint.get(name, fallback),
    )


def _on_sequences(c: Context, callee: Any, rows: tuple[tuple[Any, ...], ...]) -> Any:
    """Python's own functions on static sequences that hold values."""
    if callee is sum and rows[0]:
        total = rows[0][0]
        for item in rows[0][1:]:
            total = binary(c, ast.Add, total, item)
        return total
    return tuple(callee(*rows))
