"""st.async and red.async: stores to shared memory that complete bytes on an mbarrier."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts
from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.instructions.atomics import combiner
from tilewright.runtime.vm.instructions.loads import access_kind
from tilewright.runtime.vm.instructions.mbarrier import active_lanes, bind_places
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import BITS, Address, Instruction, Vector
from tilewright.runtime.vm.transfers import Transfer

_REDUCTIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor")


def bind_remote(ins: Instruction, frame: Frame) -> Any:
    """`st.async [a], b, [mbar]` and `red.async.op [a], b, [mbar]`."""
    address, source, barrier = ins.operands[:3]
    assert isinstance(address, Address)
    kind = access_kind(ins)
    size = BITS[kind] // 8
    items = source.items if isinstance(source, Vector) else (source,)
    values = [frame.read(item, kind) for item in items]
    parts = bind_parts(frame, address, "shared")
    places = bind_places(ins, frame, barrier)
    reduction = (
        next((m for m in ins.mods if m in _REDUCTIONS), None) if ins.opcode == "red" else None
    )
    combine = combiner(reduction, kind) if reduction else None
    gang = frame.gang
    view = gang.shared.views[size].view(DTYPES[kind])
    checks = gang.checks
    strength = int(reduction is not None)
    check = (
        checks.remote_store(ins, frame, size * len(items), strength) if checks is not None else None
    )

    def store(at: int, new: list[Any], _: Any) -> None:
        for index, value in enumerate(new):
            old = view[at + index : at + index + 1]
            fresh = np.array([value], view.dtype)
            view[at + index] = (combine(old, [fresh]) if combine is not None else fresh)[0]

    def step(mask: Array | None) -> None:
        offsets = parts(mask)[0].offsets.copy()
        targets = places(mask)
        time = check(offsets, targets, mask) if check is not None else 0
        for lane in active_lanes(frame, mask):
            new = [value[lane] for value in values]
            done = ((int(targets[lane]), size * len(items)),)
            transfer = Transfer(
                lambda: None,
                partial(store, int(offsets[lane]) // size, new),
                done,
                frame.low + lane,
            )
            transfer.time = time
            gang.transfers.issue(transfer)

    return step
