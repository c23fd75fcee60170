"""Numbered excerpts of generated source for error messages.

Generated source carries `#line N "/file"` directives, so a compiler reports places in the user's
(virtual) file. `find_lines` goes back from such a place to lines of the generated text; PTX is
followed the same way through its `.file` and `.loc` directives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r'\s*#\s*(?:line\s+)?(\d+)(?:\s+"([^"]*)")?')
_PTX_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"([^"]*)"')
_PTX_LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)")


def find_lines(source: str, name: str, file: str, line: int) -> list[int]:
    """1-based lines of `source` (compiled as `name`) that count as `file`:`line`."""
    return [at for at, place in _places(source, name) if place == (file, line)]


def find_ptx_place(ptx: str, line: int) -> tuple[str, int] | None:
    """(file, line) of the source that the 1-based PTX line came from, if its `.loc` says so."""
    files: dict[str, str] = {}
    last: tuple[str, int] | None = None
    for at, text in enumerate(ptx.splitlines(), 1):
        if match := _PTX_FILE.match(text):
            files[match[1]] = match[2]
        elif at <= line and (match := _PTX_LOC.match(text)):
            last = (match[1], int(match[2]))
    if last is None or last[0] not in files:
        return None
    return files[last[0]], last[1]


def number_lines(source: str, line: int, around: int = 3) -> str:
    """Lines `line - around` to `line + around` with their numbers, `line` marked by an arrow."""
    lines = source.splitlines()
    first, last = max(1, line - around), min(len(lines), line + around)
    width = len(str(last))
    return "\n".join(
        f"{'>' if at == line else ' '} {at:>{width}} | {lines[at - 1]}"
        for at in range(first, last + 1)
    )


def _places(source: str, name: str) -> Iterator[tuple[int, tuple[str, int]]]:
    file, line = name, 0
    for at, text in enumerate(source.splitlines(), 1):
        if match := _LINE.match(text):
            file, line = match[2] or file, int(match[1]) - 1
            continue
        line += 1
        yield at, (file, line)
