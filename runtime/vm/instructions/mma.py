"""mma.sync: all warps of a cohort as one batched matrix product.

Operands are gathered straight out of the register file by precomputed element indices (registers ×
lanes × parts of a register). Neighbouring `mma` that do not feed each other could run one by one;
`bind_batch` runs them as one NumPy step, which is what makes matrix kernels fast here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions import fp8
from tilewright.runtime.vm.instructions.fragments import a_places, b_places, c_places
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Immediate, Instruction, Operand, Register, Vector
from tilewright.runtime.vm.rounding import directed_fma64

ELEMENT_BITS = {
    "f16": 16, "bf16": 16, "tf32": 32, "f64": 64, "s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1,
    "e4m3": 8, "e5m2": 8,
}  # fmt: skip

ACCUMULATORS: dict[str, tuple[int, int, Any]] = {
    "f32": (32, 1, np.float32),
    "s32": (32, 1, np.int32),
    "f16": (32, 2, np.float16),
    "f64": (64, 1, np.float64),
}
"""Of each accumulator type: the class of its registers, elements per register, NumPy type."""


@dataclass(frozen=True, slots=True)
class Form:
    """The shape and types of an mma instruction."""

    m: int
    n: int
    k: int
    d: str
    a: str
    b: str
    c: str
    saturates: bool
    operation: str
    products: int = 1
    mode: str = "rn"

    @property
    def flops(self) -> int:
        """Floating-point (or integer) operations per warp."""
        return 2 * self.m * self.n * self.k * self.products


def form_of(ins: Instruction) -> Form:
    """Reads shape and types from the modifiers."""
    shape = next(m for m in ins.mods if m.startswith("m") and "n" in m and "k" in m)
    m, rest = shape[1:].split("n")
    n, k = rest.split("k")
    types = [mod for mod in ins.mods if mod in ELEMENT_BITS or mod in ("f32", "s32")]
    if len(types) != 4 or int(n) != 8:
        raise Fault("unsupported", f"instruction {ins.name}")
    operation = next((mod for mod in ins.mods if mod in ("xor", "and")), "")
    d, a, b, c = types
    products = 4 if shape == "m8n8k4" and a == "f16" else 1
    saturates, mode = "satfinite" in ins.mods, rounding_of(ins)
    return Form(int(m), int(n), int(k), d, a, b, c, saturates, operation, products, mode)


def items_of(operand: Operand) -> tuple[Operand, ...]:
    return operand.items if isinstance(operand, Vector) else (operand,)


def _bases(frame: Frame, items: tuple[Operand, ...]) -> Array:
    """The first element of each register within its flattened register file."""
    rows = []
    for item in items:
        if not isinstance(item, Register):
            raise Fault("unsupported", "an mma operand that is no register")
        rows.append(frame.gang.program.rows[item.name][1])
    return np.array(rows, np.int64) * frame.gang.n + frame.low


def _indices(
    frame: Frame,
    items: tuple[Operand, ...],
    places: tuple[Array, Array],
    shape: tuple[int, int],
    per: int,
) -> Array:
    """Flat element indices (warps, rows, columns) of a fragment; `per` elements share a
    register.
    """
    row, column = places
    lanes, elements = np.broadcast_shapes(row.shape, column.shape)
    i = np.arange(elements)
    within = (_bases(frame, items)[i // per][None, :] + np.arange(lanes)[:, None]) * per + i % per
    table = np.empty(shape, np.int64)
    table[np.broadcast_to(row, within.shape), np.broadcast_to(column, within.shape)] = within
    return table[None] + (np.arange(frame.warps) * 32 * per)[:, None, None]


def _flat(frame: Frame, bits: int, dtype: Any) -> Array:
    flat: Array = frame.gang.files[bits].reshape(-1).view(dtype)
    return flat


def bind_reader(
    frame: Frame,
    items: tuple[Operand, ...],
    places: tuple[Array, Array],
    shape: tuple[int, int],
    kind: str,
) -> Any:
    """`read()`: an operand as float matrices (warps, rows, columns), exact in f32 (f64 for f64)."""
    if kind == "f64":
        index = _indices(frame, items, places, shape, 1)
        doubles = _flat(frame, 64, np.float64)
        return lambda: doubles.take(index)
    if kind in ("f16", "bf16"):
        index = _indices(frame, items, places, shape, 2)
        if kind == "f16":
            halves = _flat(frame, 32, np.float16)
            return lambda: halves.take(index).astype(np.float32)
        flat16 = _flat(frame, 32, np.uint16)
        wide = np.zeros((*index.shape, 2), np.uint16)
        target: Array = wide.view(np.float32)[..., 0]

        def read_bf16() -> Array:
            wide[..., 1] = flat16.take(index)
            return target

        return read_bf16
    if kind == "tf32":
        index = _indices(frame, items, places, shape, 1)
        flat32 = _flat(frame, 32, np.uint32)
        return lambda: (flat32.take(index) & np.uint32(0xFFFFE000)).view(np.float32)
    return _bind_small(frame, items, places, shape, kind)


def _bind_small(
    frame: Frame,
    items: tuple[Operand, ...],
    places: tuple[Array, Array],
    shape: tuple[int, int],
    kind: str,
) -> Any:
    bits = ELEMENT_BITS[kind]
    per = 32 // bits
    index = _indices(frame, items, places, shape, per)
    if bits == 8:
        flat8 = _flat(frame, 32, np.int8 if kind == "s8" else np.uint8)
        if kind in ("e4m3", "e5m2"):
            table = fp8.table(kind)
            return lambda: table[flat8.take(index)]
        return lambda: flat8.take(index).astype(np.float32)
    words, shift = index // per, (index % per * bits).astype(np.uint32)
    flat32 = _flat(frame, 32, np.uint32)
    top = np.uint32((1 << bits) - 1)

    def read() -> Array:
        value = (flat32.take(words) >> shift & top).astype(np.int32)
        if kind == "s4":
            value = (value ^ 8) - 8
        return value.astype(np.float32)

    return read


def bind_accumulator(
    frame: Frame,
    items: tuple[Operand, ...],
    places: tuple[Array, Array],
    shape: tuple[int, int],
    kind: str,
) -> Any:
    """`read()`: the addend; constants must be zero."""
    if all(isinstance(item, Immediate) for item in items):
        zeros = np.zeros((frame.warps, *shape), np.float32)
        return lambda: zeros
    bits, per, dtype = ACCUMULATORS[kind]
    index = _indices(frame, items, places, shape, per)
    flat = _flat(frame, bits, dtype)
    if kind == "f16":
        return lambda: flat.take(index).astype(np.float32)
    return lambda: flat.take(index)


def bind_result(
    frame: Frame,
    items: tuple[Operand, ...],
    places: tuple[Array, Array],
    shape: tuple[int, int],
    kind: str,
) -> Any:
    """`write(value, warps)`: matrices into the registers of some warps (None: all)."""
    bits, per, dtype = ACCUMULATORS[kind]
    index = _indices(frame, items, places, shape, per)
    flat = _flat(frame, bits, dtype)

    def write(value: Array, warps: Any) -> None:
        if warps is None:
            flat[index] = value
        else:
            flat[index[warps]] = value[warps]

    return write


def bind_dense(ins: Instruction, frame: Frame) -> Any:
    """The step of an `mma` with a dense A and one product per warp."""
    form = form_of(ins)
    d, a, b, c = (items_of(operand) for operand in ins.operands[:4])
    read_a = bind_reader(
        frame, a, a_places(form.m, form.k, ELEMENT_BITS[form.a]), (form.m, form.k), form.a
    )
    read_b = bind_reader(
        frame, b, b_places(form.k, form.n, ELEMENT_BITS[form.b]), (form.k, form.n), form.b
    )
    shape = (form.m, form.n)
    read_c = bind_accumulator(frame, c, c_places(*shape), shape, form.c)
    write = bind_result(frame, d, c_places(*shape), shape, form.d)
    members = bind_members(ins, frame, None)

    def step(mask: Array | None) -> None:
        members(mask)
        warps = None if mask is None else np.flatnonzero(mask.reshape(-1, 32)[:, 0])
        write(multiply_add(form, read_a(), read_b(), read_c()), warps)

    return step


def rounding_of(ins: Instruction) -> str:
    """The direction in which products of f64 round."""
    return next((mod for mod in ins.mods if mod in ("rz", "rm", "rp")), "rn")


def multiply_add(form: Form, a: Array, b: Array, c: Array) -> Array:
    """A · B + C in the accumulator's type."""
    if form.mode == "rn":
        return accumulate(form, multiply(form, a, b), c)
    total = c
    for k in range(form.k):  # directed rounding: one fused multiply-add after another
        terms = np.broadcast_arrays(a[:, :, k, None], b[:, k, None, :], total)
        x, y, z = (np.ascontiguousarray(term).reshape(-1) for term in terms)
        total = directed_fma64(x, y, z, form.mode).reshape(c.shape)
    return total


def multiply(form: Form, a: Array, b: Array) -> Array:
    """A · B; for single bits the number of ones of xor or and."""
    if form.operation == "xor":  # popc(x ^ y) = x + y - 2xy
        ones: Array = a.sum(axis=2)[:, :, None] + b.sum(axis=1)[:, None, :]
        both: Array = np.matmul(a, b)
        differing: Array = ones - 2 * both
        return differing
    product: Array = np.matmul(a, b)
    return product


def accumulate(form: Form, product: Array, c: Array) -> Array:
    """Adds C in the accumulator's type."""
    if form.d != "s32":
        return product + c
    total = product.astype(np.int64) + c.astype(np.int64)
    if form.saturates:
        return np.clip(total, -(1 << 31), (1 << 31) - 1).astype(np.int32)
    return total.astype(np.int32)
