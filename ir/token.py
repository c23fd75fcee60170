"""Tokens: completions of asynchronous instructions, as the interpreter holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Token:
    """Runs `finish` once, at the first wait; a token may be waited for again without effect."""

    finish: Callable[[], object]
    done: bool = False

    def wait(self) -> None:
        if not self.done:
            self.done = True
            self.finish()
