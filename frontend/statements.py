"""Statements: assignment, control flow that is known while compiling, and hand-over of the rest.

`execute` runs a list of statements and says how it ended (`Flow`). Branches and loops that are
decided at run time are in `branches`, `loops` and `roles`.
"""

from __future__ import annotations

import ast
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.assignment import assign
from tilewright.frontend.branches import Execute, run_branch
from tilewright.frontend.context import CarriedLoop, Context, UnrolledLoop
from tilewright.frontend.expressions import evaluate, evaluate_condition
from tilewright.frontend.handlers import call_handler
from tilewright.frontend.loops import leave_loop, run_for, run_while
from tilewright.frontend.roles import run_roles
from tilewright.frontend.sequences import bind_target, iterate
from tilewright.frontend.values import Binding, DynamicRange, Flow, is_static
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.control import Break, Continue
from tilewright.ir.values import Value

UNROLL_LIMIT = 1024
RETURNED = "return"
"""The name under which a function's result is kept; no Python name can be a keyword."""

REFUSED: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.Try: ("try", "a kernel raises nothing: use tw.check"),
    ast.Raise: ("raise", "use tw.check(condition, text)"),
    ast.Global: ("global", "a kernel changes only tensors; pass and return values"),
    ast.Nonlocal: ("nonlocal", "a kernel changes only tensors; pass and return values"),
    ast.FunctionDef: ("a function inside a kernel", "define it outside, with @tw.inline"),
    ast.ClassDef: ("a class inside a kernel", "define it outside"),
    ast.Import: ("import inside a kernel", "import at the top of the file"),
    ast.ImportFrom: ("import inside a kernel", "import at the top of the file"),
    ast.Delete: ("del", "leave the name: values cost nothing"),
    ast.Match: ("match", "use if and elif"),
    ast.AsyncFor: ("async", None),
    ast.AsyncWith: ("async", None),
    ast.AsyncFunctionDef: ("async", None),
}


def execute(c: Context, body: list[ast.stmt]) -> Flow:
    """Run statements until one of them ends the list."""
    tail = c.frame.tail
    at = 0
    while at < len(body):
        node, rest = body[at], body[at + 1 :]
        c.targets, c.frame.tail = (), tail and not rest
        taken = 1
        try:
            with c.at(node):
                match node:
                    case ast.If():
                        flow, all_rest = _if(c, node, rest, tail)
                        taken += len(rest) if all_rest else 0
                    case ast.With():
                        flow, taken = Flow.NEXT, _with(c, body[at:])
                    case _:
                        flow = _statement(c, node)
        finally:
            c.frame.tail = tail
        if flow is not Flow.NEXT:
            return flow
        at += taken
    return Flow.NEXT


def _statement(c: Context, node: ast.stmt) -> Flow:
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            assign(c, node)
        case ast.Expr(value=value):
            _expression(c, value)
        case ast.For():
            return _for(c, node)
        case ast.While():
            return _while(c, node)
        case ast.Break() | ast.Continue():
            return _leave(c, isinstance(node, ast.Break))
        case ast.Return(value=value):
            return _return(c, value)
        case ast.Assert(test=test, msg=text):
            _assert(c, test, text)
        case ast.Pass():
            pass
        case _:
            what, hint = REFUSED.get(type(node), (type(node).__name__, None))
            raise LanguageError(f"{what}: not in the language of kernels", hint)
    return Flow.NEXT


def _expression(c: Context, value: ast.expr) -> None:
    if isinstance(value, ast.Constant):
        return  # a docstring, or ...
    held = evaluate(c, value)
    if not isinstance(value, ast.Call) and not is_static(held):
        raise LanguageError("this line computes a value and drops it", "assign it to a name")


def _if(c: Context, node: ast.If, rest: list[ast.stmt], tail: bool) -> tuple[Flow, bool]:
    """Run `if`; also whether that took `rest` (statements after an early return) with it."""
    condition = evaluate_condition(c, node.test)
    if not isinstance(condition, Value):
        return execute(c, node.body if condition else node.orelse), False
    yes, no, used = node.body, node.orelse, False
    if rest and tail and (_returns(yes) or _returns(no)):
        c.frame.tail, used = True, True
        yes = yes if _returns(yes) else [*yes, *rest]
        no = no if _returns(no) else [*no, *rest]
    run: Execute = execute
    return run_branch(c, node, condition, yes, no, run), used


def _returns(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return)


def _for(c: Context, node: ast.For) -> Flow:
    if node.orelse:
        raise LanguageError("else of a loop", "set a flag before `break` and test it afterwards")
    held = evaluate(c, node.iter)
    if isinstance(held, DynamicRange):
        return run_for(c, node, held, execute)
    items = iterate(c, held)
    if len(items) > UNROLL_LIMIT:
        raise LanguageError(
            f"{len(items)} iterations are unrolled while compiling, at most {UNROLL_LIMIT}",
            "use tw.range for a loop of the kernel",
        )
    return _unroll(c, node, items)


def _unroll(c: Context, node: ast.For, items: tuple[Any, ...]) -> Flow:
    outer = c.frame.loop
    c.frame.loop = UnrolledLoop(c.builder)
    c.frame.tail = False
    try:
        for item in items:
            bind_target(c, node.target, item)
            flow = execute(c, node.body)
            if flow is Flow.BREAK:
                break
            if flow in (Flow.LEFT, Flow.RETURN):
                return flow
    finally:
        c.frame.loop = outer
    return Flow.NEXT


def _while(c: Context, node: ast.While) -> Flow:
    if node.orelse:
        raise LanguageError("else of a loop", "set a flag before `break` and test it afterwards")
    return run_while(c, node, execute)


def _leave(c: Context, is_break: bool) -> Flow:
    word = "break" if is_break else "continue"
    match c.frame.loop:
        case CarriedLoop():
            leave_loop(c, c.frame.loop, Break if is_break else Continue)
            return Flow.LEFT
        case UnrolledLoop(builder=builder) if builder is c.builder:
            return Flow.BREAK if is_break else Flow.CONTINUE
        case UnrolledLoop():
            raise LanguageError(
                f"{word} of an unrolled loop under a condition that is decided at run time",
                "use tw.range for a loop of the kernel",
            )
    raise LanguageError(f"{word} outside of a loop", "a role's body is left at its end")


def _return(c: Context, value: ast.expr | None) -> Flow:
    if c.builder is not c.frame.builder and not c.frame.tail:
        raise LanguageError(
            "return inside a loop, or a branch that is not the function's end",
            "return stands only at the end: carry the result in a variable",
        )
    held = None if value is None else evaluate(c, value)
    if len(c.frames) == 1 and held is not None:
        raise LanguageError("a kernel returns nothing", "store the result into a tensor argument")
    c.frame.names[RETURNED] = Binding(held, c.place)
    return Flow.RETURN


def _assert(c: Context, test: ast.expr, text: ast.expr | None) -> None:
    held = evaluate(c, test)
    message = ast.unparse(test) if text is None else evaluate(c, text)
    if is_static(held):
        if not held:
            raise LanguageError(f"assertion failed: {message}")
        return
    call_handler(c, language.check, "assert", (held, message), {})


def _with(c: Context, body: list[ast.stmt]) -> int:
    """Run the roles that `body` begins with; how many statements that were."""
    group: list[ast.With] = []
    for node in body:
        if not isinstance(node, ast.With):
            break
        group.append(node)
    run_roles(c, group, execute)
    return len(group)


__all__ = ["RETURNED", "execute"]
