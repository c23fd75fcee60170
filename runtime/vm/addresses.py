"""Where an access goes: the byte offsets within a space's array that an address operand stands for.

A *locator* computes, for all lanes of a frame, offsets into one space. Generic addresses are told
apart by their windows at run time; the usual case, every lane in global memory, costs one
comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import GLOBAL, LOCAL, RANK_BIT, SHARED, Array, Space
from tilewright.runtime.vm.records import BITS, Address, Immediate, Instruction, Register, Symbol

Locate = Callable[[], Array]


@dataclass(frozen=True, slots=True)
class Part:
    """Lanes of one access that fall into one space: its name and bytes, offsets of all lanes, and
    the mask (None: all).
    """

    space: str
    memory: Space
    offsets: Array
    mask: Array | None


def space_name(ins: Instruction) -> str:
    """The state space that an instruction names, `generic` without one."""
    for mod in ins.mods:
        base = mod.split("::")[0]
        if base in ("global", "shared", "local", "param", "const"):
            return base
    return "generic"


def memory_of(frame: Frame, space: str) -> Space:
    """The bytes of a space."""
    gang = frame.gang
    return {"global": gang.launch.arena.space, "shared": gang.shared, "local": gang.local}[space]


def resolve_space(frame: Frame, address: Address, space: str) -> str:
    """Parameters and constants live in global or local memory."""
    if space == "const":
        return "global"
    if space == "param":
        if isinstance(address.base, Symbol):
            name = address.base.name
            return "global" if name in frame.gang.launch.entry_params else "local"
        return "global"
    return space


def bind_locator(frame: Frame, address: Address, space: str) -> Locate:
    """The locator of an address operand in a named space."""
    gang = frame.gang
    offsets = frame.scratch(np.int64, "address")
    if isinstance(address.base, (Symbol, Immediate)):
        return _bind_static(frame, address, space)
    base = address.base
    if not isinstance(base, Register):
        raise Fault("unsupported", f"address {address!r}")
    row = frame.row(base)
    if space == "global":
        delta = frame.constant(np.int64(address.offset - GLOBAL))
        if BITS[base.type] != 64:
            raise Fault("unsupported", "a global address in 32 bits")
        signed = row.view(np.int64)

        def locate_global() -> Array:
            np.add(signed, delta, offsets)
            return offsets

        return locate_global
    lanes = slice(frame.low, frame.high)
    start = gang.local_base if space == "local" else gang.shared_base
    if space == "shared" and gang.is_cluster:
        return _bind_cluster(frame, row, address.offset)
    delta = start[lanes] + address.offset
    signed = row.view(np.int64) if row.dtype == np.uint64 else row

    def locate() -> Array:
        np.add(signed, delta, offsets)
        return offsets

    return locate


def _bind_static(frame: Frame, address: Address, space: str) -> Locate:
    gang = frame.gang
    if isinstance(address.base, Immediate):
        fixed = np.full(frame.n, int(address.base.value) + address.offset, np.int64)
    else:
        assert isinstance(address.base, Symbol)
        fixed = gang.symbol(address.base)[frame.low : frame.high].astype(np.int64) + address.offset
    lanes = slice(frame.low, frame.high)
    if space == "global":
        fixed -= GLOBAL
    elif space == "local":
        fixed += gang.local_base[lanes]
    else:
        fixed = shared_offsets(frame, fixed)
    return lambda: fixed


def shared_offsets(frame: Frame, address: Array) -> Array:
    """Physical offsets of shared addresses (the block's rank above `RANK_BIT`)."""
    gang = frame.gang
    lanes = slice(frame.low, frame.high)
    if not gang.is_cluster:
        return address + gang.shared_base[lanes]
    rank = address >> RANK_BIT
    found: Array = (
        gang.cluster_base[lanes]
        + np.minimum(rank, gang.cluster_blocks) * gang.segment
        + (address & ((1 << RANK_BIT) - 1))
    )
    return found


def _bind_cluster(frame: Frame, row: Array, offset: int) -> Locate:
    return lambda: shared_offsets(frame, row.astype(np.int64) + offset)


def bind_parts(frame: Frame, address: Address, space: str) -> Callable[[Array | None], list[Part]]:
    """The parts of an access; several only where generic addresses of one step point to several
    spaces.
    """
    space = resolve_space(frame, address, space)
    if space != "generic":
        locate, memory = bind_locator(frame, address, space), memory_of(frame, space)
        return lambda mask: [Part(space, memory, locate(), mask)]
    locate, arena = bind_locator(frame, address, "global"), memory_of(frame, "global")

    def parts(mask: Array | None) -> list[Part]:
        offsets = locate()
        if (offsets >= 0).all() if mask is None else (offsets[mask] >= 0).all():
            return [Part("global", arena, offsets, mask)]
        return _split_generic(frame, offsets, mask)

    return parts


def _split_generic(frame: Frame, offsets: Array, mask: Array | None) -> list[Part]:
    address = offsets + GLOBAL
    window = address >> 40
    active = np.ones(frame.n, np.bool_) if mask is None else mask
    found = []
    lanes = slice(frame.low, frame.high)
    is_shared, is_local = active & (window == SHARED >> 40), active & (window == LOCAL >> 40)
    rest = active & ~is_shared & ~is_local
    gang = frame.gang
    if is_shared.any():
        place = shared_offsets(frame, address - SHARED)
        found.append(Part("shared", gang.shared, place, _mask_of(is_shared)))
    if is_local.any():
        place = address - LOCAL + gang.local_base[lanes]
        found.append(Part("local", gang.local, place, _mask_of(is_local)))
    if rest.any():
        found.append(Part("global", gang.launch.arena.space, offsets, _mask_of(rest)))
    return found


def _mask_of(chosen: Array) -> Array | None:
    return None if chosen.all() else chosen
