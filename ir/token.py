"""Completions of asynchronous instructions, as the interpreter holds them.

The interpreter completes everything as late as it may: a copy lands when somebody waits for it, so
a missing wait reads poison and a missing release overwrites what is still in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.numeric import Array


@dataclass
class Token:
    """Runs `finish` once, at the first wait; a token may be waited for again without effect.

    `release` runs before it: the point from which the instruction reads its buffers no more.
    """

    finish: Callable[[], object]
    release: Callable[[], object] | None = None
    done: bool = False
    released: bool = False

    def wait(self) -> None:
        self.wait_reads()
        if not self.done:
            self.done = True
            self.finish()

    def wait_reads(self) -> None:
        if not self.released:
            self.released = True
            if self.release is not None:
                self.release()


@dataclass
class Pending:
    """A tile that becomes readable when `token` is done; it is used once."""

    values: Array
    token: Token
    used: bool = False

    def take(self) -> Array:
        if self.used:
            raise InterpretError("a pending tile is used twice: it is linear")
        self.used = True
        return self.values

    def read(self) -> Array:
        if not self.token.done:
            raise InterpretError("a pending tile is read before its product was waited for")
        return self.take()
