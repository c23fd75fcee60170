"""What a kernel may see from outside: constants, dtypes, modules, inline functions, pure builtins.

Everything else (tensors, open files, plain functions) is refused by name. `source_key` and
`static_key` say in one hash what a capture depends on besides its arguments.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import difflib
import enum
import hashlib
import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import InlineFunction
from tilewright.frontend.source import Source, read_source
from tilewright.frontend.values import describe
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.layout import Layout
from tilewright.ir.types import DType

PURE: dict[Any, str] = {
    getattr(builtins, name): name
    for name in "abs all any bool divmod enumerate float int isinstance len list max min pow range "
    "reversed round sorted str sum tuple zip".split()
}
"""Python's own functions that run while compiling, on statics."""
PURE.update({f: f"math.{n}" for n, f in vars(math).items() if callable(f)})

LANGUAGE: dict[Any, str] = {
    getattr(language, name): name
    for name in language.__all__
    if callable(getattr(language, name)) and not isinstance(getattr(language, name), type)
}
"""The functions of the language and their names."""


def admit(found: Any, name: str) -> Any:
    """`found`, which the kernel calls `name`, as a static; LanguageError if it cannot be one."""
    if hasattr(found, "item") and getattr(found, "shape", None) == () and callable(found.item):
        found = found.item() if type(found).__module__ == "numpy" else found
    if isinstance(found, list):
        found = tuple(found)
    if isinstance(found, tuple) and type(found) is tuple:
        return tuple(admit(f, name) for f in found)
    if _is_static(found):
        return found
    if callable(found) and not isinstance(found, type):
        raise LanguageError(
            f"{name} is a Python function, and kernels run none", _advise(found, name)
        )
    kind = type(found)
    raise LanguageError(
        f"{name} is a {kind.__module__.partition('.')[0]}.{kind.__name__} from outside the kernel",
        "a kernel sees numbers, strings, dtypes, tuples and @tw.inline functions of its "
        "surroundings; pass everything else as an argument",
    )


def _advise(function: Callable[..., Any], name: str) -> str:
    """What to do instead of calling `function`."""
    home = (getattr(function, "__module__", None) or "").partition(".")[0]
    if hasattr(function, "__code__") and home not in ("torch", "numpy"):
        return "decorate it with @tw.inline: its body becomes part of the kernel"
    if name in LANGUAGE.values():
        return f"use tw.{name}"
    return "compute it before the launch, and pass it as an argument"


def _is_static(found: Any) -> bool:
    plain = (bool, int, float, str, DType, Layout, ModuleType, InlineFunction, enum.Enum, range)
    if found is None or isinstance(found, plain):
        return True
    if isinstance(found, type):
        enums = issubclass(found, enum.Enum)
        return enums or found in PURE or found is DType or dataclasses.is_dataclass(found)
    if dataclasses.is_dataclass(found):
        return True
    try:
        return found in PURE or found in LANGUAGE or found is Ellipsis or isinstance(found, slice)
    except TypeError:  # not hashable
        return False


def find_outside(source: Source, name: str) -> Any:
    """What `name` means around the function of `source`."""
    if name not in source.outside:
        raise unknown(f"{name} is not defined", name, source.outside)
    return admit(source.outside[name], name)


def static_attribute(held: Any, name: str) -> Any:
    """`held.name` of a module, dtype, enum or dataclass."""
    try:
        found = getattr(held, name)
    except AttributeError:
        what = held.__name__ if isinstance(held, ModuleType) else describe(held)
        raise unknown(f"{what} has no {name}", name, dir(held)) from None
    if callable(found) and isinstance(held, (str, int, float, tuple, DType)):
        raise LanguageError(f"the method {name} of {held!r} does not run in a kernel")
    return admit(found, name)


def unknown(message: str, name: str, known: Iterable[str]) -> LanguageError:
    """The error for an unknown name, with the nearest known one as its hint."""
    near = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1)
    return LanguageError(message, f"did you mean {near[0]}?" if near else None)


def source_key(function: Callable[..., Any]) -> str:
    """A hash of all that capturing `function` reads: its source, constants, inline functions."""
    digest = hashlib.sha256()
    for text in _describe(function, set()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def static_key(held: Any) -> str:
    """A text that is equal for two static arguments exactly if kernels made with them are equal."""
    return "\0".join(_describe_static(held, set()))


def _describe(function: Callable[..., Any], seen: set[Any]) -> list[str]:
    if function in seen:
        return [f"again {function.__qualname__}"]
    seen.add(function)
    source = read_source(function)
    texts = ["".join(source.lines), repr(function.__defaults__), repr(function.__kwdefaults__)]
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            found = _resolve(source, node)
            if found is not _NOTHING and not isinstance(found, ModuleType):
                texts.append(f"{ast.unparse(node)} =")
                texts.extend(_describe_static(found, seen))
    return texts


_NOTHING = object()


def _resolve(source: Source, node: ast.expr) -> Any:
    """The outside object that a name or a chain of module attributes means, if it is one."""
    if isinstance(node, ast.Name) and node.id not in source.liveness.local:
        return source.outside.get(node.id, _NOTHING)
    if isinstance(node, ast.Attribute):
        owner = _resolve(source, node.value)
        if isinstance(owner, ModuleType):
            return getattr(owner, node.attr, _NOTHING)
    return _NOTHING


def _describe_static(held: Any, seen: set[Any]) -> list[str]:
    match held:
        case InlineFunction():
            return _describe(held.function, seen)
        case tuple() | list():
            return ["(", *(text for h in held for text in _describe_static(h, seen)), ")"]
        case None | bool() | int() | float() | str() | DType() | Layout():
            return [f"{type(held).__name__} {held!r}"]
        case type():
            return [f"type {held.__qualname__}"]
        case _ if dataclasses.is_dataclass(held):
            fields = [(f.name, getattr(held, f.name)) for f in dataclasses.fields(held)]
            texts = [t for n, v in fields for t in (n, *_describe_static(v, seen))]
            return [type(held).__qualname__, *texts]
        case enum.Enum():
            return [str(held), repr(held.value)]
        case _:
            return [getattr(held, "__qualname__", type(held).__qualname__)]
