"""`plan_shared`: live buffers never share bytes, dead ones do; too much is said with numbers."""

from __future__ import annotations

import itertools

import pytest

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel
from tilewright.passes.plan_shared import plan_rooms, plan_shared
from tilewright.tests.passes.products import context, lower, matmul, with_shared

BUFFERS = """
layout #0 = [{size}]{{{size}:1@addr | bits 8}}
kernel @buffers(%a: tensor<u8, strides=[1], extents=[any], aligned>), phase=laid_out, warps=1 {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  for_tiles [%one] (%i: i32) {{
{body}
    yield []
  }}
  yield []
}}
"""
COPY = """    %{name}: buffer<[{size}], u8, #0> = buffer shape=[{size}], dtype=u8, layout=#0
    %t{name}: token = copy %a, [%zero], %{name}
"""
WAIT = """    wait [%t{name}], []
    %v{name}: tile<[{size}], u8> = buffer.load %{name}
"""


def buffers(order: str, size: int = 1024) -> Kernel:
    """Buffers by name: a small letter allocates and fills one, its capital waits and reads it."""
    parts = (COPY if letter.islower() else WAIT for letter in order)
    body = "".join(
        part.format(name=letter.lower(), size=size)
        for part, letter in zip(parts, order, strict=True)
    )
    return parse_kernel(BUFFERS.format(size=size, body=body))


def offsets(kernel: Kernel) -> dict[str, int]:
    planned = plan_shared(kernel, context())
    made = (item for item in planned.walk() if isinstance(item, Alloc))
    return {item.results[0].name: item.offset for item in made if item.offset is not None}


def test_dead_buffers_are_reused() -> None:
    assert offsets(buffers("xXyY")) == {"x": 0, "y": 0}
    assert offsets(buffers("xyXzYZ")) == {"x": 0, "y": 1024, "z": 0}


def test_a_copy_in_flight_keeps_its_buffer() -> None:
    assert offsets(buffers("xyXY")) == {"x": 0, "y": 1024}


def test_no_two_live_buffers_overlap() -> None:
    for order in itertools.permutations("xXyYzZ"):
        text = "".join(order)
        if all(text.index(c) < text.index(c.upper()) for c in "xyz"):
            rooms = plan_rooms(buffers(text))
            for one, two in itertools.combinations(rooms, 2):
                apart = one.end <= two.offset or two.end <= one.offset
                assert apart or not one.span.meets(two.span), text


def test_a_buffer_from_outside_a_loop_lives_until_the_loop_ends() -> None:
    kernel = lower(matmul(tile=(32, 32, 64)), "plan_shared")
    rooms = {room.value.name: room for room in plan_rooms(kernel)}
    x, y = rooms["x_ring"], rooms["y_ring"]
    assert x.end <= y.offset or y.end <= x.offset
    assert kernel.shared_bytes == x.size + y.size  # the epilogue's exchange reuses the rings


def test_offsets_respect_the_period_of_the_swizzle() -> None:
    kernel = lower(matmul(tile=(32, 48, 64)), "plan_shared")
    for item in kernel.walk():
        if isinstance(item, Alloc) and item.layout is not None and item.layout.swizzle is not None:
            assert item.offset is not None
            assert item.offset % item.layout.swizzle.period == 0


def test_too_much_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        ResourceError, match=r"needs 2048 bytes .* a small device has 1500"
    ) as error:
        plan_shared(buffers("xyXY"), context(with_shared(1500)))
    assert "x: 1024 bytes" in str(error.value)
