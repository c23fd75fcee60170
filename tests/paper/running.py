"""Paper kernels: each is a `tile` text and a `scheduled` text that mean the same.

A `Paper` reads both forms of one kernel, runs them in the interpreter, and plants defects in the
scheduled form: one edge of its synchronization at a time is removed, or a parity is swapped, and
the interpreter has to notice.

`python -m tilewright.tests.paper.running` rewrites the texts as the printer writes them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.sync import Arrive, BarrierWait, Wait
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Builder, Kernel, rebuild, walk
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array, numpy_class
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import InstructionPrinter, print_kernel
from tilewright.ir.types import DType
from tilewright.ir.values import element_type

FOLDER = Path(__file__).parent
SEEDS = 30
"""Schedules that a planted defect is tried on."""

STEPS = 200_000
"""Far more instructions than any of these kernels runs; a defect may make one loop for ever."""


def view(values: Any, dtype: DType) -> TensorView:
    """A tensor argument with its own copy of `values`, rounded into `dtype`."""
    held = np.array(values, numpy_class(dtype))
    return TensorView(np.asarray(dtype.decode(dtype.encode(held))).astype(held.dtype), dtype)


def blank(shape: Sequence[int], dtype: DType) -> TensorView:
    """A poisoned output."""
    if dtype.is_float:
        return TensorView(np.full(shape, np.nan), dtype)
    return TensorView(np.full(shape, dtype.max, numpy_class(dtype)), dtype)


@dataclass(frozen=True)
class Paper:
    """Both forms of one kernel."""

    name: str

    @property
    def texts(self) -> dict[str, str]:
        return {
            form: (FOLDER / f"{self.name}.{form}").read_text() for form in ("tile", "scheduled")
        }

    def kernel(self, form: str) -> Kernel:
        return parse_kernel(self.texts[form], f"{self.name}.{form}")

    def run(self, form: str, **args: Any) -> None:
        run(self.kernel(form), args)

    def defects(self) -> Iterator[tuple[str, Kernel]]:
        """The scheduled form with one edge broken, for every edge, and what was done to it."""
        whole = self.kernel("scheduled")
        printer = InstructionPrinter()
        heads = {item: printer.head(item) for item in whole.walk()}
        for role, item in _by_role(whole):
            if isinstance(item, (Arrive, BarrierWait, Wait)):
                yield f"{role}: without {heads[item]}", _edit(whole, item, _drop)
            if isinstance(item, BarrierWait):
                yield f"{role}: other parity in {heads[item]}", _edit(whole, item, _swap)


def _by_role(kernel: Kernel) -> Iterator[tuple[str, Instruction]]:
    for roles in kernel.walk():
        if isinstance(roles, Roles):
            for name, body in zip(roles.names, roles.members, strict=True):
                yield from ((name, item) for item in walk(body))


def run(kernel: Kernel, args: dict[str, Any], seed: int | None = None) -> None:
    """Interpret `kernel` on arguments by name; scalars are Python numbers."""
    held = [
        a if isinstance(a, TensorView) else np.asarray(a, numpy_class(element_type(p)))
        for p in kernel.params
        for a in (args[p.name],)
    ]
    interpret(kernel, held, seed=seed, limit=STEPS)


def _edit(
    kernel: Kernel, target: Instruction, change: Callable[[Any, Builder], tuple[Any, ...]]
) -> Kernel:
    line = target.location

    def visit(item: Instruction, builder: Builder) -> tuple[Any, ...] | None:
        return change(item, builder) if item.location == line else None

    return rebuild(kernel, visit)


def _drop(item: Instruction, builder: Builder) -> tuple[Any, ...]:
    """Nothing; a wait that gives tiles gives them without waiting."""
    if isinstance(item, Wait) and item.pending:
        return builder.add(Wait(tokens=(), pending=item.pending))
    return ()


def _swap(item: BarrierWait, builder: Builder) -> tuple[Any, ...]:
    one = builder.value(Const(value=1, dtype=element_type(item.parity)))
    other = builder.value(Binary(op="sub", left=one, right=item.parity))
    builder.append(dataclasses.replace(item, parity=other))
    return ()


def check_defects(
    paper: Paper, execute: Callable[[Kernel, int | None], None], implied: Sequence[str] = ()
) -> None:
    """The kernel is right on every schedule, and every planted defect raises on some.

    `execute` runs a kernel with a seed and compares. What it raises shows the defect, but a wrong
    result alone does not: the interpreter has to say what is wrong. `implied` are patterns of
    defects that change nothing, because another edge implies theirs.
    """
    for seed in (None, *range(8)):
        execute(paper.kernel("scheduled"), seed)
    silent = set()
    for what, kernel in paper.defects():
        seen = (_outcome(kernel, execute, seed) for seed in (None, *range(SEEDS)))
        quiet = list(itertools.takewhile(lambda outcome: outcome != "raised", seen))
        assert len(quiet) <= SEEDS or "wrong result" not in quiet, f"nothing raised: {what}"
        if len(quiet) > SEEDS:
            silent.add(what)
    matched = {what: [p for p in implied if fnmatchcase(what, p)] for what in silent}
    unknown = [what for what, found in matched.items() if not found]
    assert not unknown, "nobody noticed:\n" + "\n".join(unknown)
    assert set(implied) == {p for found in matched.values() for p in found}, "noticed after all"


def _outcome(
    kernel: Kernel, execute: Callable[[Kernel, int | None], None], seed: int | None
) -> str:
    try:
        execute(kernel, seed)
    except InterpretError:
        return "raised"
    except AssertionError:
        return "wrong result"
    return "right result"


def main() -> None:
    """Rewrite every text as the printer writes it; the comments above the kernel stay."""
    for path in sorted(FOLDER.glob("*.tile")) + sorted(FOLDER.glob("*.scheduled")):
        text = path.read_text()
        head = [line for line in text.splitlines(keepends=True) if line.startswith("//")]
        path.write_text("".join(head) + print_kernel(parse_kernel(text, path.name)))


def close(got: Array, want: Array, tolerance: Array | float) -> None:
    """Assert |got - want| <= tolerance everywhere, without NaN."""
    worst = np.max(np.abs(got - want) - tolerance, initial=-np.inf)
    assert not np.isnan(got).any(), "poison in the result"
    assert worst <= 0, f"{worst} beyond the tolerance"


if __name__ == "__main__":
    main()
