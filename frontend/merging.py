"""How what a name stands for in several places becomes one thing.

Branches meet after an `if`, iterations meet at the head of a loop. Statics that are equal stay
static; numbers become scalars of the type they meet; values have one type. Tuples meet item by
item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tilewright.frontend.context import Context
from tilewright.frontend.operands import cast, default_dtype, embed, is_scalar
from tilewright.frontend.values import is_number, is_static
from tilewright.ir.diagnostics import TypeMismatch
from tilewright.ir.types import DType, bool_, f32, i32, i64
from tilewright.ir.values import PendingType, ScalarType, TileType, TokenType, Type, Value


@dataclass(frozen=True)
class Mismatch:
    """Two things that do not become one."""

    left: Any
    right: Any

    @property
    def same_type(self) -> bool:
        """Whether the two differ only in which tensor, buffer or barrier they are."""
        values = isinstance(self.left, Value) and isinstance(self.right, Value)
        return values and type(self.left.type) is type(self.right.type) and self._is_place()

    def _is_place(self) -> bool:
        return not isinstance(self.left.type, CARRIED)


CARRIED = (ScalarType, TileType, TokenType, PendingType)
"""What loops carry and branches give; tensors, buffers and barriers are places, fixed per name."""


def meet(left: Any, right: Any) -> Type | Mismatch | None:
    """The type that two leaves have together; None where they are the same static or value."""
    if left is right or (is_static(left) and is_static(right) and _equal(left, right)):
        return None
    if is_number(left) and is_number(right):
        return ScalarType(_number_dtype(left, right))
    for number, other in ((left, right), (right, left)):
        if is_number(number) and is_scalar(other):
            kind: ScalarType = other.type
            fits = kind.dtype.is_float or type(number) is not float
            return kind if fits else Mismatch(left, right)
    values = isinstance(left, Value) and isinstance(right, Value)
    if not values or not isinstance(left.type, CARRIED):
        return Mismatch(left, right)
    if _bare(left.type) == _bare(right.type):
        return left.type if left.type == right.type else _bare(left.type)
    if _shape(left.type) == _shape(right.type) and _dtypes(left.type, right.type) == {i32, i64}:
        return left.type if _dtypes(left.type) == {i64} else right.type
    return Mismatch(left, right)


def _shape(kind: Type) -> tuple[int, ...] | None:
    return kind.shape if isinstance(kind, TileType) else None


def _dtypes(*kinds: Type) -> set[DType | None]:
    return {getattr(kind, "dtype", None) for kind in kinds}


def _bare(kind: Type) -> Type:
    return kind.with_layout(None) if isinstance(kind, TileType) else kind


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _number_dtype(left: Any, right: Any) -> DType:
    if isinstance(left, float) or isinstance(right, float):
        return f32
    if isinstance(left, bool) and isinstance(right, bool):
        return bool_
    return i64 if i64 in (default_dtype(left), default_dtype(right)) else i32


def become(c: Context, held: Any, kind: Type) -> Value:
    """A leaf as a value of the type that `meet` gave."""
    if is_number(held):
        assert isinstance(kind, ScalarType)
        return embed(c, float(held) if kind.dtype.is_float else held, kind.dtype)
    assert isinstance(held, Value)
    return cast(c, held, kind.dtype) if isinstance(kind, (ScalarType, TileType)) else held


def undecided(name: str, held: Value) -> TypeMismatch:
    """The error for a name that would stand for one of two tensors or buffers."""
    kind = type(held.type).__name__.removesuffix("Type").lower()
    return TypeMismatch(
        f"{name} stands for one of two {kind}s, and which one is decided at run time",
        "decide an offset or a slot instead: x[slot] of one tensor or buffer",
    )
