"""`overlap`: rings, copies ahead of their use, any number of iterations, as many stages as fit."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instructions.buffer import Alloc, Copy
from tilewright.ir.instructions.control import For
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel
from tilewright.ir.values import buffer_type
from tilewright.tests.passes.products import (
    check_golden,
    check_meaning,
    context,
    lower,
    matmul,
    operands,
    with_shared,
)


def ring_stages(kernel: Kernel) -> set[int]:
    """The leading extents of the rings."""
    rings = (item for item in kernel.walk() if isinstance(item, Alloc))
    return {item.shape[0] for item in rings if len(item.shape) == 3}


def test_golden() -> None:
    check_golden(lower(matmul(tile=(16, 16, 16)), "overlap"), "overlap")


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_loops_of_any_length_keep_their_meaning(stages: int, rng: np.random.Generator) -> None:
    kernel = lower(matmul(tile=(16, 16, 16), stages=stages), "overlap")
    assert ring_stages(kernel) == ({stages} if stages > 1 else set())
    shapes = tuple((16, 16, 16 * turns + rest) for turns in range(stages + 2) for rest in (0, 1))
    check_meaning(kernel, rng, shapes)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_the_largest_number_of_stages_that_fits_is_taken(room: int) -> None:
    stage = 2 * 32 * 64 * 2  # two operands of 32 x 64 f16
    made = context(with_shared(room * stage + 100))
    kernel = lower(matmul(tile=(32, 32, 64), stages=4), "overlap", made)
    assert ring_stages(kernel) == ({room} if room > 1 else set())


def test_exactly_is_an_error_where_it_does_not_fit() -> None:
    made = context(with_shared(20_000))
    with pytest.raises(
        ResourceError, match=r"3 stages need 24576 bytes .* a small device has 20000"
    ):
        lower(matmul(tile=(32, 32, 64), stages=3, exactly=True), "overlap", made)


def test_a_tensor_that_the_kernel_writes_is_not_read_ahead() -> None:
    text = print_kernel(matmul(tile=(16, 16, 16), result="f16"))
    kernel = lower(parse_kernel(text.replace("store %c", "store %a")), "overlap")
    ahead = [item.tensor.name for item in kernel.walk() if isinstance(item, Copy) and item.when]
    assert set(ahead) == {"b"}


def test_an_address_that_the_loop_carries_is_not_known_ahead() -> None:
    text = print_kernel(matmul(tile=(16, 16, 16)))
    text = text.replace("stages=3 (%kk: i32,", "stages=3 (%kk.9: i32, %kk: i32,")
    text = text.replace("[%acc], stages", "[%zero, %acc], stages")
    text = text.replace("%out: tile", "%last: i32, %out: tile")
    text = text.replace("yield [%acc.2]", "%kk.8: i32 = add %kk, %bm\n      yield [%kk.8, %acc.2]")
    kernel = lower(parse_kernel(text), "overlap")
    assert not [item for item in kernel.walk() if isinstance(item, Copy) and item.when]
    loop = next(item for item in kernel.walk() if isinstance(item, For))
    assert loop.stages == 1


def test_breaks_carry_the_ring(rng: np.random.Generator) -> None:
    """The loop stops after the second step; copies that nobody reads are waited for."""
    text = print_kernel(matmul(tile=(16, 16, 16)))
    text = text.replace(
        "yield [%acc.2]",
        """%limit: i32 = const value=16, dtype=i32
      %enough: bool = ge %kk, %limit
      if %enough {
        break [%acc.2]
      } {
        yield []
      }
      yield [%acc.2]""",
    )
    plain = parse_kernel(text)
    kernel = lower(plain, "overlap")
    assert ring_stages(kernel) == {3}
    for k in (10, 32, 100):
        views, _ = operands(kernel, 20, 20, k, rng)
        x, y = views[0].values[:, :32], views[1].values[:, :32]
        interpret(kernel, views)
        np.testing.assert_array_equal(views[2].values, x @ y.T)


def test_rings_keep_the_swizzle_of_their_stages() -> None:
    kernel = lower(matmul(tile=(32, 32, 64)), "overlap")
    for item in kernel.walk():
        if isinstance(item, Alloc) and len(item.shape) == 3:
            layout = buffer_type(item.results[0]).layout
            assert layout is not None and layout.swizzle is not None
            assert layout.dims[0][0].stride * 2 % layout.swizzle.period == 0
