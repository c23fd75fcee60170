"""Generated text: the result record, lines with indentation, and names that C++ accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tilewright.ir.values import Value

_PRELUDE = Path(__file__).parent / "prelude"
_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.MULTILINE)
_RESERVED = frozenset(
    "alignas alignof and asm auto bool break case catch char char8_t char16_t char32_t class "
    "concept const const_cast consteval constexpr constinit continue co_await co_return co_yield "
    "decltype default delete do double dynamic_cast else enum explicit export extern false float "
    "for friend goto if inline int long mutable namespace new noexcept not nullptr operator or "
    "private protected public register reinterpret_cast requires return short signed sizeof static "
    "static_assert static_cast struct switch template this thread_local throw true try typedef "
    "typeid typename union unsigned using virtual void volatile wchar_t while xor tw words blocks "
    "threads launch message block at unit extents panels lease main linux unix errno std "
    "I".split()
)
_MACRO = re.compile("[A-Z][A-Z0-9_]{2,}")
"""What a header may have defined: only macros are all capitals."""


@dataclass(frozen=True)
class CppSource:
    """One translation unit, the function to call, and the compiler options that it needs."""

    text: str
    entry: str
    flags: tuple[str, ...] = ("-ffp-contract=off",)


@dataclass
class Writer:
    """Lines of C++ under construction."""

    lines: list[str] = field(default_factory=list)
    depth: int = 1

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text if text else "")

    @contextmanager
    def block(self, head: str, tail: str = "}") -> Iterator[None]:
        """`head {`, what is written inside, and `tail`."""
        self.line(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.line(tail)


@dataclass
class Names:
    """C++ identifiers: the user's names where there are any, made unique."""

    given: dict[Value, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def fresh(self, hint: str) -> str:
        """A new identifier that looks like `hint`."""
        word = re.sub(r"\W+", "_", hint).strip("_") or "v"
        if word in _RESERVED or _MACRO.fullmatch(word):
            word = f"{word}_"
        elif word[0].isdigit() or re.fullmatch(r"(i\d+|v)", word):
            word = f"v{word}"
        found, count = word, 0
        while found in self.taken:
            count += 1
            found = f"{word}_{count}"
        self.taken.add(found)
        return found

    def of(self, value: Value) -> str:
        """The identifier of `value`."""
        if value not in self.given:
            self.given[value] = self.fresh(value.name or "v")
        return self.given[value]


@cache
def inline_header(name: str) -> str:
    """A prelude header and those that it includes, once each, as text without #include "…"."""
    found: dict[str, str] = {}
    _collect(name, found)
    return "\n".join(found.values())


def inline_headers(names: tuple[str, ...]) -> str:
    """Several headers with what they include, each once."""
    found: dict[str, str] = {}
    for name in names:
        _collect(name, found)
    return "\n".join(found.values())


def _collect(name: str, found: dict[str, str]) -> None:
    if name in found:
        return
    text = (_PRELUDE / name).read_text()
    for inner in _INCLUDE.findall(text):
        _collect(inner, found)
    body = _INCLUDE.sub("", text).replace("#pragma once\n", "")
    found[name] = f"// --- {name}\n{body}"
