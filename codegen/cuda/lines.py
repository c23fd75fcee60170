"""`#line` directives: which line of the user's source each line of generated text belongs to.

One directive stands before the lines of an instruction, so that the text stays readable. A C++
compiler counts on from it, though: the third line of a load on line 7 would belong to line 9.
`pin_lines` repeats the directive before each line, for the compiler only.
"""

from __future__ import annotations

GENERATED = "#line GENERATED"


def number_lines(text: str, name: str) -> str:
    """Directives that lead back to the generated text get its own line numbers."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line == GENERATED:
            lines[i] = f'#line {i + 2} "{name}"'
    return "\n".join(lines)


def pin_lines(text: str, name: str) -> str:
    """The text in which every line belongs to the line that the directive above it names."""
    found, directive, joined = [], "", False
    for line in text.split("\n"):
        if line.startswith("#line "):
            directive = "" if line.endswith(f'"{name}"') else line
        elif directive and not joined and not line.lstrip().startswith("//"):
            found.append(directive)
        joined = line.endswith("\\")
        if not line.startswith("#line ") or not directive:
            found.append(line)
    return "\n".join(found)
