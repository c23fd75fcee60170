"""Which names may be read again after a branch and at the head of a loop.

Capture turns assignment into values that loops carry and branches give. Only names that are read
again need that: a temporary that every iteration assigns before it reads it is not carried, and may
change its type. One backward walk over the syntax tree, loops to a fixed point.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Names = frozenset[str]
NONE: Names = frozenset()


@dataclass
class Liveness:
    """What the walk found; keys are the statements `if`, `for` and `while`."""

    after: dict[ast.stmt, Names] = field(default_factory=dict)
    head: dict[ast.stmt, Names] = field(default_factory=dict)
    local: Names = NONE
    """All names that the function assigns."""


def analyze(function: ast.FunctionDef) -> Liveness:
    """The liveness of `function`'s body."""
    found = Liveness(local=assigned(function.body))
    _Walk(found).block(function.body, NONE)
    return found


def assigned(body: Iterable[ast.AST]) -> Names:
    """All names that statements (or targets) of `body` assign; comprehensions keep theirs."""
    return frozenset(name for node in body for name in _stores(node))


def _stores(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    if not isinstance(node, (ast.ListComp, ast.GeneratorExp)):
        for child in ast.iter_child_nodes(node):
            yield from _stores(child)


def _read(node: ast.AST | None) -> Names:
    if node is None:
        return NONE
    return frozenset(
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )


@dataclass
class _Walk:
    found: Liveness
    on_break: Names = NONE
    on_continue: Names = NONE

    def block(self, body: list[ast.stmt], live: Names) -> Names:
        """The names live before `body`, given those live after it."""
        for statement in reversed(body):
            live = self.statement(statement, live)
        return live

    def statement(self, node: ast.stmt, live: Names) -> Names:
        match node:
            case ast.If():
                self.found.after[node] = live
                return (
                    self.block(node.body, live) | self.block(node.orelse, live) | _read(node.test)
                )
            case ast.For():
                return self.loop(node, live, _read(node.iter), NONE, assigned([node.target]))
            case ast.While():
                return self.loop(node, live, NONE, _read(node.test), NONE)
            case ast.With():
                inside = self.block(node.body, live) | live
                return inside.union(*(_read(item.context_expr) for item in node.items))
            case ast.Break():
                return self.on_break
            case ast.Continue():
                return self.on_continue
            case ast.Return():
                return _read(node.value)
            case ast.AugAssign():
                return live | _read(node.value) | _read(node.target) | assigned([node.target])
            case _:
                return (live - _stored(node)) | _read(node)

    def loop(
        self, node: ast.For | ast.While, live: Names, before: Names, test: Names, targets: Names
    ) -> Names:
        outer = self.on_break, self.on_continue
        head = live | test
        while True:
            self.on_break, self.on_continue = live, head
            wider = head | (self.block(node.body, head) - targets)
            if wider == head:
                break
            head = wider
        self.on_break, self.on_continue = outer
        self.found.after[node] = live
        self.found.head[node] = head
        return head | before


def _stored(node: ast.stmt) -> Names:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return assigned(t for t in targets if t is not None)
