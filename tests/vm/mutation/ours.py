"""Our own kernels for sm_80, compiled, as programs that are mutated."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tilewright.runtime import vm
from tilewright.tests.vm.mutation.programs import Case

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True)
class OurProgram:
    """A kernel of an example, with the statics and options that it is compiled with."""

    name: str
    example: str
    make: Callable[[np.random.Generator], Case]
    options: tuple[tuple[str, int], ...] = ()
    stage: int = 0  # bytes between the stages of a ring

    @cached_property
    def compiled(self) -> Any:
        """The kernel for sm_80."""
        file, function = self.example.split(".")
        spec = importlib.util.spec_from_file_location(f"mutated_{file}", EXAMPLES / f"{file}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        args = self.make(np.random.default_rng()).args
        return getattr(module, function).compile(*args, target="vm:sm_80", **dict(self.options))

    def compile(self, _: Any) -> str:
        """The PTX."""
        text: str = self.compiled.program.binary.ptx
        return text

    def run(self, ptx: str, case: Case, checks: str, seed: int) -> vm.Report:
        """Runs a text on the case's arguments, which change."""
        program = self.compiled.program
        changed = replace(
            program, binary=replace(program.binary, ptx=ptx), checks=checks, seed=seed
        )
        report: vm.Report = replace(self.compiled, program=changed).launch(case.args)
        return report


def _tensor(rng: np.random.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Any:
    return torch.from_numpy(rng.integers(-8, 9, shape)).to(dtype)


def _matmul(m: int, n: int, k: int, dtype: torch.dtype) -> Callable[[np.random.Generator], Case]:
    def make(rng: np.random.Generator) -> Case:
        a, b = _tensor(rng, m, k, dtype=dtype), _tensor(rng, n, k, dtype=dtype)
        c = torch.full((m, n), float("nan"))
        return Case((a, b, c), ((c, a.float() @ b.float().T),))

    return make


def _softmax(rng: np.random.Generator) -> Case:
    x = torch.from_numpy(rng.standard_normal((2, 512))).float()
    y = torch.full_like(x, float("nan"))
    # 512 terms: sqrt(512) roundings of 2^-24, and as much for exp, tenfold.
    return Case((x, y), ((y, x.double().softmax(-1).float()),), tolerance=10 * 23 * 2.0**-24)


def _sum(axis: int, m: int, n: int) -> Callable[[np.random.Generator], Case]:
    def make(rng: np.random.Generator) -> Case:
        x = _tensor(rng, m, n)
        y = torch.full((x.shape[1 - axis],), float("nan"))
        return Case((x, y), ((y, x.sum(axis)),))

    return make


def _largest(rng: np.random.Generator) -> Case:
    x = torch.from_numpy(rng.integers(-1000, 1000, 700)).int()
    best = torch.full((1,), -5000, dtype=torch.int32)
    return Case((x, best), ((best, x.max()[None]),))


def _transpose(rng: np.random.Generator) -> Case:
    x = _tensor(rng, 64, 64)
    y = torch.full((64, 64), float("nan"))
    return Case((x, y), ((y, x.T),))


def _options(**options: int) -> tuple[tuple[str, int], ...]:
    return tuple(options.items())


BF16 = torch.bfloat16
OURS = (
    OurProgram(
        "matmul",
        "matmul.matmul",
        _matmul(32, 32, 160, BF16),
        _options(bm=32, bn=32, bk=32, warps=2),
    ),
    OurProgram(
        "matmul odd",
        "matmul.matmul",
        _matmul(31, 30, 75, BF16),
        _options(bm=32, bn=32, bk=32, warps=4, stages=2),
    ),
    OurProgram(
        "matmul f32",
        "matmul.matmul",
        _matmul(32, 32, 96, torch.float32),
        _options(bm=32, bn=32, bk=16, warps=2, stages=4),
    ),
    OurProgram("softmax", "softmax.softmax", _softmax, _options(bm=2, bn=256, warps=4)),
    OurProgram("sum rows", "reductions.sum_rows", _sum(1, 8, 256), _options(bm=8, bn=128, warps=4)),
    OurProgram(
        "sum columns", "reductions.sum_columns", _sum(0, 64, 64), _options(bm=32, bn=64, warps=4)
    ),
    OurProgram("largest", "reductions.find_max", _largest, _options(block=512, warps=2)),
    OurProgram("transpose", "transpose.transpose", _transpose, _options(bm=64, bn=64)),
)
