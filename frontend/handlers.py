"""The table from names of the language to what capture does for them.

A handler takes the context and the parameters of the name it implements, by name, bound and
defaulted by that name's own signature. `frontend.functions` fills the table, one file per family.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tilewright.frontend.annotations import Barrier, Buffer, Scalar, Tensor, Tile
from tilewright.frontend.context import Context
from tilewright.frontend.outside import unknown
from tilewright.frontend.values import Method, describe
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.values import (
    BarrierType,
    BufferType,
    ScalarType,
    TensorType,
    TileType,
    Value,
)

H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handler:
    """What one name does, and its signature for users."""

    run: Callable[..., Any]
    signature: inspect.Signature


HANDLERS: dict[Any, Handler] = {}

MEMBERS: dict[type, Any] = {
    TileType: Tile,
    ScalarType: Scalar,
    TensorType: Tensor,
    BufferType: Buffer,
    BarrierType: Barrier,
}
"""The declaration of what values of a type can do."""


def implement(*names: Any) -> Callable[[H], H]:
    """Register a function as the handler of language names, methods, or properties."""

    def register(run: H) -> H:
        for name in names:
            member: Any = name.fget if isinstance(name, property) else name
            HANDLERS[member] = Handler(run, inspect.signature(member))
        return run

    return register


def call_handler(
    c: Context, member: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call what implements `member`; a call that does not fit its signature is an error."""
    handler = HANDLERS[member]
    try:
        bound = handler.signature.bind(*args, **kwargs)
    except TypeError as error:
        shown = _plain(handler.signature)
        raise LanguageError(f"{name}: {error}", f"its signature is {name}{shown}") from None
    bound.apply_defaults()
    return handler.run(c, **bound.arguments)


def _plain(signature: inspect.Signature) -> str:
    """A signature as users call it: no annotations, no `self`."""
    bare = [p.replace(annotation=p.empty) for n, p in signature.parameters.items() if n != "self"]
    return str(inspect.Signature(bare))


def value_attribute(c: Context, value: Value, name: str) -> Any:
    """`value.name`: a property's value, or a method that waits for its call."""
    declared = MEMBERS.get(type(value.type))
    member = None if declared is None else inspect.getattr_static(declared, name, None)
    if member is None or name.startswith("_"):
        known = [n for n in vars(declared or object) if not n.startswith("_")]
        if isinstance(value.type, TensorType) and not name.startswith("_") and hasattr(Tile, name):
            raise LanguageError(
                f"{value.name or 'a tensor'} is a tensor, and tiles have {name}",
                f"load one: tw.load({value.name or 'tensor'}, offsets, shape).{name}",
            )
        raise unknown(f"{describe(value)} has no {name}", name, known)
    if isinstance(member, property):
        return HANDLERS[member.fget].run(c, value)
    return Method(value, member)
