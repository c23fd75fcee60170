"""The instruction families, one file each, and the two tables that join them (see `bind.py`).

A family is asked only for forms that `isa.py` lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.instructions import (
    async_copy,
    atomics,
    bit_tables,
    bits,
    compare,
    convert,
    fields,
    floats,
    halves,
    integer,
    loads,
    matrix_loads,
    mbarrier,
    mma,
    move,
    quad_mma,
    remote,
    sparse_mma,
    special_moves,
    stack,
    tensormap,
    video,
    warp,
    wgmma,
    wmma,
)
from tilewright.runtime.vm.isa import check_form
from tilewright.runtime.vm.isa_table import MISSING

Binder = Callable[..., Any]
INTEGERS = frozenset("b8 u8 s8 b16 u16 s16 b32 u32 s32 b64 u64 s64 pred".split())


def _by_kind(opcode: str, forms: dict[str, Binder], ins: Any, frame: Any, out: Any) -> Any:
    """Chooses the family by the type of the instruction: its own name, else `int`, else `any`."""
    kind = next((m for m in reversed(ins.mods) if m in forms or m in INTEGERS), "any")
    binder = forms.get(kind) or (forms.get("int") if kind in INTEGERS else None) or forms.get("any")
    if binder is None:
        raise Fault("unsupported", f"instruction {ins.name}")
    return binder(ins, frame, out)


def _join(*families: dict[tuple[str, str], Binder]) -> dict[str, Binder]:
    forms: dict[str, dict[str, Binder]] = {}
    for family in families:
        for (opcode, kind), binder in family.items():
            forms.setdefault(opcode, {})[kind] = binder
    return {opcode: partial(_by_kind, opcode, kinds) for opcode, kinds in forms.items()}


_VALUES: dict[str, Binder] = _join(
    integer.VALUES,
    bits.VALUES,
    bit_tables.VALUES,
    fields.VALUES,
    floats.VALUES,
    halves.VALUES,
    compare.VALUES,
    convert.VALUES,
    move.VALUES,
    special_moves.VALUES,
)


def _by_proxy(plain: Binder, ins: Any, frame: Any) -> Any:
    """`st.async` and `red.async` are other instructions than `st` and `red`."""
    return (remote.bind_remote if "async" in ins.mods else plain)(ins, frame)


def _matrix(ins: Any, frame: Any) -> Any:
    """`mma` is three families."""
    if sparse_mma.is_sparse(ins):
        return sparse_mma.bind_sparse(ins, frame)
    bind = quad_mma.bind_quad if quad_mma.is_quad(ins) else mma.bind_dense
    return bind(ins, frame)


_EFFECTS: dict[str, Binder] = {
    **loads.EFFECTS,
    **warp.EFFECTS,
    **move.EFFECTS,
    **atomics.EFFECTS,
    **matrix_loads.EFFECTS,
    **mbarrier.EFFECTS,
    **wgmma.EFFECTS,
    **wmma.EFFECTS,
    **stack.EFFECTS,
    **video.EFFECTS,
    **tensormap.EFFECTS,
    **async_copy.EFFECTS,
    "mma": _matrix,
    "st": partial(_by_proxy, loads.EFFECTS["st"]),
    "red": partial(_by_proxy, atomics.EFFECTS["red"]),
}


def _known(binder: Binder, ins: Any, *rest: Any) -> Any:
    check_form(ins.name)
    return binder(ins, *rest)


def _missing(ins: Any, frame: Any) -> Any:
    check_form(ins.name)
    raise AssertionError(f"{ins.name} is listed and missing")


VALUES: dict[str, Binder] = {opcode: partial(_known, binder) for opcode, binder in _VALUES.items()}
EFFECTS: dict[str, Binder] = {
    **dict.fromkeys(MISSING, _missing),
    **{opcode: partial(_known, binder) for opcode, binder in _EFFECTS.items()},
}
