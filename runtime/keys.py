"""What of a call's arguments a plan, and what a compilation depends on: the keys of two tables.

A plan is for exact shapes and strides; a compilation for their classes only (`runtime.tensors`).
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType
from typing import Any

from tilewright.frontend.language import InlineFunction
from tilewright.runtime.arguments import field_kinds, scalar_spec
from tilewright.runtime.tensors import byte_span, classify


def plan_key(
    args: Any, kwargs: Mapping[str, Any], target: str | None, kinds: Mapping[str, str]
) -> Any:
    """What of a call its plan depends on; `kinds` are those of the parameters, in order."""
    return (
        target,
        len(args),
        *[value_key(v, k) for v, k in zip(args, kinds.values(), strict=False)],
        *[(n, value_key(v, kinds.get(n))) for n, v in kwargs.items()],
    )


def value_key(value: Any, kind: str | None) -> Any:
    """What of one argument a plan depends on: of a float scalar its type, of a static all."""
    pointer = getattr(value, "data_ptr", None)
    if pointer is not None:
        packing = getattr(value, "packing", None)
        return (value.dtype, value.shape, value.stride(), value.device, pointer() & 15, packing)
    if kind == "scalar" and type(value) is float:
        return float
    if kind == "dataclass" and hasattr(value, "__dataclass_fields__"):
        fields = field_kinds(type(value)).items()
        return (type(value), *(value_key(getattr(value, f), k or "dataclass") for f, k in fields))
    return static_key(value)


def static_key(value: Any) -> Any:
    """Equal only for statics that compile alike: 1, 1.0 and True differ, so do 0.0 and -0.0."""
    if type(value) is float:
        return (float, value.hex())
    if type(value) is tuple:
        return (tuple, *map(static_key, value))
    return (type(value), value)


def class_key(value: Any, kind: str | None) -> Any:
    """What of one argument a compilation depends on: of a scalar its type, and being 0 or 1."""
    if getattr(value, "data_ptr", None) is not None:
        return (classify(value), fits_i32(value))
    if kind == "scalar" and value is not None:
        spec = scalar_spec(value)
        return (type(spec), spec)
    if kind == "dataclass" and hasattr(value, "__dataclass_fields__"):
        fields = field_kinds(type(value)).items()
        return (type(value), *(class_key(getattr(value, f), k or "dataclass") for f, k in fields))
    return static_key(value)


def fits_i32(tensor: Any) -> bool:
    """Whether every offset of `tensor`, a tile beyond its end included, fits 31 bits."""
    return byte_span(tensor) < 2**31 - 2**24 and all(e < 2**30 for e in tensor.shape)


def watch_globals(function: Callable[..., Any]) -> tuple[tuple[dict[str, Any], str, Any], ...]:
    """The globals that `function` names, and that its inline functions name, with their values."""
    found: list[tuple[dict[str, Any], str, Any]] = []
    waiting: list[Any] = [function]
    seen: set[Any] = set()
    while waiting:
        one = waiting.pop()
        seen.add(one)
        space = one.__globals__
        for name in _global_names(one.__code__):
            value = space.get(name)
            inner = getattr(value, "function", None) if isinstance(value, InlineFunction) else None
            if inner is not None and inner not in seen:
                waiting.append(inner)
            if name in space and not isinstance(value, ModuleType):
                found.append((space, name, value))
    return tuple(found)


def _global_names(code: CodeType) -> set[str]:
    """The globals that `code` and the functions inside it read; attributes are none."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = (held for held in code.co_consts if isinstance(held, CodeType))
    return names.union(*map(_global_names, inner))
