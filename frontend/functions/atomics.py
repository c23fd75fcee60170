"""Atomics and signals between blocks."""

from __future__ import annotations

from typing import Any

from tilewright.frontend import language
from tilewright.frontend.context import Context
from tilewright.frontend.functions.memory import fit_values, to_mask, to_places, to_tensor
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import to_scalar
from tilewright.frontend.values import describe
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.instructions.atomic import Atomic, Signal, SignalWait
from tilewright.ir.values import Value, element_type, shape_of

ORDERS = ("relaxed", "acquire", "release", "acq_rel")
OPERATIONS = {
    "add": language.atomic_add,
    "max": language.atomic_max,
    "min": language.atomic_min,
    "or": language.atomic_or,
    "and": language.atomic_and,
    "exchange": language.atomic_exchange,
}


def _implement(op: str) -> None:
    @implement(OPERATIONS[op])
    def run(c: Context, tensor: Any, index: Any, value: Any, mask: Any, order: Any) -> Value:
        return _atomic(c, op, tensor, index, value, mask, order)


def _atomic(
    c: Context, op: str, tensor: Any, index: Any, value: Any, mask: Any, order: Any
) -> Value:
    target = to_tensor(tensor, f"tw.atomic_{op} changes")
    if order not in ORDERS:
        raise LanguageError(f"order={describe(order)} is unknown", f"choose of {', '.join(ORDERS)}")
    if op in ("or", "and") and not element_type(target).is_integer:
        raise TypeMismatch(f"atomic_{op} of {element_type(target).name}: it wants integers")
    made, places = fit_values(c, target, to_places(c, target, index), value)
    holds = to_mask(c, mask, shape_of(made))
    return c.emit(
        Atomic(op=f"atomic.{op}", tensor=target, index=places, value=made, mask=holds, order=order)
    )


for _op in OPERATIONS:
    _implement(_op)


@implement(language.signal)
def _signal(c: Context, tensor: Any, index: Any, value: Any) -> None:
    target = to_tensor(tensor, "tw.signal adds to")
    places, made = _one_place(c, target, index, value)
    c.emit_all(Signal(tensor=target, index=places, value=made))


@implement(language.wait_signal)
def _wait_signal(c: Context, tensor: Any, index: Any, value: Any) -> None:
    target = to_tensor(tensor, "tw.wait_signal reads")
    places, made = _one_place(c, target, index, value)
    c.emit_all(SignalWait(tensor=target, index=places, value=made))


def _one_place(
    c: Context, tensor: Value, index: Any, value: Any
) -> tuple[tuple[Value, ...], Value]:
    places = to_places(c, tensor, index)
    made, places = fit_values(c, tensor, places, to_scalar(c, value, element_type(tensor)))
    if shape_of(made):
        raise TypeMismatch("a signal has one place", "give scalar indices")
    return places, made
