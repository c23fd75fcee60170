"""What holds for every legal kernel: phase rules, scoping, terminators, instruction checks.

Rules by phase, besides each instruction's own list of legal phases:

* tile: no tile has a layout unless its instruction carries one (the user's `layout=`).
* laid_out and scheduled: every tile has a layout, every buffer an `addr` layout (`layouts=True`).
* target: the same, and every instruction has a template on the target (checked by codegen).

`break` and `continue` stand in a loop's body or in branches in it, and carry what it carries. What
lives in the lanes of one role (tiles, pending tiles, tokens) is not visible in another. Somebody
waits for every copy (`ir.awaited`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.ir.awaited import check_awaited
from tilewright.ir.diagnostics import TilewrightError, VerifyError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import (
    Break,
    Condition,
    Continue,
    For,
    If,
    While,
    Yield,
)
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import without_layout
from tilewright.ir.printer import print_type
from tilewright.ir.values import BufferType, PendingType, TileType, TokenType, Type, Value

Carried = tuple[Type, ...]
"""The types, without layouts, that `yield`, `break` and `continue` of a loop carry."""


def verify(kernel: Kernel, *, layouts: bool | None = None) -> None:
    """Raise VerifyError with the offending instruction if `kernel` breaks a rule of its phase."""
    want_layouts = kernel.phase == "target" if layouts is None else layouts
    _Verifier(kernel, want_layouts).body(kernel.body, set(kernel.params), None, None)
    check_awaited(kernel)


@dataclass(frozen=True)
class _Verifier:
    kernel: Kernel
    layouts: bool

    def body(
        self, body: Body, outer: set[Value], owner: Instruction | None, loop: Carried | None
    ) -> None:
        """`loop` is what the nearest loop carries; None where nothing may be left."""
        if not body.instructions:
            raise VerifyError("a body is empty: it ends in a terminator")
        known = outer | set(body.args)
        for i, item in enumerate(body.instructions):
            try:
                self.instruction(item, known)
                if item.terminates != (i == len(body.instructions) - 1):
                    raise VerifyError(f"{item.mnemonic} stands at the wrong end of a body")
                if item.terminates:
                    _verify_end(body, owner, loop)
                self.nested(item, known, loop)
            except TilewrightError as error:
                raise error.at(item.location) from None
            known |= set(item.results)

    def nested(self, item: Instruction, known: set[Value], loop: Carried | None) -> None:
        match item:
            case If():
                inner = loop
                _verify_branches(item)
            case For() | While():
                inner = _types(item.init)
            case _:
                inner = None
        if isinstance(item, Roles):
            self.roles(item)
            known = {v for v in known if not isinstance(v.type, LOCAL)}
        for body in item.nested:
            self.body(body, known, item, inner)

    def roles(self, item: Roles) -> None:
        if self.kernel.warps is not None and sum(item.warps) != self.kernel.warps:
            raise VerifyError(f"roles of {item.warps} warps in a kernel of {self.kernel.warps}")

    def instruction(self, item: Instruction, known: set[Value]) -> None:
        if self.kernel.phase not in item.phases:
            raise VerifyError(f"{item.mnemonic} is not legal in phase {self.kernel.phase}")
        for value in item.operand_values:
            if value not in known:
                raise VerifyError(f"{item.mnemonic} uses {value!r} outside of its scope")
        item.check()
        derived = item.result()
        if len(derived) != len(item.results):
            raise VerifyError(
                f"{item.mnemonic} has {len(derived)} results, not {len(item.results)}"
            )
        for value, kind in zip(item.results, derived, strict=True):
            if without_layout(value.type) != without_layout(kind):
                raise VerifyError(
                    f"{item.mnemonic} gives {print_type(kind)}, not {print_type(value.type)}"
                )
            if self.layouts and not _has_layout(value.type):
                raise VerifyError(f"{item.mnemonic} has a result without a layout")


LOCAL = (TileType, PendingType, TokenType)
"""What lives in the lanes of one role and is not visible in others."""


def _has_layout(kind: Type) -> bool:
    match kind:
        case TileType() | BufferType():
            return kind.layout is not None
        case PendingType(tile):
            return tile.layout is not None
    return True


def _verify_end(body: Body, owner: Instruction | None, loop: Carried | None) -> None:
    end = body.terminator
    match owner:
        case While() if body is owner.before:
            legal: tuple[type[Instruction], ...] = (Condition,)
        case If() | For() | While():
            legal = (Yield, Break, Continue) if loop is not None else (Yield,)
        case _:
            legal = (Yield,)
    if not isinstance(end, legal):
        raise VerifyError(f"a body ends in {end.mnemonic} where that is not legal")
    if isinstance(end, (Break, Continue)) or isinstance(owner, (For, While)):
        if not isinstance(end, Condition) and _types(end.operand_values) != loop:
            raise VerifyError(f"{end.mnemonic} gives other types than the loop carries")
    elif not isinstance(owner, If) and isinstance(end, Yield) and end.values:
        raise VerifyError("this body carries no values")


def _verify_branches(item: If) -> None:
    ends = [body.terminator for body in item.nested]
    given = {_types(end.values) for end in ends if isinstance(end, Yield)}
    if len(given) > 1:
        raise VerifyError("the branches of an if yield different types")


def _types(values: tuple[Value, ...]) -> Carried:
    return tuple(without_layout(v.type) for v in values)
