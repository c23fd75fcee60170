"""What a name can stand for while a kernel is captured.

Either an SSA `Value`, or a *static*: a Python number, dtype, string, None, tuple, `@tw.inline`
function, … known while compiling. Tuples and records may hold both. A name is bound to such a
thing together with the place that assigned it, or it is `Missing` with the reason.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.frontend.annotations import InlineFunction
from tilewright.ir.diagnostics import Location, TilewrightError
from tilewright.ir.printer import print_type
from tilewright.ir.types import DType
from tilewright.ir.values import Value

Number = bool | int | float


@dataclass(frozen=True)
class Binding:
    """What a name stands for, and where it was assigned."""

    held: Any
    location: Location | None


@dataclass(frozen=True)
class Missing:
    """A name that cannot be read here; `error` makes the error that says why."""

    error: Callable[[], TilewrightError]


Names = dict[str, Binding | Missing]


@dataclass(frozen=True)
class Record:
    """A dataclass argument: its fields by name."""

    name: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Extents:
    """`t.shape`, whose scalars are made when they are asked for."""

    tensor: Value
    rank: int


@dataclass(frozen=True)
class Method:
    """`x.name`, not called yet; `member` is its declaration in `frontend.annotations`."""

    owner: Value
    member: Callable[..., Any]


@dataclass(frozen=True)
class DynamicRange:
    """What `tw.range` gives: the bounds and options of a loop of the kernel."""

    low: Any
    high: Any
    step: Any
    stages: int = 1
    exactly: bool = False
    unroll: int = 1


@dataclass(frozen=True)
class Exactly:
    """What `tw.exactly` gives."""

    stages: int


@dataclass(frozen=True)
class RoleHead:
    """What `tw.role` gives."""

    name: str
    warps: int
    registers: int


class Flow(enum.Enum):
    """How a list of statements ended."""

    NEXT = "goes on"
    LEFT = "ended by a terminator of the IR"
    BREAK = "break of an unrolled loop"
    CONTINUE = "continue of an unrolled loop"
    RETURN = "return"


def is_number(held: Any) -> bool:
    """Whether `held` is a static number."""
    return isinstance(held, (bool, int, float))


def is_static(held: Any) -> bool:
    """Whether `held` is known while compiling, through and through."""
    if isinstance(held, tuple):
        return all(is_static(h) for h in held)
    return not isinstance(held, (Value, Extents, Record, Method))


def leaves(held: Any) -> Iterator[Any]:
    """The things that a (nested) tuple holds, in order; anything else is one leaf."""
    if isinstance(held, tuple):
        for item in held:
            yield from leaves(item)
    else:
        yield held


def fill(held: Any, found: Sequence[Any]) -> Any:
    """`held` with its leaves replaced by `found`; the inverse of `leaves`."""
    rest = iter(found)

    def put(item: Any) -> Any:
        return tuple(put(i) for i in item) if isinstance(item, tuple) else next(rest)

    return put(held)


def same_form(left: Any, right: Any) -> bool:
    """Whether two things are tuples of one form, whatever their leaves."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same_form, left, right))
    return not isinstance(left, tuple) and not isinstance(right, tuple)


def describe(held: Any) -> str:
    """`held` in an error: a value by its type, a static by what it is."""
    match held:
        case Value():
            return print_type(held.type)
        case tuple():
            return "(" + ", ".join(map(describe, held)) + ")"
        case bool() | int() | float() | str() | None:
            return repr(held)
        case DType():
            return f"dtype {held.name}"
        case InlineFunction():
            return f"function {held.function.__name__}"
        case Record():
            return f"dataclass argument {held.name}"
        case Extents():
            return f"the shape of {held.tensor.name or 'a tensor'}"
        case Method():
            return f"method {held.member.__name__}, not called"
        case _:
            return f"a {type(held).__name__}"


def label(value: Value) -> str:
    """A value in an error: the user's name for it and its type."""
    return f"{value.name}: {describe(value)}" if value.name else describe(value)
