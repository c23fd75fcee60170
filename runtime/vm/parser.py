"""PTX text → `Module` (ISA up to 9.0, as NVRTC 13 emits it and as people write it by hand).

One pass over the tokens. Scopes are resolved here: a register or variable declared in braces gets a
name of its own, so that everything behind the parser sees flat functions.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from tilewright.runtime.vm.expressions import evaluate
from tilewright.runtime.vm.initializers import Initializer
from tilewright.runtime.vm.operands import InstructionReader
from tilewright.runtime.vm.records import (
    BITS,
    Address,
    Function,
    Instruction,
    Module,
    Pointer,
    Register,
    Symbol,
    Variable,
    Vector,
)

_SPACES = (".global", ".const", ".shared", ".local", ".param")
_LINKAGE = (".visible", ".extern", ".weak", ".common")


@lru_cache(maxsize=16)
def parse(text: str) -> Module:
    """Parses a PTX file; a `Fault` of kind `syntax` names the line."""
    parser = _Parser(text)
    try:
        return parser.module()
    except (IndexError, ValueError):  # the cursor ran off the end, or met something for a number
        is_end = parser.at >= len(parser.tokens) or parser.peek() == ""
        parser.at = min(parser.at, len(parser.tokens)) - 1
        parser.fail("the text ends early (a missing brace?)" if is_end else "this is no number")
        raise


class _Parser(InstructionReader):
    """Files, functions and bodies, and the tables that grow while they are read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.functions: dict[str, Function] = {}
        self.variables: dict[str, Variable] = {}
        self.files: dict[int, str] = {}
        self.passed: tuple[list[Instruction], list[Instruction]] = ([], [])
        self.unique = 0
        self.calls: dict[tuple[int, int, int], tuple[int, int]] = {}  # place → outermost call

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
                case ".address_size" | ".loc":
                    self.skip_line(token.line)
                case ".alias":
                    self.alias()
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

    def alias(self) -> None:
        """`.alias name, function;`: another name of a function."""
        self.at += 1
        name = self.take().text
        self.expect(",")
        self.functions[name] = replace(self.functions[self.take().text], name=name)
        self.expect(";")

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
        item = max(BITS.get(element, 8) // 8, 1)
        extents: list[int] = []
        while self.accept("["):
            extents.append(0 if self.peek() == "]" else int(evaluate(self).value))
            self.expect("]")
        size, is_array = item * vector, bool(extents)
        for extent in extents:
            size *= extent
        initial: bytes = b""
        pointers: tuple[Pointer, ...] = ()
        if self.accept("="):
            reader = Initializer(self, item, element)
            reader.read((*extents, *((vector,) if vector > 1 else ())))
            initial, pointers = bytes(reader.data), tuple(reader.pointers)
            size = max(size, len(initial))
        self.accept(";")
        if rename:
            name = self.declare(name)
        align = max(align, item * vector)
        return Variable(name, space, element, size, align, initial, pointers, is_extern, is_array)

    def function(self, *, is_extern: bool) -> None:
        is_entry = self.take().text == ".entry"
        self.scopes, self.passed = [{}], ([], [])
        results = self.parameters("st") if self.peek() == "(" else ()
        name = self.take().text
        params = self.parameters("ld") if self.peek() == "(" else ()
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
        body.instructions.extend(self.passed[0])
        self.body(body)
        body.instructions.extend(self.passed[1])
        self.functions[name] = Function(
            name, is_entry, params, results, tuple(body.instructions), body.labels,
            tuple(body.variables), body.tables, directives,
        )  # fmt: skip

    def parameters(self, opcode: str) -> tuple[Variable, ...]:
        """Formal parameters (`ld`) or results (`st`)."""
        self.expect("(")
        items = []
        while not self.accept(")"):
            by_register = self.peek() == ".reg"
            items.append(
                self.register_parameter(opcode) if by_register else self.variable(rename=True)
            )
            self.accept(",")
        return tuple(items)

    def register_parameter(self, opcode: str) -> Variable:
        """`.reg .type name`: a variable that the function loads first, or stores before it
        returns.
        """
        line = self.take().line
        kind, name = self.take().text[1:], self.take().text
        register = Register(self.declare(name, Register("", kind)), kind)
        size = BITS[kind] // 8
        variable = Variable(f"{register.name}.param", "param", kind, size, size)
        place = Address(Symbol(variable.name))
        operands = (register, place) if opcode == "ld" else (place, register)
        self.passed[opcode == "st"].append(
            Instruction(opcode, ("param", kind), operands, None, False, line)
        )
        return variable

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
                instruction = self.instruction(source)
                if instruction.opcode == "ret":
                    guard, negated = instruction.guard, instruction.negated
                    body.instructions.extend(
                        replace(i, guard=guard, negated=negated) for i in self.passed[1]
                    )
                body.instructions.append(instruction)

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
        width = int(kind[1]) if kind in ("v2", "v4") else 0
        if width:
            kind = self.take().text[1:]
        while True:
            name = self.take().text
            if width:
                self.declare_vector(name, kind, width)
            elif self.accept("<"):
                for index in range(self.integer()):
                    self.declare(f"{name}{index}", Register("", kind))
                self.expect(">")
            else:
                self.declare(name, Register("", kind))
            if not self.accept(","):
                break
        self.expect(";")

    def declare_vector(self, name: str, kind: str, width: int) -> None:
        """`.reg .v4 .f32 v`: four registers, `v.x` or `v.r` and so on, and `v` for all of them."""
        items = []
        for first, second in zip("xyzw"[:width], "rgba"[:width], strict=True):
            register = Register(self.declare(f"{name}.{first}", Register("", kind)), kind)
            self.scopes[-1][f"{name}.{second}"] = register
            items.append(register)
        self.scopes[-1][name] = Vector(tuple(items))

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


class _Body:
    """What grows while a function is read."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.variables: list[Variable] = []
        self.tables: dict[str, tuple[str, ...]] = {}
