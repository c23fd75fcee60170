"""PTX text → tokens, by one regular expression.

Dotted names (`ld.shared::cta.v4.u32`, `%tid.x`, `$L__BB0_1`) are single tokens; comments vanish but
lines keep their numbers, which faults and race reports print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tilewright.runtime.vm.faults import Fault, Place

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r\f]+|//[^\n]*|/\*.*?\*/)
  | (?P<newline>\n)
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<number>0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]+U?|0[bB][01]+U?
      |\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d+U?)
  | (?P<name>[A-Za-z_$%.](?:[\w$.]|::)*)
  | (?P<mark>[][{}()<>,;:+\-@!|=*/~&^?])
""",
    re.X | re.S,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text, kind (`name`, `number`, `string`, `mark`) and line."""

    text: str
    kind: str
    line: int


def tokenize(text: str) -> list[Token]:
    """All tokens of a PTX file, ended by an empty one."""
    tokens: list[Token] = []
    line, at, end = 1, 0, len(text)
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            where = Place(line, text.split("\n")[line - 1].strip())
            raise Fault("syntax", f"unexpected character {text[at]!r}", place=where)
        kind, at = str(match.lastgroup), match.end()
        if kind == "newline":
            line += 1
        elif kind == "skip":
            line += match.group().count("\n")
        elif kind == "name" and text[match.start()] == ".":  # `.reg.b32`: two directives
            parts = match.group().split(".")[1:]
            tokens.extend(Token(f".{part}", kind, line) for part in parts)
        else:
            tokens.append(Token(match.group(), kind, line))
    tokens.append(Token("", "end", line))
    return tokens
