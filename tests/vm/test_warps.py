"""Votes, matches and reductions over member masks, lane by lane."""

# ruff: noqa: E501  (rows stay whole)

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest

from tilewright.tests.vm.execution import Execute, wrap

N = 512
PARTS = "mov.u32 %x, %laneid; setp.lt.u32 %p2, %x, 12; selp.u32 %y, 0x00000FFF, 0xFFFFF000, %p2;"
"""The lanes of a warp in two groups, each with the other's mask complement, on one instruction."""


def groups() -> list[np.ndarray]:
    lanes = np.arange(N).reshape(-1, 32)
    return [part for warp in lanes for part in (warp[:12], warp[12:])]


def over_groups(values: np.ndarray, function: object) -> np.ndarray:
    out = np.zeros(N, np.int64)
    for lanes in groups():
        out[lanes] = function([int(v) for v in values[lanes]], lanes)  # type: ignore[operator]
    return out


def small() -> np.ndarray:
    return np.random.default_rng().integers(0, 3, N).astype(np.uint32)


def mask_of(lanes: np.ndarray) -> int:
    return sum(1 << int(lane) % 32 for lane in lanes)


def test_votes_of_groups(execute: Execute) -> None:
    a = small()
    a[:64] = 1
    for name, function in {
        "all": lambda v, _: all(x == 1 for x in v), "any": lambda v, _: any(x == 1 for x in v),
        "uni": lambda v, _: len({x == 1 for x in v}) == 1,
    }.items():  # fmt: skip
        body = f"{PARTS} setp.eq.u32 %p, %a, 1; vote.sync.{name}.pred %p1, %p, %y; selp.u32 %o, 1, 0, %p1;"
        np.testing.assert_array_equal(
            execute(body, [("u32", a)], "u32"), over_groups(a, function), err_msg=name
        )
        body = f"{PARTS} setp.ne.u32 %p, %a, 1; vote.sync.{name}.pred %p1, !%p, %y; selp.u32 %o, 1, 0, %p1;"
        np.testing.assert_array_equal(
            execute(body, [("u32", a)], "u32"), over_groups(a, function), err_msg=name
        )
    body = f"{PARTS} setp.eq.u32 %p, %a, 1; vote.sync.ballot.b32 %o, %p, %y;"
    want = over_groups(a, lambda v, lanes: mask_of(lanes[np.array(v) == 1]))
    np.testing.assert_array_equal(execute(body, [("u32", a)], "u32"), want)


@pytest.mark.parametrize("bits", [32, 64])
def test_matches_of_groups(execute: Execute, bits: int) -> None:
    a = small()
    a[64:128] = 2
    widen = "mov.b64 %w, {%a, %a};" if bits == 64 else "mov.b32 %z, %a;"
    source = "%w" if bits == 64 else "%z"
    want = np.zeros(N, np.int64)
    for lanes in groups():
        for lane in lanes:
            want[lane] = mask_of(lanes[a[lanes] == a[lane]])
    got = execute(f"{PARTS} {widen} match.any.sync.b{bits} %o, {source}, %y;", [("u32", a)], "u32")
    np.testing.assert_array_equal(got, want)
    body = f"{PARTS} {widen} match.all.sync.b{bits} %o|%p, {source}, %y; selp.u32 %x, 1, 0, %p; xor.b32 %o, %o, %x;"
    agree = over_groups(a, lambda v, lanes: mask_of(lanes) ^ 1 if len(set(v)) == 1 else 0)
    np.testing.assert_array_equal(execute(body, [("u32", a)], "u32"), agree)


def test_reductions_of_groups(execute: Execute) -> None:
    a = np.random.default_rng().integers(0, 1 << 32, N, dtype=np.uint32)
    for kind in ("u32", "s32"):
        signed = [wrap(int(x), kind) for x in a]
        for name, function in (("add", sum), ("min", min), ("max", max)):
            got = execute(f"{PARTS} redux.sync.{name}.{kind} %o, %a, %y;", [("u32", a)], "u32")
            want = over_groups(np.array(signed), lambda v, _, f=function: f(v) & 0xFFFFFFFF)
            np.testing.assert_array_equal(got, want)
    for name, function in (("and", operator.and_), ("or", operator.or_), ("xor", operator.xor)):
        got = execute(f"{PARTS} redux.sync.{name}.b32 %o, %a, %y;", [("u32", a)], "u32")
        np.testing.assert_array_equal(
            got, over_groups(a, lambda v, _, f=function: functools.reduce(f, v))
        )


def test_the_lowest_member_is_elected(execute: Execute) -> None:
    a = np.zeros(N, np.uint32)
    got = execute(
        f"{PARTS} elect.sync %z|%p, %y; selp.u32 %o, 100, 0, %p; add.u32 %o, %o, %z;",
        [("u32", a)],
        "u32",
    )
    want = over_groups(a, lambda v, lanes: int(lanes[0]) % 32)
    want += 100 * (np.arange(N) % 32 == want)
    np.testing.assert_array_equal(got, want)
