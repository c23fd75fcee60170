"""mov, cvta, isspacep, mapa, and the instructions that say something only to hardware or to the
checks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import DTYPES, Frame, view_as
from tilewright.runtime.vm.memory import GLOBAL, LOCAL, RANK_BIT, SHARED, Array
from tilewright.runtime.vm.records import BITS, Instruction, Register, Special, Vector

_CLOCKS = ("%clock", "%clock64", "%clock_hi", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi")
_WINDOWS = {"shared": SHARED, "shared::cta": SHARED, "shared::cluster": SHARED, "local": LOCAL}


def _move(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    source = ins.operands[1]
    kind = ins.mods[-1]
    if isinstance(ins.operands[0], Vector):
        return _unpack(ins, frame, out)
    if isinstance(source, Vector):
        return _pack(ins, frame, out)
    if isinstance(source, Special) and source.name in _CLOCKS:
        return _clock(frame, out, high=source.name.endswith("_hi"))
    target = out[0]
    if kind != "pred" and BITS[kind] < target.dtype.itemsize * 8:
        raise Fault("unsupported", f"{ins.name} to a wider register")
    if isinstance(source, Register):
        return partial(
            np.copyto, target, view_as(frame.row(source), kind, source).view(target.dtype)
        )
    return partial(np.copyto, target, frame.read(source, kind).view(target.dtype))


def _clock(frame: Frame, out: list[Array], *, high: bool) -> Any:
    gang = frame.gang

    def run() -> None:
        gang.clock += 1
        out[0][:] = (
            gang.clock >> 32 if high else gang.clock & ((1 << (8 * out[0].dtype.itemsize)) - 1)
        )

    return run


def _pack(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """mov.b32 d, {a, b}: a in the low part."""
    vector = ins.operands[1]
    assert isinstance(vector, Vector)
    bits = BITS[ins.mods[-1]] // len(vector.items)
    parts = [frame.read(item, f"b{bits}") for item in vector.items]
    columns = [out[0].view(DTYPES[f"b{bits}"])[i :: len(parts)] for i in range(len(parts))]

    def run() -> None:
        if len(parts) == 2:  # either part may be the destination itself
            second = parts[1].copy()
            np.copyto(columns[0], parts[0])
            np.copyto(columns[1], second)
        else:
            for column, part in zip(columns, [p.copy() for p in parts], strict=True):
                np.copyto(column, part)

    return run


def _unpack(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    bits = BITS[ins.mods[-1]]
    source = frame.read(ins.operands[1], ins.mods[-1])
    count = len(out)
    columns = [source.view(DTYPES[f"b{bits // count}"])[i::count] for i in range(count)]

    def run() -> None:
        values = [column.copy() for column in columns]
        for row, value in zip(out, values, strict=True):
            np.copyto(row, value, casting="unsafe")

    return run


def _cvta(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """Between generic and window addresses; global, const and param addresses are generic
    already.
    """
    kind = ins.mods[-1]
    window = next((_WINDOWS[m] for m in ins.mods if m in _WINDOWS), 0)
    a = frame.read(ins.operands[1], kind)
    delta = np.dtype(DTYPES[kind]).type(window)
    if "to" in ins.mods:
        return partial(np.subtract, a, frame.constant(delta), out[0])
    return partial(np.add, a, frame.constant(delta), out[0])


def _space_test(name: str) -> Callable[[Array], Array]:
    """Which generic addresses lie in a state space."""
    if name == "global":
        return lambda address: np.asarray(address >= np.uint64(GLOBAL))
    window = {"local": 2}.get(name, 1 if name.startswith("shared") else None)
    if window is None:
        return lambda address: np.zeros(len(address), np.bool_)
    return lambda address: np.asarray(address >> np.uint64(40) == window)


def _isspacep(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    a = frame.read(ins.operands[1], "u64")
    name = ins.mods[0]
    by_rank = name == "shared::cta" and frame.gang.is_cluster
    inside_of = _space_test(name)
    rank = frame.gang.rank[frame.low : frame.high].astype(np.uint64)

    def run() -> None:
        inside = inside_of(a)
        if by_rank:
            inside &= (a & np.uint64(0xFFFFFFFF)) >> np.uint64(RANK_BIT) == rank
        np.copyto(out[0], inside)

    return run


def _mapa(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """mapa: the address of the same place in another block of the cluster."""
    kind = ins.mods[-1]
    a, rank = frame.read(ins.operands[1], kind), frame.read(ins.operands[2], "u32")
    dtype = DTYPES[kind]
    keep = dtype(~(0xFF << RANK_BIT) & ((1 << BITS[kind]) - 1))

    def run() -> None:
        np.copyto(out[0], a & keep | rank.astype(dtype) << dtype(RANK_BIT))

    return run


def _getctarank(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    a = frame.read(ins.operands[1], kind)
    dtype = DTYPES[kind]
    return lambda: np.copyto(out[0], a >> dtype(RANK_BIT) & dtype(0xFF), casting="unsafe")


def _policy(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """createpolicy: what a cache should keep says nothing about results; the value is opaque."""
    return lambda: out[0].fill(0)


def _nothing(ins: Instruction, frame: Frame) -> Any:
    return lambda mask: None


def _fence(ins: Instruction, frame: Frame) -> Any:
    checks = frame.gang.checks
    if checks is None:
        return lambda mask: None
    return partial(checks.fence, ins, frame)


def _trap(ins: Instruction, frame: Frame) -> Any:
    gang = frame.gang

    def step(mask: Array | None) -> None:
        raise gang.fault("trap", "the kernel executed trap", ins, frame, mask)

    return step


VALUES: dict[tuple[str, str], Any] = {
    ("mov", "any"): _move,
    ("cvta", "any"): _cvta,
    ("isspacep", "any"): _isspacep,
    ("mapa", "any"): _mapa,
    ("getctarank", "any"): _getctarank,
    ("createpolicy", "any"): _policy,
}
_SILENT = (
    "prefetch prefetchu discard applypriority pmevent brkpt nanosleep griddepcontrol setmaxnreg"
).split()
EFFECTS = {
    **dict.fromkeys(_SILENT, _nothing),
    "membar": _fence,
    "fence": _fence,
    "trap": _trap,
}  # fmt: skip
