"""`tw.print`, `tw.check` and `tw.assume`."""

from __future__ import annotations

import ast
import string
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.arithmetic import truth
from tilewright.frontend.context import Context
from tilewright.frontend.functions.reductions import to_condition
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import has_elements, to_scalar
from tilewright.frontend.values import describe, is_static
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.check import Check, Print
from tilewright.ir.instructions.scalar import Assume


@implement(language.print)
def _print(c: Context, text: Any, values: tuple[Any, ...] = ()) -> None:
    if not isinstance(text, str):
        raise LanguageError(
            f"the first argument of tw.print is its text, not {describe(text)}",
            'write tw.print("x = {}", x)',
        )
    try:
        holes = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    except ValueError as error:
        raise LanguageError(f"the text of tw.print: {error}", "write {{ for a brace") from None
    if any(holes):
        raise LanguageError("a hole of tw.print is {}, without a name", "write {} for each value")
    if len(holes) != len(values):
        raise LanguageError(f"{len(holes)} {{}} in the text of tw.print for {len(values)} values")
    made = tuple(v if has_elements(v) else to_scalar(c, v) for v in values)
    c.emit_all(Print(values=made, text=text))


@implement(language.check)
def _check(c: Context, condition: Any, text: Any) -> None:
    if not isinstance(text, str):
        raise LanguageError(f"the text of tw.check is a string, not {describe(text)}")
    if not text and isinstance(c.node, ast.Call):
        text = ast.unparse(c.node.args[0]) if c.node.args else "tw.check"
    c.emit_all(Check(condition=to_condition(c, condition), text=text))


@implement(language.assume)
def _assume(c: Context, fact: Any) -> None:
    if is_static(fact):
        if not fact:
            raise LanguageError("tw.assume of what is false while compiling")
        return
    c.emit_all(Assume(fact=truth(fact)))
