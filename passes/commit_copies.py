"""Commit copies: what a kernel copies by itself gets a width, a path that has it, and a group.

before:  %t: token = copy %a, [%i, %k], %x_buffer
         wait [%t], []
after:   %t: token = copy %a, [%i, %k], %x_buffer, width=16
         %g: token = commit [%t]
         wait [%g], []

Needs: layouts of buffers. Gives: whoever waits for a copy by `cp_async` waits for a group, which is
what the hardware knows (PTX ISA, `cp.async.wait_group`). Cost: linear. Named rules: [wide] an
access is as wide as the tensor allows and the buffer keeps together; [narrow] `cp_async` moves 4, 8
or 16 bytes: what is narrower is copied plainly; [group] a copy that no `commit` takes is a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import At, Copy
from tilewright.ir.instructions.sync import Commit
from tilewright.ir.kernel import Builder, Kernel, definitions, rebuild
from tilewright.ir.layout import Layout
from tilewright.ir.values import Value, buffer_type, tensor_type
from tilewright.passes.access_widths import find_width
from tilewright.passes.facts import find_facts
from tilewright.passes.runner import Context, Pass

Ints = npt.NDArray[np.int64]

NARROWEST = 4
"""Bytes that `cp.async` moves at least."""


def commit_copies(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with a width and a commit for every copy that has none."""
    grouped = {token for item in kernel.walk() if isinstance(item, Commit) for token in item.tokens}
    facts, defined = find_facts(kernel), definitions(kernel)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Copy) or item.path != "cp_async":
            return None
        bits = tensor_type(item.tensor).dtype.bits
        if item.width is None:
            most = find_width(item.tensor, item.offsets, facts)
            width = _together(item, most, defined) * bits // 8
            asynchronous = width >= NARROWEST and context.target.has("cp_async")
            item = replace(item, width=width, path="cp_async" if asynchronous else "plain")
        name = item.results[0].name
        if item.results[0] in grouped:
            builder.append(item)
            return item.results
        (token,) = builder.add(replace(item, results=()), name)
        return [builder.value(Commit(tokens=(token,)), name)]

    return rebuild(kernel, visit)


def _together(item: Copy, most: int, defined: dict[Value, Instruction]) -> int:
    """[wide] elements along the tensor's fast axis that lie together, aligned, in the buffer."""
    memory = buffer_type(item.buffer).layout
    assert memory is not None
    lines = _lines(memory, tensor_type(item.tensor).fast_axis)
    stage = _stage_size(item.buffer, defined)
    width = most
    while width > 1:
        if lines.shape[-1] % width == 0 and stage % width == 0:
            runs = lines.reshape(-1, width)
            if (runs[:, 0] % width == 0).all() and (np.diff(runs, axis=1) == 1).all():
                break
        width //= 2
    return width


def _lines(memory: Layout, axis: int) -> Ints:
    """The addresses of all elements, line by line along `axis`."""
    places = memory.place_arrays().get("addr", np.zeros(memory.shape, np.int64))
    return np.moveaxis(np.broadcast_to(places, memory.shape), axis, -1)


def _stage_size(buffer: Value, defined: dict[Value, Instruction]) -> int:
    """What the start of `buffer` is a multiple of, in elements; 0 where it is an allocation's."""
    maker = defined.get(buffer)
    if not isinstance(maker, At):
        return 0
    memory = buffer_type(maker.buffer).layout
    assert memory is not None
    strides = [p.stride for dim in memory.dims[: len(maker.index)] for p in dim]
    return int(np.gcd.reduce([*strides, _stage_size(maker.buffer, defined)]))


PASS = Pass("commit_copies", commit_copies)
