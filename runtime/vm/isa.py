"""Which instruction forms exist: the table in `isa_table.py`, read and asked.

Families bind operands; whether a form is one that they know is decided here, before, so that a
modifier or a type that nobody looks at is an error, never a guess.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.isa_table import MISSING, REASONS, TABLE, WORDS
from tilewright.runtime.vm.records import BITS

_OTHER_TYPES = ("u4", "s4", "u2", "s2", "b1", "b1024")


@dataclass(frozen=True, slots=True)
class Form:
    """Forms of one opcode: `choices` (one of each is there), `optional` modifiers, and the types
    of each position.
    """

    opcode: str
    family: str
    choices: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...]
    types: tuple[tuple[str, ...], ...]

    def matches(self, words: tuple[str, ...], types: tuple[str, ...]) -> bool:
        """Whether an instruction with these modifiers and types is of this form."""
        if len(types) != len(self.types):
            return False
        if any(t not in known for t, known in zip(types, self.types, strict=True)):
            return False
        rest = list(words)
        for choice in self.choices:
            found = next((w for w in rest if _is_one_of(w, choice)), None)
            if found is None:
                return False
            rest.remove(found)
        return all(_is_one_of(word, self.optional) for word in rest)

    def __str__(self) -> str:
        """In the manual's manner: `mul {.lo .hi} | u16 s16`, with what may be left out in `[]`."""
        words = [f".{c[0]}" if len(c) == 1 else _braces(c) for c in self.choices]
        optional = [f"[{' '.join(f'.{w}' for w in self.optional)}]"] if self.optional else []
        types = [f"| {', '.join(' '.join(t) for t in self.types)}"] if self.types else []
        return " ".join((self.opcode, *words, *optional, *types))


def _braces(words: tuple[str, ...]) -> str:
    return "{" + " ".join(f".{word}" for word in words) + "}"


def _is_one_of(word: str, names: tuple[str, ...]) -> bool:
    return any(word == name or ("*" in name and fnmatchcase(word, name)) for name in names)


def is_type(word: str) -> bool:
    """Whether a modifier is an element type."""
    return word in BITS or word in _OTHER_TYPES


@lru_cache(maxsize=1)
def forms() -> dict[str, tuple[Form, ...]]:
    """All forms by opcode, in the order of the table."""
    found: dict[str, list[Form]] = {}
    family = ""
    for line in TABLE.format(**WORDS).splitlines():
        if line.startswith("#"):
            family = line[2:]
        elif line:
            form = _read(line, family)
            found.setdefault(form.opcode, []).append(form)
    return {opcode: tuple(items) for opcode, items in found.items()}


def _read(line: str, family: str) -> Form:
    text, _, types = line.rpartition(":")
    opcode, *words = text.split()
    choices, optional = [], []
    for word in words:
        if "/" in word or word.endswith("!"):
            choices.append(tuple(word.removesuffix("!").split("/")))
        else:
            optional.append(word)
    positions = tuple(tuple(position.split()) for position in types.split(",") if position.strip())
    return Form(opcode, family, tuple(choices), tuple(optional), positions)


def describe(width: int = 100) -> str:
    """The whole table and what it leaves out, as text for people."""
    lines: list[str] = []
    families: dict[str, list[Form]] = {}
    for items in forms().values():
        for form in items:
            families.setdefault(form.family, []).append(form)
    for family, of_family in families.items():
        lines += [family, ""]
        for form in of_family:
            lines += textwrap.wrap(
                str(form), width, initial_indent="  ", subsequent_indent="      "
            )
        lines.append("")
    lines += ["Not run", ""]
    reasons: dict[str, list[str]] = {}
    for word, reason in (*MISSING.items(), *((f".{m}", r) for m, r in REASONS.items())):
        reasons.setdefault(reason, []).append(word)
    for reason, names in reasons.items():
        text = f"{', '.join(names)}: {reason}"
        lines += textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=4096)
def check_form(name: str) -> None:
    """Raises a `Fault` where the dotted instruction `name` is no form of the table."""
    opcode, *mods = name.split(".")
    words = tuple(m for m in mods if not is_type(m))
    types = tuple(m for m in mods if is_type(m))
    known = forms().get(opcode, ())
    if any(form.matches(words, types) for form in known):
        return
    reason = MISSING.get(opcode) or next((REASONS[m] for m in mods if m in REASONS), "")
    if not reason and known:
        strange = [m for m in mods if not any(_knows(form, m) for form in known)]
        reason = f"{opcode} has no .{strange[0]}" if strange else "no form of it is like this"
    raise Fault("unsupported", f"instruction {name}" + (f": {reason}" if reason else ""))


def _knows(form: Form, word: str) -> bool:
    groups = (*form.choices, form.optional, *form.types)
    return any(_is_one_of(word, group) for group in groups)
