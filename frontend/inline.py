"""Calls of `@tw.inline` functions: their body is captured here, in a scope of its own."""

from __future__ import annotations

import inspect
from typing import Any

from tilewright.frontend.annotations import InlineFunction
from tilewright.frontend.context import Context, Frame
from tilewright.frontend.outside import admit
from tilewright.frontend.source import read_source
from tilewright.frontend.statements import RETURNED, execute
from tilewright.frontend.values import Binding, Missing, Names
from tilewright.ir.diagnostics import LanguageError, TilewrightError


def call_inline(
    c: Context, callee: InlineFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Capture the body of `callee` for these arguments; gives what it returns, or None."""
    source = read_source(callee.function)
    if any(frame.source is source for frame in c.frames):
        chain = [f.source.name for f in c.frames] + [source.name]
        raise LanguageError(
            f"{source.name} calls itself: {' → '.join(chain)}",
            "an inline function becomes part of its caller: write a loop",
        )
    frame = Frame(source, _bind(callee, args, kwargs), c.builder)
    outer, node, targets = c.frame, c.node, c.targets
    place = c.place
    c.frame = frame
    c.frames.append(frame)
    try:
        execute(c, source.tree.body)
        return _returned(frame)
    except TilewrightError as error:
        if error.location is not None and place is not None and error.location != place:
            error.add_note(f"in {source.name}, called at {place}")
        raise
    finally:
        c.frames.pop()
        c.frame, c.node, c.targets = outer, node, targets


def _bind(callee: InlineFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Names:
    signature = inspect.signature(callee.function)
    name = callee.function.__name__
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise LanguageError(f"{name}: {error}") from None
    names: Names = {}
    for parameter in signature.parameters.values():
        if parameter.name in bound.arguments:
            held = bound.arguments[parameter.name]
        else:
            held = admit(parameter.default, parameter.name)
        names[parameter.name] = Binding(held, None)
    return names


def _returned(frame: Frame) -> Any:
    found = frame.names.get(RETURNED)
    if isinstance(found, Missing):
        raise found.error()
    return None if found is None else found.held
