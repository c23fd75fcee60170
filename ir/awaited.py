"""Somebody waits for every asynchronous copy: else it may still run when its buffer is used again.

A copy's token is awaited if it reaches an instruction that takes it for good: a `wait`, or an
arrival `after` it. It may get there through groups (`commit`) and through what loops and branches
carry. A copy that completes a barrier has no need of its token.
"""

from __future__ import annotations

from tilewright.ir.diagnostics import VerifyError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import Copy, CopyOut
from tilewright.ir.instructions.control import Break, Continue, For, If, While, Yield
from tilewright.ir.instructions.sync import Commit
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import TokenType, Value

Flows = dict[Value, list[Value]]
"""The values that a token goes on to."""
Loop = For | While


def check_awaited(kernel: Kernel) -> None:
    """Raise VerifyError at the first copy that nobody waits for."""
    copies = [item for item in kernel.walk() if isinstance(item, (Copy, CopyOut))]
    if not copies:
        return
    flows: Flows = {}
    taken: set[Value] = set()
    _visit(kernel.body, None, None, flows, taken)
    for item in copies:
        if isinstance(item, Copy) and item.barrier is not None:
            continue
        if not _reaches(item.results[0], flows, taken):
            raise VerifyError(
                "nobody waits for this copy",
                "keep its token, t = tw.copy(...), and tw.wait(t) before what it copied is used",
                location=item.location,
            )


def _reaches(token: Value, flows: Flows, taken: set[Value]) -> bool:
    seen: set[Value] = set()
    stack = [token]
    while stack:
        value = stack.pop()
        if value in taken:
            return True
        if value not in seen:
            seen.add(value)
            stack += flows.get(value, [])
    return False


def _visit(
    body: Body, owner: Instruction | None, loop: Loop | None, flows: Flows, taken: set[Value]
) -> None:
    """Add where the tokens of `body`, which belongs to `owner` and lies in `loop`, go."""
    for item in body.instructions:
        match item:
            case For(init=init) | While(init=init):
                _carry(init, _slots(item), flows)
            case Commit(tokens=tokens):
                _carry(tokens, [item.results] * len(tokens), flows)
            case Yield(values=values) if isinstance(owner, If):
                _carry(values, [(result,) for result in owner.results], flows)
            case Yield(values=values) | Break(values=values) | Continue(values=values):
                _carry(values, [] if loop is None else _slots(loop), flows)
            case _:
                taken |= {v for v in item.operand_values if isinstance(v.type, TokenType)}
        inner = item if isinstance(item, (For, While)) else loop
        for nested in item.nested:
            _visit(nested, item, inner, flows, taken)


def _slots(loop: Loop) -> list[tuple[Value, ...]]:
    """For each carried value of a loop, the values that hold it: in the bodies and afterwards."""
    if isinstance(loop, For):
        return list(zip(loop.body.args[1:], loop.results, strict=True))
    return list(zip(loop.before.args, loop.after.args, loop.results, strict=True))


def _carry(values: tuple[Value, ...], to: list[tuple[Value, ...]], flows: Flows) -> None:
    for value, targets in zip(values, to, strict=False):
        if isinstance(value.type, TokenType):
            flows.setdefault(value, []).extend(targets)
