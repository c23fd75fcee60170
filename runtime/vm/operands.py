"""One instruction of PTX text: guard, opcode, modifiers, operands; names resolved in scopes."""

from __future__ import annotations

import re
from dataclasses import replace

from tilewright.runtime.vm.cursor import TokenCursor
from tilewright.runtime.vm.expressions import evaluate, evaluate_product, starts_expression
from tilewright.runtime.vm.literals import find_special, number
from tilewright.runtime.vm.records import (
    Address,
    Group,
    Immediate,
    Instruction,
    Inverted,
    Operand,
    Pair,
    Register,
    Selected,
    Symbol,
    Vector,
)
from tilewright.runtime.vm.tokens import Token

_ENDS = frozenset(",;]})")
_CONSTANTS = frozenset("-+~!(")
_SELECTOR = re.compile(r"b[0-7]{1,4}|h[0-3]{1,2}")


class InstructionReader(TokenCursor):
    """A cursor that knows the names declared so far, innermost scope last."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.scopes: list[dict[str, Register | Vector | str]] = []
        self.calling = False  # parentheses of a call are no arithmetic

    def instruction(self, source: tuple[int, int] | None) -> Instruction:
        guard, negated = None, False
        if self.accept("@"):
            negated = self.accept("!")
            operand = self.name(self.take())
            if not isinstance(operand, Register):
                self.fail("the guard is no register")
            guard = operand
        token = self.take()
        opcode, *mods = token.text.split(".")
        self.calling = opcode == "call"
        operands: list[Operand] = []
        while not self.accept(";"):
            if not self.accept(","):
                operands.append(self.operand())
        return Instruction(
            opcode, tuple(mods), tuple(operands),
            guard if isinstance(guard, Register) else None, negated, token.line, source,
        )  # fmt: skip

    def operand(self) -> Operand:
        first = self.primary()
        if self.accept("|"):
            return Pair(first, self.primary())
        return first

    def primary(self) -> Operand:
        token = self.tokens[self.at]
        if token.kind == "number" and self.peek(1) in _ENDS:
            self.at += 1
            return number(token.text)
        is_group = token.text == "(" and self.calling
        is_constant = token.text in _CONSTANTS or token.kind == "number"
        if is_constant and not is_group and starts_expression(self):
            return evaluate(self)
        self.at += 1
        match token.text:
            case "{":
                return Vector(self.items("}"))
            case "(":
                return Group(self.items(")"))
            case "[":
                return self.address()
            case "!":
                return Inverted(self.primary())
        if token.kind == "end":
            self.fail("the text ends early", token)
        if token.kind != "name":
            self.fail(f"unexpected {token.text!r}", token)
        named = self.name(token)
        if isinstance(named, Symbol) and self.peek() in ("+", "-"):
            self.accept("+")
            return Symbol(named.name, evaluate_product(self))
        return named

    def items(self, end: str) -> tuple[Operand, ...]:
        found = []
        while not self.accept(end):
            if not self.accept(","):
                found.append(self.primary())
        return tuple(found)

    def address(self) -> Address:
        base = self.primary()
        offset = 0
        extra: list[Operand] = []
        if isinstance(base, Symbol):
            base, offset = Symbol(base.name), base.offset
        while not self.accept("]"):
            if self.accept("+") or self.peek() == "-":
                offset += evaluate_product(self)
            elif not self.accept(","):
                extra.append(self.primary())
        return Address(base, offset, tuple(extra))

    def name(self, token: Token) -> Operand:
        for scope in reversed(self.scopes):
            found = scope.get(token.text)
            if isinstance(found, (Register, Vector)):
                return found
            if found is not None:
                return Symbol(found)
        if token.text == "WARP_SZ":
            return Immediate(32)
        special = find_special(token.text)
        if special is not None:
            return special
        base, _, selector = token.text.rpartition(".")
        if _SELECTOR.fullmatch(selector) and base:
            whole = self.name(replace(token, text=base))
            if isinstance(whole, Register):
                return Selected(whole, selector)
        if token.text.startswith("%"):
            self.fail(f"unknown register {token.text!r}", token)
        return Symbol(token.text)
