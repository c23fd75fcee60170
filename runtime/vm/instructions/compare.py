"""setp, set, selp, slct."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.instructions.floats import flush
from tilewright.runtime.vm.instructions.halves import widen
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

_ORDERED: dict[str, Any] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
_COMBINE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
_FLOATS = ("f16", "bf16", "f32", "f64", "f16x2", "bf16x2")


def comparison(name: str, kind: str) -> Callable[..., Any]:
    """The comparison as `(a, b, out)`; unordered forms (`equ`, …, `nan`, `num`) take NaN as
    true.
    """
    is_float = kind in _FLOATS
    if name in _ORDERED:
        if name == "ne" and is_float:
            return lambda a, b, out: np.logical_and(a != b, ~(np.isnan(a) | np.isnan(b)), out)
        found: Callable[..., Any] = _ORDERED[name]
        return found
    if name == "num":
        return lambda a, b, out: np.logical_not(np.isnan(a) | np.isnan(b), out)
    if name == "nan":
        return lambda a, b, out: np.logical_or(np.isnan(a), np.isnan(b), out)
    ordered = _ORDERED[name[:-1]]
    return lambda a, b, out: np.logical_or(ordered(a, b), np.isnan(a) | np.isnan(b), out)


def _operands(ins: Instruction, frame: Frame, kind: str) -> Callable[[], list[Array]]:
    """The two sources as comparable arrays; halves are widened at run time."""
    sources = [frame.read(o, kind) for o in ins.operands[1:3]]
    if kind in ("f16", "bf16"):
        return lambda: [widen(x, kind) for x in sources]
    if kind == "f32" and "ftz" in ins.mods:
        return lambda: [flush(x) for x in sources]
    return lambda: sources


def _setp(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    if kind in ("f16x2", "bf16x2"):
        return _setp_pair(ins, frame, out)
    compare = comparison(ins.mods[0], kind)
    combine = next((_COMBINE[m] for m in ins.mods if m in _COMBINE), None)
    if combine is None and len(out) == 1 and kind not in ("f16", "bf16") and "ftz" not in ins.mods:
        a, b = (frame.read(o, kind) for o in ins.operands[1:3])
        return partial(compare, a, b, out[0])
    read = _operands(ins, frame, kind)
    extra, inverted = frame.predicate(ins.operands[3]) if combine is not None else (None, False)
    found = frame.scratch(np.bool_, "setp")

    def run() -> None:
        compare(*read(), found)
        second = None if extra is None else (~extra if inverted else extra.copy())
        if combine is None or second is None:
            np.copyto(out[0], found)
        else:
            combine(found, second, out[0])
        if len(out) > 1:
            np.logical_not(found, out[1])
            if combine is not None and second is not None:
                combine(out[1], second, out[1])

    return run


def _setp_pair(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """setp.f16x2: one predicate for each half."""
    combine = _bind_combination(ins, frame)
    kind = ins.mods[-1][:-2]
    compare = comparison(ins.mods[0], kind)
    halves = [frame.read(o, "b32").view(np.uint16) for o in ins.operands[1:3]]

    def run() -> None:
        a, b = (widen(h.view(DTYPES[kind]), kind) for h in halves)
        results = []
        for part in range(min(2, len(out))):
            found = np.empty(frame.n, np.bool_)
            compare(a[part::2], b[part::2], found)
            results.append(combine(found))
        for row, result in zip(out, results, strict=False):
            np.copyto(row, result)

    return run


def _bind_combination(ins: Instruction, frame: Frame) -> Callable[[Array], Array]:
    """What `.and`, `.or` or `.xor` with a fourth operand makes of a comparison's result."""
    function = next((_COMBINE[m] for m in ins.mods if m in _COMBINE), None)
    if function is None:
        return lambda found: found
    extra, inverted = frame.predicate(ins.operands[3])
    return lambda found: np.asarray(function(found, ~extra if inverted else extra))


def _set(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """set.cmp.dtype.stype: all ones or 1.0 where true."""
    kind = ins.mods[-1]
    target_kind = ins.mods[-2]
    if kind in ("f16x2", "bf16x2"):
        return _set_pair(ins, frame, out)
    compare = comparison(ins.mods[0], kind)
    read, found = _operands(ins, frame, kind), frame.scratch(np.bool_, "set")
    combine = _bind_combination(ins, frame)
    ones: Any = {"f32": 0x3F800000, "f16": 0x3C00, "bf16": 0x3F80}.get(target_kind, -1)
    true = np.array(ones).astype(out[0].dtype)

    def run() -> None:
        compare(*read(), found)
        np.copyto(out[0], np.where(combine(found), true, out[0].dtype.type(0)))

    return run


def _set_pair(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1][:-2]
    compare = comparison(ins.mods[0], kind)
    halves = [frame.read(o, "b32").view(np.uint16) for o in ins.operands[1:3]]
    true = {"f16x2": 0x3C00, "bf16x2": 0x3F80}.get(ins.mods[-2], 0xFFFF)
    combine = _bind_combination(ins, frame)

    def run() -> None:
        a, b = (widen(h.view(DTYPES[kind]), kind) for h in halves)
        found = np.empty(len(a), np.bool_)
        compare(a, b, found)
        for part in range(2):
            found[part::2] = combine(found[part::2])
        np.copyto(out[0].view(np.uint16), np.where(found, np.uint16(true), np.uint16(0)))

    return run


def _selp(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    seen = f"b{out[0].dtype.itemsize * 8}" if out[0].dtype != np.bool_ else "pred"
    a, b = (frame.read(o, ins.mods[-1]).view(DTYPES[seen]) for o in ins.operands[1:3])
    predicate, inverted = frame.predicate(ins.operands[3])
    if inverted:
        a, b = b, a
    differing, chosen = (frame.scratch(a.dtype, f"selp{i}") for i in range(2))
    target = out[0]

    def run() -> None:  # without branches: predicates may alternate at random
        np.bitwise_xor(a, b, differing)
        np.copyto(chosen, predicate)
        np.multiply(differing, chosen, differing)
        np.bitwise_xor(differing, b, target)

    return run


def _slct(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """slct: a where c ≥ 0 (-0 included), b where it is less or NaN."""
    kind, selector = ins.mods[-2], ins.mods[-1]
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    c = frame.read(ins.operands[3], selector)
    target = out[0].view(a.dtype)
    if "ftz" in ins.mods:
        return lambda: np.copyto(target, np.where(flush(c) >= 0, a, b))
    return lambda: np.copyto(target, np.where(c >= 0, a, b))


VALUES: dict[tuple[str, str], Any] = {
    ("setp", "any"): _setp,
    ("set", "any"): _set,
    ("selp", "any"): _selp,
    ("slct", "any"): _slct,
}
