"""The Python source of a function as a syntax tree whose nodes know their place in the file.

The tree is parsed once per function. Lines are lines of the file (or notebook cell), columns count
characters, so errors point exactly at what the user wrote.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import inspect
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tilewright.frontend.liveness import Liveness, analyze
from tilewright.ir.diagnostics import LanguageError, Location


@dataclass(frozen=True, eq=False)
class Source:
    """One function: its syntax tree, where that stands, and which names are read again where."""

    function: Callable[..., Any]
    file: str
    lines: tuple[str, ...]
    first_line: int
    tree: ast.FunctionDef
    liveness: Liveness

    @property
    def name(self) -> str:
        return self.function.__name__

    def locate(self, node: ast.AST) -> Location:
        """The place of `node` in the user's file; a node over several lines ends with its first."""
        line: int = node.lineno  # type: ignore[attr-defined]
        start: int = node.col_offset  # type: ignore[attr-defined]
        end: int = node.end_col_offset  # type: ignore[attr-defined]
        text = self.lines[line - self.first_line]
        if node.end_lineno != line:  # type: ignore[attr-defined]
            end = len(text.rstrip().encode())
        return Location(self.file, line, _characters(text, start), _characters(text, end))

    @property
    def outside(self) -> Mapping[str, Any]:
        """The names that the function sees but does not define, as they are now."""
        code = self.function.__code__
        closure = {}
        for name, cell in zip(code.co_freevars, self.function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not assigned yet
                closure[name] = cell.cell_contents
        return ChainMap(closure, self.function.__globals__, vars(builtins))


def _characters(text: str, column: int) -> int:
    """A column in bytes, as the parser gives it, in characters."""
    return column if text.isascii() else len(text.encode()[:column].decode(errors="ignore"))


@functools.lru_cache(maxsize=256)
def read_source(function: Callable[..., Any]) -> Source:
    """Parse `function`; LanguageError where its source cannot be found."""
    try:
        lines, first_line = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise LanguageError(
            f"the source of {function.__name__} is not available",
            "a kernel is read from its source: define it in a file or a notebook cell",
        ) from None
    file = inspect.getsourcefile(function) or function.__code__.co_filename
    tree = _parse(lines, first_line)
    if not isinstance(tree, ast.FunctionDef) or tree.name != function.__name__:
        raise LanguageError(
            f"the source of {function.__name__} is not a function of that name",
            "define kernels with `def`; if the file changed since it was imported, import it again",
        )
    found = Source(function, file, tuple(lines), first_line, tree, analyze(tree))
    _check_signature(found)
    return found


def _parse(lines: list[str], first_line: int) -> ast.stmt | None:
    text = "".join(lines)
    indented = text[:1].isspace()
    try:
        tree = ast.parse("if True:\n" + text if indented else text)
    except SyntaxError:
        return None
    ast.increment_lineno(tree, first_line - 1 - indented)
    outer = tree.body[0]
    return outer.body[0] if indented and isinstance(outer, ast.If) else outer


def _check_signature(source: Source) -> None:
    args = source.tree.args
    extra = args.vararg or args.kwarg
    if extra is not None:
        raise LanguageError(
            f"{source.name} takes *{extra.arg}: the number of parameters is fixed",
            "name each parameter",
            location=source.locate(extra),
        )
