"""A gallery of broken kernels: each breaks one rule, its docstring says what the error must be.

Class, message, marked text, hint, one line each (without hint the line is missing). In a message
`{text}` stands for the line of the kernel that begins with that text.
"""

import inspect
import re
from pathlib import Path

import pytest

from tilewright.frontend.capture import capture
from tilewright.ir import diagnostics
from tilewright.ir.diagnostics import TilewrightError
from tilewright.ir.types import bool_, f16, f32, i32, nf4
from tilewright.ir.values import ScalarType
from tilewright.tests.frontend.running import tensor

ARGUMENTS = {
    "x": tensor(f32),
    "y": tensor(f32),
    "h": tensor(f16),
    "i": tensor(i32),
    "m": tensor(f32, 2),
    "c": tensor(nf4),
    "n": ScalarType(i32),
    "s": ScalarType(f32),
    "flag": ScalarType(bool_),
}
"""What each parameter name of a broken kernel is."""


def expected(function):
    """Class, message, marked text and hint from the docstring."""
    lines = inspect.getdoc(function).split("\n")
    source, first = inspect.getsourcelines(function)

    def line_of(match):
        return str(first + next(n for n, s in enumerate(source) if s.strip().startswith(match[1])))

    message = re.sub(r"(?<=line )\{([^{}]+)\}", line_of, lines[1])
    return lines[0], message, lines[2], lines[3] if len(lines) > 3 else None


def check(function):
    """Capture `function`; its error must be the one of its docstring, at the marked text."""
    kind, message, marked, hint = expected(function)
    names = inspect.signature(function).parameters
    with pytest.raises(TilewrightError) as caught:
        capture(function, {n: ARGUMENTS[n] for n in names if n in ARGUMENTS})
    error = caught.value
    found = error.message
    if "(line 0)" in message:  # lines of another function
        found = re.sub(r"\(line \d+\)", "(line 0)", found)
    assert (found, error.hint) == (message, hint), str(error)
    assert type(error) is getattr(diagnostics, kind)
    file = inspect.getsourcefile(function)
    assert error.location.file == file
    lines = Path(file).read_text().splitlines()
    text = lines[error.location.line - 1][error.location.column : error.location.end_column]
    assert text == marked, str(error)
