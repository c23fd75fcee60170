"""Runs passes in order: verifies, times, stops anywhere, and shows the kernel in between.

A pass is a record whose `run` is a pure function of kernel and context. The context holds what the
passes may ask: the code target, the device, and the config of this compilation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.ir.diagnostics import InternalError, TilewrightError
from tilewright.ir.kernel import Kernel
from tilewright.ir.printer import print_kernel
from tilewright.ir.targets.record import Device, Target
from tilewright.ir.verifier import verify


@dataclass(frozen=True)
class Context:
    """What a pass may ask: target, device, and the reserved config names (`warps`, `stages`, …)."""

    target: Target
    device: Device
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass:
    """One pass: `run` maps a kernel to a kernel; the name is the file's."""

    name: str
    run: Callable[[Kernel, Context], Kernel]


@dataclass
class Trace:
    """What happened to one kernel: its form after each pass, and the seconds each took."""

    kernels: dict[str, Kernel] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_passes(
    kernel: Kernel,
    passes: Sequence[Pass],
    context: Context,
    *,
    check: bool = False,
    stop_after: str | None = None,
    trace: Trace | None = None,
) -> Kernel:
    """`kernel` after `passes`; with `check` the verifier runs after each of them."""
    for step in passes:
        start = time.perf_counter()
        kernel = _run_one(step, kernel, context)
        if trace is not None:
            trace.kernels[step.name] = kernel
            trace.seconds[step.name] = time.perf_counter() - start
        if check:
            _check(step, kernel)
        if step.name == stop_after:
            break
    return kernel


def _run_one(step: Pass, kernel: Kernel, context: Context) -> Kernel:
    try:
        return step.run(kernel, context)
    except TilewrightError:
        raise
    except Exception as error:
        raise InternalError(
            f"pass {step.name} failed on {kernel.name}: {type(error).__name__}: {error}\n"
            + print_kernel(kernel)
        ) from error


def _check(step: Pass, kernel: Kernel) -> None:
    try:
        verify(kernel)
    except TilewrightError as error:
        raise InternalError(
            f"pass {step.name} made an illegal kernel: {error.message}\n{print_kernel(kernel)}"
        ) from error
