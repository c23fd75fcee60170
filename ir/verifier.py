"""What holds for every legal kernel: phase rules, scoping, terminators, instruction checks.

Rules by phase, besides each instruction's own list of legal phases:

* tile: no tile has a layout unless its instruction carries one (the user's `layout=`).
* laid_out and scheduled: every tile has a layout, every buffer an `addr` layout.
* target: the same, and every instruction has a template on the target (checked by codegen).
"""

from __future__ import annotations

from tilewright.ir.diagnostics import TilewrightError, VerifyError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import (
    Break,
    Condition,
    Continue,
    For,
    ForTiles,
    If,
    While,
    Yield,
)
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import without_layout
from tilewright.ir.printer import print_type
from tilewright.ir.values import BufferType, TileType, Value

CLOSED = (ForTiles, Roles)
"""Instructions whose bodies may not be left by `break` or `continue`."""


def verify(kernel: Kernel, *, layouts: bool | None = None) -> None:
    """Raise VerifyError with the offending instruction if `kernel` breaks a rule of its phase."""
    want_layouts = kernel.phase == "target" if layouts is None else layouts
    _verify_body(kernel.body, set(kernel.params), kernel, None, want_layouts)


def _verify_body(
    body: Body, outer: set[Value], kernel: Kernel, owner: Instruction | None, layouts: bool
) -> None:
    known = outer | set(body.args)
    if not body.instructions:
        raise VerifyError("a body is empty: it ends in a terminator")
    for i, item in enumerate(body.instructions):
        try:
            _verify_instruction(item, known, kernel, layouts)
            if item.terminates != (i == len(body.instructions) - 1):
                raise VerifyError(f"{item.mnemonic} stands at the wrong end of a body")
            for nested in item.nested:
                _verify_body(nested, known, kernel, item, layouts)
        except TilewrightError as error:
            raise error.at(item.location) from None
        known |= set(item.results)
    _verify_end(body, owner)


def _verify_instruction(
    item: Instruction, known: set[Value], kernel: Kernel, layouts: bool
) -> None:
    if kernel.phase not in item.phases:
        raise VerifyError(f"{item.mnemonic} is not legal in phase {kernel.phase}")
    for value in item.operand_values:
        if value not in known:
            raise VerifyError(f"{item.mnemonic} uses {value!r} outside of its scope")
    item.check()
    derived = item.result()
    if len(derived) != len(item.results):
        raise VerifyError(f"{item.mnemonic} has {len(derived)} results, not {len(item.results)}")
    for value, kind in zip(item.results, derived, strict=True):
        if without_layout(value.type) != without_layout(kind):
            raise VerifyError(
                f"{item.mnemonic} gives {print_type(kind)}, not {print_type(value.type)}"
            )
        if layouts and isinstance(value.type, (TileType, BufferType)) and value.type.layout is None:
            raise VerifyError(f"{item.mnemonic} has a result without a layout")


def _verify_end(body: Body, owner: Instruction | None) -> None:
    end = body.terminator
    match owner:
        case While() if body is owner.before:
            legal: tuple[type[Instruction], ...] = (Condition,)
        case If() | For() | While():
            legal = (Yield, Break, Continue)
        case _:
            legal = (Yield,)
    if not isinstance(end, legal):
        raise VerifyError(f"a body ends in {end.mnemonic} where that is not legal")
    if isinstance(owner, (For, While)) and isinstance(end, Yield):
        _verify_carried(end, owner)
    if (owner is None or isinstance(owner, CLOSED)) and isinstance(end, Yield) and end.values:
        raise VerifyError("this body carries no values")


def _verify_carried(end: Yield, owner: For | While) -> None:
    have = tuple(without_layout(v.type) for v in end.values)
    want = tuple(without_layout(v.type) for v in owner.init)
    if have != want:
        raise VerifyError("a loop's body yields values of other types than it carries")
