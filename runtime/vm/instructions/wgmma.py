"""wgmma: asynchronous matrix products of a warpgroup, operands in shared memory or A in registers.

Work is queued per warpgroup and done, in order, between its issue and the wait that covers its
group. Accumulators are read and written when the work is done, so code that uses them too early
gets stale values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.products import registers_of
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions import fp8
from tilewright.runtime.vm.instructions.descriptors import decode_matrix
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import BITS, Immediate, Instruction, Operand, Register, Vector

_TYPES = ("f16", "bf16", "tf32", "f32", "e4m3", "e5m2", "s8", "u8", "s32")
_BITS = {**BITS, "s32": 32}


@dataclass(frozen=True, slots=True)
class Form:
    """Shape and types."""

    n: int
    k: int
    d: str
    a: str
    b: str

    @property
    def flops(self) -> int:
        """Operations per warp (a quarter of the warpgroup's)."""
        return 2 * 16 * self.n * self.k


def form_of(ins: Instruction) -> Form:
    """Reads the modifiers of wgmma.mma_async."""
    shape = next(m for m in ins.mods if m.startswith("m64n"))
    n, k = shape[4:].split("k")
    types = [m for m in ins.mods if m in _TYPES]
    if len(types) != 3:
        raise Fault("unsupported", f"instruction {ins.name}")
    return Form(int(n), int(k), types[0], types[1], types[2])


def _bind(ins: Instruction, frame: Frame) -> Any:
    members = bind_members(ins, frame, None)
    queues = frame.gang.matrix_queues
    name = ins.mods[0]
    if name == "mma_async":
        return _bind_product(ins, frame)
    if name == "fence":
        return _for_each(frame, members, queues.fence)
    if name == "commit_group":
        return _for_each(frame, members, queues.commit)
    if name == "wait_group":
        count = ins.operands[0]
        assert isinstance(count, Immediate)
        return _for_each(frame, members, partial(queues.wait, allowed=int(count.value)))
    raise Fault("unsupported", f"instruction {ins.name}")


def _for_each(frame: Frame, members: Any, action: Callable[[int], None]) -> Any:
    """Acts on every warpgroup of a cohort."""

    def step(mask: Array | None) -> None:
        for leader in _leaders(frame, members(mask)):
            action(leader)

    return step


def _leaders(frame: Frame, mask: Array | None) -> list[int]:
    """The first warps of the warpgroups of a cohort; warpgroups must be whole."""
    gang = frame.gang
    warps = (
        np.arange(frame.warps) if mask is None else np.flatnonzero(mask.reshape(-1, 32).any(axis=1))
    )
    warps = warps + frame.low // 32
    within = warps % (gang.block_lanes // 32)
    leaders: list[int] = warps[within % 4 == 0].tolist()
    if len(warps) != 4 * len(leaders):
        raise Fault(
            "divergence",
            "a wgmma instruction that not all four warps of a warpgroup execute together",
        )
    return leaders


def _bind_product(ins: Instruction, frame: Frame) -> Any:
    form = form_of(ins)
    d, a, b, scale_d, *immediates = ins.operands
    members = bind_members(ins, frame, None)
    numbers = [int(o.value) for o in immediates if isinstance(o, Immediate)]
    signs = numbers[:2] if len(numbers) >= 2 else [1, 1]
    majors = numbers[2:] if len(numbers) > 2 else []
    trans_a = bool(majors[0]) if len(majors) == 2 else False
    trans_b = bool(majors[-1]) if majors else False
    accumulate = _bind_scale(frame, scale_d)
    accumulator = _Accumulator(frame, d, form)
    read_a = _bind_a(ins, frame, a, form, trans_a)
    read_b = _bind_shared(ins, frame, b, (form.n, form.k, form.b), trans_b)
    gang, held = frame.gang, registers_of(ins)

    def step(mask: Array | None) -> None:
        for leader in _leaders(frame, members(mask)):
            lane = leader * 32 - frame.low
            keeps = bool(accumulate(lane))
            get_a, get_b = read_a(lane, leader), read_b(lane, leader)
            time = gang.checks.clocks.time if gang.checks is not None else 0
            if gang.checks is not None and leader not in gang.matrix_queues.fenced:
                gang.checks.missing_matrix_fence(ins)

            def act(lane: int = lane, keeps: bool = keeps, x: Any = get_a, y: Any = get_b) -> None:
                product = np.matmul(x() * np.float32(signs[0]), (y() * np.float32(signs[1])).T)
                accumulator.add(lane, product, keeps)

            gang.matrix_queues.issue(leader, act, time, held)

    return step


def _bind_scale(frame: Frame, operand: Operand) -> Callable[[int], Any]:
    """scale-d: a predicate; false starts from zero."""
    row, inverted = frame.predicate(operand)
    return lambda lane: row[lane] ^ inverted


class _Accumulator:
    """The registers of D: d[i] of lane l in warp w is row 16w + l / 4 + 8 (i / 2 mod 2), column 8
    (i / 4) + 2 (l mod 4) + i mod 2.
    """

    def __init__(self, frame: Frame, operand: Operand, form: Form) -> None:
        assert isinstance(operand, Vector)
        self.kind = form.d
        per = 2 if form.d == "f16" else 1
        i, lane = np.arange(form.n // 2)[None, :], np.arange(128)[:, None]
        rows = [
            frame.gang.program.rows[r.name][1] for r in operand.items if isinstance(r, Register)
        ]
        base = np.array(rows, np.int64) * frame.gang.n + frame.low
        within = (base[i // per] + lane) * per + i % per
        row = lane // 32 * 16 + lane % 32 // 4 + 8 * (i // 2 % 2)
        column = 8 * (i // 4) + 2 * (lane % 4) + i % 2
        self.index = np.empty((64, form.n), np.int64)
        self.index[np.broadcast_to(row, within.shape), np.broadcast_to(column, within.shape)] = (
            within
        )
        dtype = {"f32": np.float32, "f16": np.float16, "s32": np.int32}[form.d]
        self.flat: Array = frame.gang.files[32].reshape(-1).view(dtype)
        self.step = per

    def add(self, lane: int, product: Array, keeps: bool) -> None:
        """D = product (+ D)."""
        index = self.index + lane * self.step
        if self.kind == "s32":
            total = product.astype(np.int64) + (self.flat[index] if keeps else 0)
            self.flat[index] = total.astype(np.int32)
        else:
            self.flat[index] = product + (self.flat[index].astype(np.float32) if keeps else 0)


def widen_elements(raw: Array, kind: str) -> Array:
    """Raw elements to float32 (integers exactly)."""
    match kind:
        case "f16":
            return raw.view(np.float16).astype(np.float32)
        case "bf16":
            return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
        case "tf32":
            return (raw & np.uint32(0xFFFFE000)).view(np.float32)
        case "e4m3" | "e5m2":
            return fp8.decode(raw, kind)
    return raw.view(np.int8 if kind == "s8" else np.uint8).astype(np.float32)


def _bind_shared(
    ins: Instruction, frame: Frame, operand: Operand, shape: tuple[int, int, str], transposed: bool
) -> Any:
    """`read(lane, leader)`: checks now, and a function that reads the matrix (rows, K) later."""
    rows, depth, kind = shape
    item = _BITS[kind] // 8
    descriptor = frame.read(operand, "u64")
    gang = frame.gang
    view = gang.shared.views[item]
    pc = gang.program.pc_of(ins)

    def read(lane: int, leader: int) -> Callable[[], Array]:
        matrix = decode_matrix(int(descriptor[lane]))
        places = matrix.places(rows, depth * item, k_major=not transposed, item=item)
        places = places + int(gang.shared_base[frame.low + lane])
        low, high = int(places.min()), int(places.max()) + item
        if low % gang.segment < 1024 or high > low - low % gang.segment + gang.shared_end:
            mask = np.arange(frame.n) // 32 == lane // 32
            raise gang.fault(
                "out of bounds", "a wgmma operand outside of shared memory", ins, frame, mask
            )
        if gang.checks is not None:
            gang.checks.matrix_read(pc, np.unique(places & ~15), leader, "wgmma read")
        return lambda: widen_elements(view[places // item], kind)

    return read


def _bind_a(ins: Instruction, frame: Frame, operand: Operand, form: Form, transposed: bool) -> Any:
    if not isinstance(operand, Vector):
        return _bind_shared(ins, frame, operand, (64, form.k, form.a), transposed)
    bits = _BITS[form.a]
    per = 32 // bits
    count = len(operand.items) * per
    i, lane = np.arange(count)[None, :], np.arange(128)[:, None]
    group = lane // 32 * 16 + lane % 32 // 4
    if bits == 32:
        row, column = group + 8 * (i % 2), lane % 4 + 4 * (i // 2)
    else:
        row = group + 8 * (i // per % 2)
        column = lane % 4 * per + i % per + 4 * per * (i // (2 * per))
    rows = [frame.gang.program.rows[r.name][1] for r in operand.items if isinstance(r, Register)]
    base = np.array(rows, np.int64) * frame.gang.n + frame.low
    within = (base[i // per] + lane) * per + i % per
    index = np.empty((64, form.k), np.int64)
    index[np.broadcast_to(row, within.shape), np.broadcast_to(column, within.shape)] = within
    flat: Array = frame.gang.files[32].reshape(-1).view(f"u{bits // 8}")
    return lambda start, leader: lambda: widen_elements(flat[index + start * per], form.a)


EFFECTS = {"wgmma": _bind}
