"""The correct programs that are mutated: PTX, how it is run on fresh inputs, what it must compute."""

# ruff: noqa: E501  (tables stay whole)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime import vm

FOLDER = Path(__file__).parent
Array = Any


@dataclass(frozen=True)
class Case:
    """One launch: arguments in order, and pairs of an array and what it must hold afterwards."""

    args: tuple[Any, ...]
    results: tuple[tuple[Array, Array], ...]
    tolerance: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether all results are there."""
        return all(
            np.allclose(found, wanted, rtol=self.tolerance, atol=0.0)
            for found, wanted in self.results
        )


@dataclass(frozen=True)
class Program:
    """A kernel of `tests/vm/mutation/<name>.cu`."""

    name: str
    arch: str
    block: int
    make: Callable[[np.random.Generator], Case]
    grid: int = 1
    cluster: int = 1
    shared: int = 0
    stage: int = field(default=0)  # bytes between the stages of a ring

    def compile(self, compile_ptx: Callable[..., str]) -> str:
        """The PTX."""
        source = "".join((FOLDER / f).read_text() for f in ("prelude.cuh", f"{self.name}.cu"))
        return compile_ptx(source, self.arch)

    def run(self, ptx: str, case: Case, checks: str, seed: int) -> vm.Report:
        """Runs a text on the case's arguments, which change."""
        return vm.run(
            ptx, self.name, self.grid, self.block, case.args,
            cluster=(self.cluster, 1, 1), shared=self.shared, checks=checks, seed=seed,
        )  # fmt: skip


def bf16(x: Array) -> Array:
    """Small integers are exact in bf16."""
    return (x.astype("f").view(np.uint32) >> 16).astype(np.uint16)


def _ring(rng: np.random.Generator) -> Case:
    x, y = rng.integers(0, 1000, (8, 64)).astype(np.int32), np.full(64, -1, np.int32)
    want = x.sum(axis=0)[np.arange(64) ^ 1]
    return Case((vm.TensorMap(x, (1, 64)), y, 8), ((y, want),))


def _gemm(rng: np.random.Generator) -> Case:
    a, b = rng.integers(-8, 9, (64, 320)), rng.integers(-8, 9, (8, 320))
    c = np.full((64, 8), np.nan, "f")
    inputs = (vm.TensorMap(bf16(x), (len(x), 64), swizzle=128) for x in (a, b))
    return Case((*inputs, vm.TensorMap(c, (64, 8)), 5), ((c, a @ b.T),))


def _pingpong(rng: np.random.Generator) -> Case:
    turns = 4
    want = 10 * np.arange(turns)[:, None] + (np.arange(64) ^ 33)
    y = np.full((turns, 64), -1, np.int32)
    return Case((y, turns), ((y, want),))


def _roundtrip(rng: np.random.Generator) -> Case:
    x = rng.integers(0, 1000, (4, 64)).astype(np.int32)
    y = np.full_like(x, -1)
    return Case((x, y, 4), ((y, x[:, ::-1] + 1),))


def _cluster(rng: np.random.Generator) -> Case:
    first = 100 * np.array([[1], [0]]) + (np.arange(32) ^ 5)
    second = first[::-1][:, np.arange(32) ^ 5]
    y = np.full((2, 32), -1, np.int32)
    return Case((y,), ((y, first * 1000 + second),))


def _multicast(rng: np.random.Generator) -> Case:
    x, y = rng.integers(0, 1000, (5, 64)).astype(np.int32), np.full((2, 32), -1, np.int32)
    total = x.sum(axis=0)
    want = np.broadcast_to(total[:32] + total[::-1][:32], y.shape)
    return Case((vm.TensorMap(x, (1, 32)), y, 5), ((y, want),))


def _remote(rng: np.random.Generator) -> Case:
    first = 100 * np.array([[1], [0]]) + np.arange(31, -1, -1)
    y = np.full((2, 32), -1, np.int32)
    return Case((y,), ((y, first * 1000 + first + 1),))


def _handover(rng: np.random.Generator) -> Case:
    data, flags, y = np.zeros(128, np.int32), np.zeros(2, np.uint32), np.full(64, -1, np.int32)
    sent = 7 * np.arange(63, -1, -1)
    want = (sent[np.arange(64) ^ 9] + 1)[np.arange(64) ^ 3]
    return Case((data, flags, y), ((y, want),))


def _split(rng: np.random.Generator) -> Case:
    x = rng.integers(0, 1000, 192).astype(np.int32)
    parts, total = np.zeros(3, np.int32), np.zeros(1, np.int32)
    return Case((x, parts, np.zeros(1, np.uint32), total), ((total, x.sum()[None]),))


def _arrivals(rng: np.random.Generator) -> Case:
    x = rng.integers(0, 1000, (5, 128)).astype(np.int32)
    want = x.sum(axis=0).reshape(32, 4).sum(axis=1)[::-1]
    y = np.full(32, -1, np.int32)
    return Case((x, y, 5), ((y, want),))


def _histogram(rng: np.random.Generator) -> Case:
    x = rng.integers(0, 1000, 500).astype(np.int32)
    counts = np.zeros(64, np.int32)
    return Case((x, counts, 500), ((counts, np.bincount(x & 63, minlength=64)),))


PROGRAMS = (
    Program("ring", "sm_90a", 96, _ring, stage=256),
    Program("gemm", "sm_90a", 160, _gemm, shared=20480, stage=9216),
    Program("pingpong", "sm_90a", 128, _pingpong),
    Program("roundtrip", "sm_90a", 64, _roundtrip, stage=256),
    Program("cluster", "sm_90a", 32, _cluster, grid=2, cluster=2),
    Program("multicast", "sm_90a", 64, _multicast, grid=2, cluster=2, stage=256),
    Program("remote", "sm_90a", 32, _remote, grid=2, cluster=2),
    Program("handover", "sm_90a", 64, _handover, grid=2),
    Program("split", "sm_80", 64, _split, grid=3),
    Program("arrivals", "sm_80", 64, _arrivals, stage=512),
    Program("histogram", "sm_80", 64, _histogram, grid=2),
)
