"""Commit copies: every asynchronous copy that nobody grouped becomes a group of its own.

before:  %t: token = copy %a, [%i, %k], %x_buffer
         wait [%t], []
after:   %t: token = copy %a, [%i, %k], %x_buffer
         %g: token = commit [%t]
         wait [%g], []

Needs: nothing. Gives: whoever waits for a copy by `cp_async` waits for a group, which is what the
hardware knows (PTX ISA, `cp.async.wait_group`). Cost: linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.instructions.sync import Commit
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.values import Value
from tilewright.passes.runner import Context, Pass


def commit_copies(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with a commit behind every copy whose token none takes."""
    del context
    grouped = {token for item in kernel.walk() if isinstance(item, Commit) for token in item.tokens}

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Copy) or item.path != "cp_async" or item.results[0] in grouped:
            return None
        (token,) = builder.add(replace(item, results=()), item.results[0].name)
        return [builder.value(Commit(tokens=(token,)), token.name)]

    return rebuild(kernel, visit)


PASS = Pass("commit_copies", commit_copies)
