"""A place in the tokens of a PTX file, and the ways to go on from it."""

from __future__ import annotations

from tilewright.runtime.vm.faults import Fault, Place
from tilewright.runtime.vm.literals import number
from tilewright.runtime.vm.records import Immediate
from tilewright.runtime.vm.tokens import Token, tokenize


class TokenCursor:
    """Reads tokens one after another; what does not fit is a `Fault` that names the line."""

    def __init__(self, text: str) -> None:
        self.lines = tuple(text.split("\n"))
        self.tokens = tokenize(text)
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)].text

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, text: str) -> bool:
        if self.tokens[self.at].text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> Token:
        token = self.take()
        if token.text != text:
            self.fail(f"expected {text!r}, found {token.text!r}", token)
        return token

    def fail(self, message: str, token: Token | None = None) -> None:
        line = (token or self.tokens[self.at]).line
        source = self.lines[line - 1].strip() if line <= len(self.lines) else ""
        raise Fault("syntax", message, place=Place(line, source))

    def skip_line(self, line: int) -> None:
        while self.tokens[self.at].line == line and self.tokens[self.at].kind != "end":
            self.at += 1

    def literal(self) -> Immediate:
        token = self.take()
        if token.text == "WARP_SZ":
            return Immediate(32)
        if token.kind != "number":
            self.fail(f"expected a number, found {token.text!r}", token)
        return number(token.text)

    def integer(self) -> int:
        return int(self.literal().value)
