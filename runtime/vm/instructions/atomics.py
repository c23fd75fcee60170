"""atom and red on global and shared memory, all operations and types.

Lanes that meet at one address act one after another in lane order. Where only the final value
matters NumPy's `at` does that; where each lane needs the value it found, lanes are taken in rounds,
one per address and round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts, space_name
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.instructions.floats import flush
from tilewright.runtime.vm.instructions.halves import narrow_half, widen
from tilewright.runtime.vm.instructions.loads import access_kind, bind_put
from tilewright.runtime.vm.memory import UNITS, Array, any_of
from tilewright.runtime.vm.records import BITS, Address, Instruction, Register, Vector

Combine = Callable[[Array, list[Array]], Array]
_OPERATIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas")
_TINY = np.float32(2.0**-126)
_AT: dict[str, Any] = {
    "add": np.add, "min": np.minimum, "max": np.maximum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip


def combiner(operation: str, kind: str) -> Combine:
    """`combine(old, operands) -> new` on typed arrays."""
    if kind.startswith(("f16", "bf16")):
        return partial(_combine_halves, operation, kind.removesuffix("x2"))
    table: dict[str, Combine] = {
        "exch": lambda old, v: v[0],
        "cas": lambda old, v: np.where(old == v[0], v[1], old),
        "inc": lambda old, v: np.where(old >= v[0], np.zeros_like(old), old + np.ones_like(old)),
        "dec": lambda old, v: np.where((old == 0) | (old > v[0]), v[0], old - np.ones_like(old)),
    }
    if operation == "cas" and kind == "b128":
        return _swap_wide
    if operation in table:
        return table[operation]
    ufunc = _AT[operation]
    if kind in ("f32", "f64") and operation in ("min", "max"):
        ufunc = np.fmin if operation == "min" else np.fmax
    return lambda old, v: np.asarray(ufunc(old, v[0]))


def _swap_wide(old: Array, values: list[Array]) -> Array:
    """cas.b128: 16 opaque bytes are compared as bits."""
    found, wanted = (
        np.ascontiguousarray(x).view(np.uint64).reshape(-1, 2) for x in (old, values[0])
    )
    return np.where((found == wanted).all(axis=1), values[1], old)


def _flushing_add(old: Array, values: list[Array]) -> Array:
    """add.f32 in global memory: subnormal inputs and results are zero."""
    return flush(flush(old) + flush(values[0]))


def _add_flushing(view: Array, units: Array, values: Array) -> None:
    """red.add.f32 in global memory: at once where nothing is subnormal, else in rounds."""
    before = view[units]
    np.add.at(view, units, values)
    touched = np.concatenate((before, values, view[units]))
    if any_of((np.abs(touched) < _TINY) & (touched != 0)):
        view[units] = before
        apply(view, units, [values], _flushing_add)


def _combine_halves(operation: str, kind: str, old: Array, values: list[Array]) -> Array:
    a, b = (widen(np.ascontiguousarray(x).view(DTYPES[kind]), kind) for x in (old, values[0]))
    ufunc: Any = {"add": np.add, "min": np.fmin, "max": np.fmax}[operation]
    return narrow_half(ufunc(a, b), kind).view(old.dtype)


def apply(
    view: Array, units: Array, values: list[Array], combine: Combine, at: Any = None
) -> Array | None:
    """Read-modify-write of `view[units]` in lane order; the old values, or None where `at` did
    it.
    """
    if at is not None:
        at.at(view, units, values[0])
        return None
    if len(units) == 1 or len(np.unique(units)) == len(units):
        old = view[units]
        view[units] = combine(old, values)
        return old
    order = np.argsort(units, kind="stable")
    ordered = units[order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    start = np.maximum.accumulate(np.where(first, np.arange(len(units)), 0))
    rank = np.arange(len(units)) - start
    result = np.empty(len(units), view.dtype)
    for turn in range(int(rank.max()) + 1):
        lanes = order[rank == turn]
        old = view[units[lanes]]
        result[lanes] = old
        view[units[lanes]] = combine(old, [v[lanes] for v in values])
    return result


def _find_at(operation: str, kind: str) -> Any:
    """The ufunc whose `at` does the operation where nobody needs the values found; or None."""
    if kind.startswith(("f16", "bf16")) or np.dtype(DTYPES[kind]).kind not in "iuf":
        return None
    if kind in ("f32", "f64") and operation != "add":  # NumPy's min and max keep NaN
        return None
    return _AT.get(operation)


def _bind(ins: Instruction, frame: Frame) -> Any:
    is_red = ins.opcode == "red"
    if "async" in ins.mods:
        raise Fault("unsupported", f"instruction {ins.name}")
    operands = list(ins.operands)
    target = None if is_red else operands.pop(0)
    address, *sources = operands
    assert isinstance(address, Address)
    kind = access_kind(ins)
    operation = next(m for m in ins.mods if m in _OPERATIONS)
    sources = sources[: 2 if operation == "cas" else 1]  # what follows is a cache policy
    if isinstance(sources[0], Vector):
        return _bind_vector(ins, frame, target, address, sources[0])
    size = BITS[kind] // 8
    dtype = DTYPES[kind]
    values = [frame.read(source, kind) for source in sources]
    parts = bind_parts(frame, address, space_name(ins))
    combine = combiner(operation, kind)
    at = None if isinstance(target, Register) else _find_at(operation, kind)
    flushing = operation == "add" and kind == "f32"
    put = bind_put(frame, (target,), kind) if isinstance(target, Register) else None
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "atomic", size) if checks is not None else None
    gang = frame.gang

    def step(mask: Array | None) -> None:
        gang.polled = True
        gang.events += operation != "cas"
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            view = part.memory.views[size].view(dtype)
            units = (part.offsets if part.mask is None else part.offsets[part.mask]) // size
            chosen = values if part.mask is None else [v[part.mask] for v in values]
            if flushing and part.space == "global":
                if at is not None:
                    _add_flushing(view, units, chosen[0])
                    continue
                old = apply(view, units, chosen, _flushing_add)
            else:
                old = apply(view, units, chosen, combine, at)
            if operation == "cas" and old is not None:
                gang.events += size == 16 or bool((old == chosen[0]).any())
            if put is not None and old is not None:
                put(old.view(UNITS[size]), part.mask)

    return step


def _bind_vector(
    ins: Instruction, frame: Frame, target: Any, address: Address, source: Vector
) -> Any:
    """sm_90's `.v2`/`.v4`/`.v8` forms: element by element."""
    kind = access_kind(ins)
    size = BITS[kind] // 8
    dtype = DTYPES[kind]
    count = len(source.items)
    combine = combiner(next(m for m in ins.mods if m in _OPERATIONS), kind)
    values = [frame.read(item, kind) for item in source.items]
    parts = bind_parts(frame, address, space_name(ins))
    puts = (
        [bind_put(frame, (item,), kind) for item in target.items]
        if isinstance(target, Vector)
        else []
    )
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "atomic", size * count) if checks is not None else None

    def step(mask: Array | None) -> None:
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            view = part.memory.views[size].view(dtype)
            base = (part.offsets if part.mask is None else part.offsets[part.mask]) // size
            for index, value in enumerate(values):
                old = apply(
                    view, base + index, [value if part.mask is None else value[part.mask]], combine
                )
                if puts and old is not None:
                    puts[index](old.view(UNITS[size]), part.mask)

    return step


EFFECTS = {"atom": _bind, "red": _bind}
