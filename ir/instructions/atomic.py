"""Atomics on global memory, and signals between blocks."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from tilewright.ir.diagnostics import TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    Action,
    Effect,
    Instruction,
    attribute,
    instruction,
    operand,
    operands,
)
from tilewright.ir.instructions.memory import check_index
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array
from tilewright.ir.values import Type, Value

ATOMICS = (
    "atomic.add",
    "atomic.max",
    "atomic.min",
    "atomic.or",
    "atomic.and",
    "atomic.exchange",
)

ORDERS: dict[str, tuple[Action, ...]] = {
    "relaxed": (),
    "acquire": ("wait",),
    "release": ("arrive",),
    "acq_rel": ("arrive", "wait"),
}


@instruction("atomic", phases=ANY, ops=ATOMICS)
class Atomic(Instruction):
    """result[i] = tensor[index[i]]; tensor[index[i]] = op(result[i], value[i]), indivisibly.

    Indices and value are tiles of one shape, or scalars: then it happens once per block. Elements
    that `mask` excludes or that lie outside the view do nothing and give 0. `order` is relaxed,
    acquire, release or acq_rel, at device scope: it orders the block's accesses to all tensors.
    """

    op: str
    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    value: Value = operand()
    mask: Value | None = operand(default=None)
    order: str = attribute(default="relaxed")

    def result(self) -> tuple[Type, ...]:
        return (self.value.type,)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("atomic", self.tensor), *(Effect(o, None) for o in ORDERS[self.order]))

    def check(self) -> None:
        check_index(self.tensor, self.index)
        if self.order not in ORDERS:
            raise TypeMismatch(f"order={self.order}", f"choose one of {', '.join(ORDERS)}")

    def meaning(
        self, tensor: TensorView, index: tuple[Array, ...], value: Array, mask: Array | None
    ) -> Array:
        return tensor.update(self.op.removeprefix("atomic."), index, np.asarray(value), mask)


@instruction("signal", phases=ANY)
class Signal(Instruction):
    """Adds `value` to tensor[index] with release order at device scope."""

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    value: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("atomic", self.tensor), Effect("arrive", self.tensor))

    def meaning(self, tensor: TensorView, index: tuple[Array, ...], value: Array) -> None:
        tensor.update("add", index, np.asarray(value), None)


@instruction("signal.wait", phases=ANY, blocks=True)
class SignalWait(Instruction):
    """Waits until tensor[index] >= value with acquire order at device scope."""

    tensor: Value = operand()
    index: tuple[Value, ...] = operands()
    value: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("wait", self.tensor), Effect("atomic", self.tensor))

    def meaning(
        self, machine: object, tensor: TensorView, index: tuple[Array, ...], value: Array
    ) -> Generator[str, None, None]:
        while tensor.read(index, np.asarray(0)) < value:
            yield f"signal >= {int(value)}"
