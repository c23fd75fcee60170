"""PTX text → `Module` (ISA up to 9.0, as NVRTC 13 emits it and as people write it by hand).

One pass over the tokens. Scopes are resolved here: a register or variable declared in braces gets a
name of its own, so that everything behind the parser sees flat functions.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.records import (
    BITS,
    Address,
    Function,
    Group,
    Immediate,
    Instruction,
    Inverted,
    Module,
    Operand,
    Pair,
    Register,
    Special,
    Symbol,
    Variable,
    Vector,
)
from tilewright.runtime.vm.tokens import Token, tokenize

_SPACES = (".global", ".const", ".shared", ".local", ".param")
_LINKAGE = (".visible", ".extern", ".weak", ".common")
_SPECIALS = (
    "%tid %ntid %ctaid %nctaid %laneid %warpid %nwarpid %smid %nsmid %gridid "
    "%clock %clock64 %clock_hi %lanemask_eq %lanemask_le %lanemask_lt %lanemask_ge "
    "%lanemask_gt %globaltimer %globaltimer_lo %globaltimer_hi %clusterid "
    "%nclusterid %cluster_ctaid %cluster_nctaid %cluster_ctarank "
    "%cluster_nctarank %is_explicit_cluster %dynamic_smem_size %total_smem_size %aggr_smem_size"
).split()


@lru_cache(maxsize=16)
def parse(text: str) -> Module:
    """Parses a PTX file; a `Fault` of kind `syntax` names the line."""
    parser = _Parser(text)
    try:
        return parser.module()
    except (IndexError, ValueError):  # the cursor ran off the end, or met something for a number
        parser.at = min(parser.at, len(parser.tokens)) - 1
        parser.fail("the text ends early" if parser.peek() == "" else "this is no number")
        raise


def number(text: str) -> Immediate:
    """The value of a literal, `0f3F800000` and `0d…` included."""
    low = text.lower()
    if low.startswith("0f") and len(low) == 10:
        return (
            Immediate(struct.unpack("<f", int(low[2:], 16).to_bytes(4, "little"))[0], True)
            if not _is_nan32(int(low[2:], 16))
            else Immediate(_nan32(int(low[2:], 16)), True)
        )
    if low.startswith("0d") and len(low) == 18:
        return Immediate(struct.unpack("<d", int(low[2:], 16).to_bytes(8, "little"))[0], True)
    low = low.rstrip("u")
    if low.startswith("0x"):
        return Immediate(int(low, 16))
    if low.startswith("0b"):
        return Immediate(int(low, 2))
    if "." in low or "e" in low:
        return Immediate(float(low), True)
    return Immediate(int(low, 8) if len(low) > 1 and low[0] == "0" else int(low))


def _is_nan32(bits: int) -> bool:
    return bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF != 0


def _nan32(bits: int) -> float:
    """A NaN of 32 bits widened by hand, so that its payload survives."""
    wide = (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
    return float(struct.unpack("<d", wide.to_bytes(8, "little"))[0])


class _Parser:
    """The cursor over the tokens and the tables that grow while reading."""

    def __init__(self, text: str) -> None:
        self.lines = tuple(text.split("\n"))
        self.tokens = tokenize(text)
        self.at = 0
        self.functions: dict[str, Function] = {}
        self.variables: dict[str, Variable] = {}
        self.files: dict[int, str] = {}
        self.scopes: list[dict[str, Register | str]] = []
        self.unique = 0
        self.calls: dict[tuple[int, int, int], tuple[int, int]] = {}  # place → outermost call

    # -- cursor ------------------------------------------------------------------------------

    def peek(self) -> str:
        return self.tokens[self.at].text

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
        raise Fault("syntax", f"PTX line {line}: {message}: {source}")

    def skip_line(self, line: int) -> None:
        while self.tokens[self.at].line == line and self.tokens[self.at].kind != "end":
            self.at += 1

    def integer(self) -> int:
        sign = -1 if self.accept("-") else 1
        return sign * int(number(self.take().text).value)

    # -- module ------------------------------------------------------------------------------

    def module(self) -> Module:
        version = target = ""
        while self.tokens[self.at].kind != "end":
            token = self.tokens[self.at]
            match token.text:
                case ".version":
                    self.at += 1
                    version = self.take().text
                case ".target":
                    self.at += 1
                    target = self.take().text
                    self.skip_line(token.line)
                case ".address_size" | ".loc" | ".alias":
                    self.skip_line(token.line)
                case ".file":
                    self.at += 1
                    index = self.integer()
                    self.files[index] = self.take().text.strip('"')
                    self.skip_line(token.line)
                case ".section":
                    self.skip_section()
                case ".pragma":
                    self.skip_statement()
                case ";":
                    self.at += 1
                case _:
                    self.top_level()
        return Module(version, target, self.functions, self.variables, self.files, self.lines)

    def skip_section(self) -> None:
        while self.peek() != "{":
            self.at += 1
        while self.peek() != "}":
            self.at += 1
        self.at += 1

    def skip_statement(self) -> None:
        while not self.accept(";"):
            self.at += 1

    def top_level(self) -> None:
        linkage = set()
        while self.peek() in _LINKAGE:
            linkage.add(self.take().text)
        token = self.tokens[self.at]
        if token.text in (".entry", ".func"):
            self.function(is_extern=".extern" in linkage)
        elif token.text in _SPACES:
            variable = self.variable(is_extern=".extern" in linkage)
            self.variables[variable.name] = variable
        else:
            self.fail(f"unknown directive {token.text!r}")

    def variable(self, *, is_extern: bool = False, rename: bool = False) -> Variable:
        """`.space [.align N] .type name[dims] [= init]` up to, and with, its `;` where there is
        one.
        """
        space = self.take().text[1:].split("::")[0]
        align, element, vector = 0, "", 1
        while self.peek().startswith("."):
            word = self.take().text[1:]
            if word == "align":
                align = self.integer()
            elif word in BITS:
                element = word
            elif word in ("v2", "v4", "v8"):
                vector = int(word[1:])
            # .ptr and its space, .managed, .attribute say nothing that execution needs
        name = self.take().text
        size = max(BITS.get(element, 8) // 8, 1) * vector
        unit, is_array = size, False
        while self.accept("["):
            is_array = True
            size = 0 if self.peek() == "]" else size * self.integer()
            self.expect("]")
        initial: bytes = b""
        pointers: tuple[tuple[int, str], ...] = ()
        if self.accept("="):
            initial, pointers = self.initializer(unit, element)
            size = max(size, len(initial))
        self.accept(";")
        if rename:
            name = self.declare(name)
        return Variable(
            name, space, element, size, max(align, unit), initial, pointers, is_extern, is_array
        )

    def initializer(self, unit: int, element: str) -> tuple[bytes, tuple[tuple[int, str], ...]]:
        data = bytearray()
        pointers: list[tuple[int, str]] = []
        depth = 0
        while True:
            token = self.take()
            if token.text == "{":
                depth += 1
            elif token.text == "}":
                depth -= 1
            elif token.text == "-":
                value = number(self.take().text)
                data += _encode(-value.value, value.is_float, unit, element)
            elif token.kind == "number":
                value = number(token.text)
                data += _encode(value.value, value.is_float, unit, element)
            elif token.kind == "name" and token.text != "generic":
                pointers.append((len(data), token.text))
                data += bytes(unit)
            if depth == 0 and token.text not in ("-", "generic", "(") and self.peek() == ";":
                return bytes(data), tuple(pointers)

    # -- functions ---------------------------------------------------------------------------

    def function(self, *, is_extern: bool) -> None:
        is_entry = self.take().text == ".entry"
        self.scopes = [{}]
        results = self.parameters() if self.peek() == "(" else ()
        name = self.take().text
        params = self.parameters() if self.peek() == "(" else ()
        directives: dict[str, tuple[int, ...]] = {}
        while self.peek().startswith(".") and self.peek() not in (".entry", ".func"):
            if self.peek() in _SPACES + _LINKAGE:
                break
            key = self.take().text[1:]
            if key == "pragma":
                self.skip_statement()
                continue
            values = []
            while self.tokens[self.at].kind == "number":
                values.append(self.integer())
                self.accept(",")
            directives[key] = tuple(values)
        if self.peek() != "{":
            self.accept(";")
            if name not in self.functions:
                self.functions[name] = Function(
                    name, is_entry, params, results, (), {}, (), {}, directives, True
                )
            return
        body = _Body()
        self.body(body)
        self.functions[name] = Function(
            name, is_entry, params, results, tuple(body.instructions), body.labels,
            tuple(body.variables), body.tables, directives,
        )  # fmt: skip

    def parameters(self) -> tuple[Variable, ...]:
        self.expect("(")
        items = []
        while not self.accept(")"):
            if self.peek() == ".reg":
                self.fail("register parameters of functions are not supported")
            items.append(self.variable(rename=True))
            self.accept(",")
        return tuple(items)

    def declare(self, name: str, register: Register | None = None) -> str:
        """Gives a name declared in the innermost scope its unique form."""
        self.unique += 1
        unique = f"{name}#{self.unique}"
        self.scopes[-1][name] = Register(unique, register.type) if register else unique
        return unique

    def body(self, body: _Body) -> None:
        """Everything between a function's outer braces."""
        self.expect("{")
        self.scopes.append({})
        depth = 1
        source: tuple[int, int] | None = None
        while depth:
            token = self.tokens[self.at]
            text = token.text
            if text == "{":
                self.at += 1
                self.scopes.append({})
                self.declare_labels()
                depth += 1
            elif text == "}":
                self.at += 1
                self.scopes.pop()
                depth -= 1
            elif text == ";":
                self.at += 1
            elif text == ".loc":
                source = self.location()
            elif text == ".reg":
                self.registers()
            elif text == ".pragma":
                self.skip_statement()
            elif text == ".section":
                self.skip_section()
            elif text in _SPACES:
                body.variables.append(self.variable(rename=True))
            elif self.tokens[self.at + 1].text == ":":
                self.label(body)
            elif token.kind == "end":
                self.fail("the file ends inside a function")
            else:
                body.instructions.append(self.instruction(source))

    def location(self) -> tuple[int, int]:
        """`.loc file line column[, function_name …, inlined_at file line column]`: where the code
        came from. Of an inlined function, the outermost call: a helper's line tells users nothing.
        """
        line = self.take().line
        place = self.integer(), self.integer(), self.integer()
        source = place[:2]
        while self.tokens[self.at].line == line:
            if self.take().text == "inlined_at":
                call = self.integer(), self.integer(), self.integer()
                source = self.calls.get(call, call[:2])
        self.calls[place] = source
        return source

    def registers(self) -> None:
        self.at += 1
        kind = self.take().text[1:]
        if kind in ("v2", "v4"):
            self.fail("vector registers are not supported")
        while True:
            name = self.take().text
            if self.accept("<"):
                for index in range(self.integer()):
                    self.declare(f"{name}{index}", Register("", kind))
                self.expect(">")
            else:
                self.declare(name, Register("", kind))
            if not self.accept(","):
                break
        self.expect(";")

    def label(self, body: _Body) -> None:
        name = self.take().text
        self.expect(":")
        if self.peek() == ".branchtargets":
            self.at += 1
            targets = []
            while not self.accept(";"):
                if not self.accept(","):
                    targets.append(self.take().text)
            body.tables[name] = tuple(targets)
        elif self.peek() in (".callprototype", ".calltargets"):
            self.skip_statement()
        else:
            found = next((scope[name] for scope in reversed(self.scopes) if name in scope), name)
            body.labels[str(found)] = len(body.instructions)

    def declare_labels(self) -> None:
        """Renames the labels of the scope that just opened: inlined assembly repeats them, and
        jumps forward.
        """
        depth, at = 1, self.at
        while depth and self.tokens[at].kind != "end":
            text = self.tokens[at].text
            depth += (text == "{") - (text == "}")
            if text == ":" and depth == 1:
                self.declare(self.tokens[at - 1].text)
            at += 1

    # -- instructions ------------------------------------------------------------------------

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
        token = self.take()
        match token.text:
            case "{":
                return Vector(self.items("}"))
            case "(":
                return Group(self.items(")"))
            case "[":
                return self.address()
            case "!":
                return Inverted(self.primary())
            case "-":
                value = number(self.take().text)
                return Immediate(-value.value, value.is_float)
            case "~":
                return Immediate(~int(number(self.take().text).value))
        if token.kind == "number":
            return number(token.text)
        if token.kind == "end":
            self.fail("the text ends early", token)
        if token.kind != "name":
            self.fail(f"unexpected {token.text!r}", token)
        named = self.name(token)
        if isinstance(named, Symbol) and self.peek() in ("+", "-"):
            sign = 1 if self.take().text == "+" else -1
            return Symbol(named.name, sign * self.integer())
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
                offset += self.integer()
            elif not self.accept(","):
                extra.append(self.primary())
        return Address(base, offset, tuple(extra))

    def name(self, token: Token) -> Operand:
        for scope in reversed(self.scopes):
            found = scope.get(token.text)
            if isinstance(found, Register):
                return found
            if found is not None:
                return Symbol(found)
        if token.text == "WARP_SZ":
            return Immediate(32)
        if token.text.split(".")[0] in _SPECIALS or token.text.startswith("%envreg"):
            return Special(token.text)
        if token.text.startswith("%"):
            self.fail(f"unknown register {token.text!r}", token)
        return Symbol(token.text)


class _Body:
    """What grows while a function is read."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.variables: list[Variable] = []
        self.tables: dict[str, tuple[str, ...]] = {}


def _encode(value: int | float, is_float: bool, unit: int, element: str) -> bytes:
    """One element of an initializer."""
    if is_float or element in ("f32", "f64"):
        return struct.pack("<d" if unit == 8 else "<f", float(value))
    return (int(value) & ((1 << (8 * unit)) - 1)).to_bytes(unit, "little")
