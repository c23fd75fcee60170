"""Errors: one small family, each with a place, what is wrong, the rule, and the smallest change.

Every error that a user can cause derives from `TilewrightError`. Its text is assembled here and
nowhere else, so that all messages have one shape:

    LayoutError: 5 lanes do not divide 128 columns
      --> matmul.py:12:13
       |
    12 |         x = tw.load(a, (i * bm, k), (bm, bk))
       |             ^^^^^^^
      = hint: use a tile width that is a multiple of 8
"""

from __future__ import annotations

import functools
import linecache
from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """A place in the user's source: file, 1-based line, 0-based columns [column, end_column)."""

    file: str
    line: int
    column: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column + 1}"


@functools.cache
def _source_line(file: str, line: int) -> str:
    return linecache.getline(file, line).rstrip("\n")


def render_place(location: Location) -> str:
    """The source line with a caret below the offending columns; only `-->` without the source."""
    head = f"  --> {location}"
    text = _source_line(location.file, location.line)
    if not text:
        return head
    gutter = len(str(location.line))
    width = max(1, min(location.end_column, len(text)) - location.column)
    pad = " " * (gutter + 1)
    return "\n".join(
        (
            head,
            f"{pad}|",
            f"{location.line} | {text}",
            f"{pad}| {' ' * location.column}{'^' * width}",
        )
    )


class TilewrightError(Exception):
    """Base of all errors that a user can cause: message, optional hint, optional place."""

    def __init__(
        self, message: str, hint: str | None = None, *, location: Location | None = None
    ) -> None:
        self.message = message
        self.hint = hint
        self.location = location
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.location is not None:
            parts.append(render_place(self.location))
        if self.hint:
            parts.append(f"  = hint: {self.hint}")
        return "\n".join(parts)

    def at(self, location: Location | None) -> TilewrightError:
        """The same error, placed at `location` unless it already has a place."""
        if self.location is None:
            self.location = location
        return self


class LanguageError(TilewrightError):
    """The kernel's Python uses something that the language does not have."""


class TypeMismatch(TilewrightError, TypeError):
    """Operand types do not fit the instruction."""


class ShapeError(TilewrightError, ValueError):
    """Tile shapes do not fit each other."""


class ResourceError(TilewrightError):
    """The kernel needs more shared memory, registers or warps than the device has."""


class IRSyntaxError(TilewrightError):
    """IR text does not parse."""


class VerifyError(TilewrightError):
    """A kernel breaks a rule of its phase."""


class InterpretError(TilewrightError):
    """The interpreter met an illegal state: poison read, deadlock, failed check, out of range."""


class InternalError(TilewrightError):
    """A defect of tilewright itself: pass, instruction, and how to reproduce it."""
