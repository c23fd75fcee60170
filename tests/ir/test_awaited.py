"""A copy that nobody waits for is refused, however its token is passed on; others are not."""

from __future__ import annotations

import pytest

from tilewright.ir.diagnostics import VerifyError
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel
from tilewright.ir.verifier import verify

PARAMS = (
    "%t: tensor<f32, strides=[1], extents=[any]>, %s: buffer<[4], f32>, "
    "%i: i32, %b: bool, %q: barrier<1, 4>"
)
COPY = "%c: token = copy %t, [%i], %s\n"
DONE = "%d: token = token.done\n"
LOOP = "%r: token = for %i, %i, %i, [%d] (%k: i32, %a: token) {\n"
WHILE = "%r: token = while [%d] (%a: token) {\n"
TEST = "condition %b\n} (%e: token) {\n"
BRANCH = "%r: token = if %b {\n" + COPY + "yield [%c]\n} {\n" + DONE + "yield [%d]\n}\n"
LEAVE = "if %b {\nbreak [%c]\n} {\nyield []\n}\n"
GROUP = "%g: token = commit [%c]\n"
NEXT = "yield [%c]\n}\n"


def wait(token: str) -> str:
    return f"wait [{token}], []\n"


AWAITED = {
    "at once": COPY + wait("%c"),
    "by a group": COPY + GROUP + wait("%g"),
    "by an arrival": COPY + "barrier.arrive %q, %i, after=%c\n",
    "by a barrier": '%c: token = copy %t, [%i], %s, barrier=%q, slot=%i, path="tma"\n',
    "in the next iteration": DONE + LOOP + wait("%a") + COPY + NEXT,
    "after the loop": DONE + LOOP + COPY + NEXT + wait("%r"),
    "after leaving the loop": DONE + LOOP + COPY + LEAVE + "yield [%a]\n}\n" + wait("%r"),
    "first by the loop": COPY + DONE + LOOP.replace("%d", "%c") + wait("%a") + "yield [%d]\n}\n",
    "after the branch": BRANCH + wait("%r"),
    "after a while": DONE + WHILE + TEST + COPY + NEXT + wait("%r"),
    "by the test of a while": DONE + WHILE + wait("%a") + TEST + COPY + NEXT,
}
FORGOTTEN = {
    "at all": COPY,
    "out of shared memory": "%c: token = copy.out %s, %t, [%i]\n",
    "but for its group": COPY + GROUP,
    "but for another": COPY + COPY.replace("%c", "%e") + wait("%e"),
    "after the loop": DONE + LOOP + COPY + NEXT,
    "after the branch": BRANCH,
    "after a while": DONE + WHILE + TEST + COPY + NEXT,
}


def kernel(lines: str) -> Kernel:
    return parse_kernel(f"kernel @k({PARAMS}), phase=scheduled {{\n{lines}yield []\n}}\n", "k.tile")


@pytest.mark.parametrize("name", AWAITED)
def test_awaited(name: str) -> None:
    verify(kernel(AWAITED[name]))


@pytest.mark.parametrize("name", FORGOTTEN)
def test_forgotten(name: str) -> None:
    with pytest.raises(VerifyError, match="nobody waits for this copy") as caught:
        verify(kernel(FORGOTTEN[name]))
    assert caught.value.location is not None
