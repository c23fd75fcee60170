"""Text → Kernel: the inverse of `ir.printer`, by a lark grammar that names no instruction."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from tilewright.ir import instructions as _instructions
from tilewright.ir.diagnostics import IRSyntaxError, Location, TilewrightError
from tilewright.ir.instruction import REGISTRY, Body, FieldSpec, Instruction, with_results
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout, parse_layout
from tilewright.ir.printer import print_type
from tilewright.ir.types import DType, parse_dtype
from tilewright.ir.values import (
    BarrierType,
    BufferType,
    PendingType,
    ScalarType,
    TensorType,
    TileType,
    TokenType,
    Type,
    Value,
)

assert _instructions.__all__  # imported to fill the registry

Node = Tree[Token]


def parse_kernel(text: str, file: str = "<kernel>") -> Kernel:
    """The one kernel that `text` holds; IRSyntaxError names the line."""
    kernels = parse_kernels(text, file)
    if len(kernels) != 1:
        raise IRSyntaxError(f"{file} holds {len(kernels)} kernels, want one")
    return kernels[0]


def parse_kernels(text: str, file: str = "<kernel>") -> list[Kernel]:
    """All kernels of `text`, in order."""
    try:
        tree = _grammar().parse(text.rstrip() + "\n")
    except UnexpectedInput as error:
        place = Location(file, error.line, error.column - 1, error.column)
        raise IRSyntaxError(
            f"cannot read this:\n{error.get_context(text)}", location=place
        ) from None
    state = _Parser(file)
    kernels = []
    for node in _trees(tree):
        if node.data == "layout":
            ref, described = node.children
            state.layouts[str(ref)] = parse_layout(str(described))
        else:
            kernels.append(state.kernel(node))
    return kernels


@functools.cache
def _grammar() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _trees(node: Node) -> list[Node]:
    return [child for child in node.children if isinstance(child, Tree)]


def _tokens(node: Node, kind: str) -> list[str]:
    return [str(c) for c in node.children if isinstance(c, Token) and c.type == kind]


@dataclass
class _Parser:
    file: str
    layouts: dict[str, Layout] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def kernel(self, node: Node) -> Kernel:
        self.values = {}
        (name,) = _tokens(node, "NAME")
        params: tuple[Value, ...] = ()
        fields: dict[str, Any] = {}
        for child in _trees(node):
            match child.data:
                case "definitions":
                    params = self.definitions(child)
                case "kernel_field":
                    key, held = map(str, child.children)
                    fields[key] = int(held) if held.isdigit() else held
                case "block":
                    return Kernel(name, Body(params, self.block(child)), **fields)
        raise AssertionError("the grammar ends every kernel with a block")

    def block(self, node: Node) -> tuple[Instruction, ...]:
        found = tuple(self.instruction(child) for child in _trees(node))
        if not found:
            raise IRSyntaxError("a body is empty: it ends in `yield`", location=self.place(node))
        return found

    def definitions(self, node: Node) -> tuple[Value, ...]:
        return tuple(self.define(child) for child in _trees(node))

    def define(self, node: Node) -> Value:
        name, kind = node.children
        text = str(name)[1:]
        hint = "" if text.isdigit() else text.split(".")[0]
        value = Value(self.type(cast(Node, kind)), hint)
        self.values[str(name)] = value
        return value

    def use(self, name: object, place: Location) -> Value:
        found = self.values.get(str(name))
        if found is None:
            raise IRSyntaxError(f"{name} is used before it is defined", location=place)
        return found

    def instruction(self, node: Node) -> Instruction:
        place = self.place(node)
        (mnemonic,) = _tokens(node, "NAME")
        if mnemonic not in REGISTRY:
            raise IRSyntaxError(f"unknown instruction {mnemonic}", location=place)
        cls, op = REGISTRY[mnemonic]
        given = self.arguments(node, cls, place)
        if op is not None:
            given["op"] = op
        try:
            made = cls(**given, location=place)
            made.check()
            return self.with_declared(made, node, place)
        except TypeError as error:
            if isinstance(error, TilewrightError):
                raise error.at(place) from None
            raise IRSyntaxError(f"{mnemonic}: {error}", location=place) from None
        except TilewrightError as error:
            raise error.at(place) from None

    def arguments(self, node: Node, cls: type[Instruction], place: Location) -> dict[str, Any]:
        positional = [s for s in cls.specs if s.kind in ("operand", "operands")]
        positional = [s for s in positional if s.default is dataclasses.MISSING]
        queue = iter(positional)
        given: dict[str, Any] = {}
        blocks: list[Body] = []
        for child in _trees(node):
            match child.data:
                case "operand":
                    name = self.next_name(queue, "operand", cls, place)
                    given[name] = self.use(child.children[0], place)
                case "operands":
                    values = cast(Node, child.children[0])
                    used = tuple(self.use(v, place) for v in values.children)
                    given[self.next_name(queue, "operands", cls, place)] = used
                case "named_operand":
                    given[str(child.children[0])] = self.use(child.children[1], place)
                case "attribute":
                    held = cast(Node, child.children[1])
                    given[str(child.children[0])] = self.constant(held, place)
                case "nested":
                    blocks.append(self.nested(child))
        self.place_bodies(cls, blocks, given)
        return given

    def next_name(
        self, queue: Iterator[FieldSpec], kind: str, cls: type[Instruction], place: Location
    ) -> str:
        spec = next(queue, None)
        if spec is None:
            raise IRSyntaxError("too many operands", location=place)
        if spec.kind != kind:
            wanted = "one value" if spec.kind == "operand" else "a list: [%a, %b]"
            raise IRSyntaxError(f"{spec.name} of {cls.name} is {wanted}", location=place)
        return spec.name

    def place_bodies(
        self, cls: type[Instruction], blocks: Sequence[Body], given: dict[str, Any]
    ) -> None:
        single = [s for s in cls.specs if s.kind == "body"]
        for spec, block in zip(single, blocks, strict=False):
            given[spec.name] = block
        for spec in cls.specs:
            if spec.kind == "bodies":
                given[spec.name] = tuple(blocks[len(single) :])

    def nested(self, node: Node) -> Body:
        args: tuple[Value, ...] = ()
        for child in _trees(node):
            if child.data == "definitions":
                args = self.definitions(child)
            else:
                return Body(args, self.block(child))
        raise AssertionError("the grammar gives every body a block")

    def with_declared(self, made: Instruction, node: Node, place: Location) -> Instruction:
        declared = [c for c in _trees(node) if c.data == "definitions"]
        if not declared:
            return with_results(made)
        results = self.definitions(declared[0])
        derived = made.result()
        if len(derived) != len(results):
            raise IRSyntaxError(
                f"{made.mnemonic} has {len(derived)} results, not {len(results)}", location=place
            )
        for value, kind in zip(results, derived, strict=True):
            if without_layout(value.type) != without_layout(kind):
                raise IRSyntaxError(
                    f"{made.mnemonic} gives {print_type(kind)}, not {print_type(value.type)}",
                    location=place,
                )
        return dataclasses.replace(made, results=results)

    def constant(self, node: Node, place: Location) -> Any:
        match node.data:
            case "integer":
                return int(str(node.children[0]))
            case "real":
                return float(str(node.children[0]))
            case "string":
                return json.loads(str(node.children[0]))
            case "layout_ref":
                return self.layout(str(node.children[0]), place)
            case "sequence":
                return tuple(self.constant(child, place) for child in _trees(node))
        return _word(str(node.children[0]), place)

    def layout(self, ref: str, place: Location) -> Layout:
        if ref not in self.layouts:
            raise IRSyntaxError(f"layout {ref} is not defined", location=place)
        return self.layouts[ref]

    def type(self, node: Node) -> Type:
        match node.data:
            case "plain_type":
                text = str(node.children[0])
                return (
                    TokenType() if text == "token" else ScalarType(_dtype(text, self.place(node)))
                )
            case "tile_type":
                return TileType(*self.shaped(node))
            case "pending_type":
                return PendingType(TileType(*self.shaped(node)))
            case "buffer_type":
                return BufferType(*self.shaped(node))
            case "barrier_type":
                size, count = (int(str(c)) for c in node.children)
                return BarrierType(size, count)
            case "tensor_type":
                dtype, strides, extents, *rest = _trees(node)
                facts = {str(f.children[0]): str(f.children[-1]) for f in rest}
                return TensorType(
                    _dtype(str(dtype.children[0]), self.place(node)),
                    cast(Any, tuple(map(str, strides.children))),
                    cast(Any, tuple(map(str, extents.children))),
                    "aligned" in facts,
                    facts.get("packing"),
                )
        raise AssertionError(node.data)

    def shaped(self, node: Node) -> tuple[tuple[int, ...], DType, Layout | None]:
        place = self.place(node)
        (inner,) = _trees(node)
        ints, dtype = _trees(inner)
        shape = tuple(int(str(c)) for c in ints.children)
        refs = _tokens(inner, "LAYOUT_REF")
        layout = self.layout(refs[0], place) if refs else None
        return shape, _dtype(str(dtype.children[0]), place), layout

    def place(self, node: Node) -> Location:
        meta = node.meta
        if meta.empty:
            return Location(self.file, 0)
        ends = [meta.end_column] if meta.end_line == meta.line else _ends(node, meta.line)
        return Location(self.file, meta.line, meta.column - 1, max(ends) - 1)


def _ends(node: Node, line: int) -> list[int]:
    """End columns of what stands on `line`, the first of `node`."""
    ends = [node.meta.column + 1]
    for child in node.children:
        if isinstance(child, Token):
            ends += [child.end_column] if child.line == line and child.end_column else []
        elif child.data != "nested" and not child.meta.empty and child.meta.line == line:
            ends.append(child.meta.end_column)
    return ends


def _dtype(text: str, place: Location) -> DType:
    try:
        return parse_dtype(text)
    except ValueError as error:
        raise IRSyntaxError(str(error), location=place) from None


def _word(text: str, place: Location) -> Any:
    match text:
        case "true":
            return True
        case "false":
            return False
        case "none":
            return None
        case "inf" | "nan":
            return float(text)
    return _dtype(text, place)


def without_layout(kind: Type) -> Type:
    """`kind` without its layout: what `result` can derive."""
    match kind:
        case TileType() | BufferType():
            return dataclasses.replace(kind, layout=None)
        case PendingType(tile):
            return PendingType(dataclasses.replace(tile, layout=None))
    return kind
