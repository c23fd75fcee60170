"""Random control flow: what a kernel computes is what Python computes.

Each program assigns a few integers in nested loops and branches with `break` and `continue`. It is
run twice: by Python, and captured and interpreted. Names may be unassigned on some paths: then
capture must refuse, and where it accepts, the results are equal.
"""

import itertools
import linecache
import random

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.diagnostics import TilewrightError
from tilewright.ir.types import i32
from tilewright.tests.frontend.running import run

NAMES = "abcd"
REFUSALS = ("is assigned", "is read before", "is not defined", "decided at run time")


class Program:
    """The source of a random kernel; `lines` says what is spent."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = ["def program(n: tw.Scalar, y: tw.Tensor):"]
        for name in NAMES[: self.random.choice([3, 4, 4, 4, 4])]:
            self.lines.append(f"    {name} = {self.random.choice(['n', 'n + 1', '0', '3'])}")
        self.block(1, None, 5)
        for at, name in enumerate(NAMES):
            self.lines.append(f"    y[{at}] = {name}")

    def add(self, depth, text):
        self.lines.append("    " * depth + text)

    def value(self):
        pick = self.random.choice
        return pick([pick(NAMES), pick(NAMES), "n", str(self.random.randint(-2, 4))])

    def expression(self):
        op = self.random.choice(["+", "-", "//", "%", "&", "max"])
        left, right = self.value(), self.value()
        if op == "max":
            return f"max({left}, {right})"
        if op in ("//", "%"):
            right = str(self.random.randint(1, 3))
        return f"{left} {op} {right}"

    def condition(self):
        compare = f"{self.value()} {self.random.choice(['<', '>=', '==', '!='])} {self.value()}"
        if self.random.random() < 0.2:
            return f"{compare} {self.random.choice(['and', 'or'])} not {self.value()} > 1"
        return compare

    def block(self, depth, loop, budget):
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.random()
            if budget <= 0 or kind < 0.45:
                if self.random.random() < 0.2:
                    left, right = self.random.sample(NAMES, 2)
                    self.add(depth, f"{left}, {right} = {self.value()}, {self.expression()}")
                else:
                    self.add(depth, f"{self.random.choice(NAMES)} = {self.expression()}")
            elif kind < 0.7:
                self.branch(depth, loop, budget)
            else:
                self.loop(depth, budget)
        return self

    def branch(self, depth, loop, budget):
        self.add(depth, f"if {self.condition()}:")
        self.side(depth + 1, loop, budget)
        if self.random.random() < 0.6:
            self.add(depth, "else:")
            self.side(depth + 1, loop, budget)

    def side(self, depth, loop, budget):
        if loop and self.random.random() < 0.3:
            self.add(depth, self.random.choice(loop))
        else:
            self.block(depth, loop, budget - 2)

    def loop(self, depth, budget):
        index = f"i{depth}"
        kind = self.random.choice(["dynamic", "dynamic", "while", "static"])
        if kind == "while":
            self.add(depth, f"w{depth} = {self.random.randint(0, 3)}")
            self.add(depth, f"while w{depth} > 0:")
            self.add(depth + 1, f"w{depth} = w{depth} - 1")
        elif kind == "static":
            self.add(depth, f"for {index} in range({self.random.randint(0, 2)}):")
        else:
            self.add(depth, f"for {index} in tw.range({self.random.randint(0, 1)}, n, 2):")
        if kind != "while":
            self.add(depth + 1, f"{self.random.choice(NAMES)} = {self.expression()} + {index}")
        self.block(depth + 1, None if kind == "static" else ["break", "continue"], budget - 2)


class PythonRange:
    """`tw` for Python: its loops are Python's."""

    Scalar = Tensor = object
    range = range


def compiled(text, seed, scope):
    file = f"<random program {seed}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), scope)
    return scope["program"]


def captured_run(program, n):
    """What the captured program leaves in y, or the message of its refusal."""
    try:
        return run(program, n=(i32, n), y=(i32, np.full(4, 99)))["y"].tolist()
    except TilewrightError as error:
        return error.message


@pytest.mark.parametrize("start", range(0, 160, 20))
def test_a_kernel_computes_what_python_computes(start):
    accepted = 0
    for seed, n in itertools.product(range(start, start + 20), [0, 5]):
        text = "\n".join(Program(seed).lines) + "\n"
        expected = [None] * 4
        try:
            compiled(text, seed, {"tw": PythonRange})(n, expected)
        except NameError:
            expected = None
        found = captured_run(compiled(text, seed, {"tw": tw}), n)
        if isinstance(found, str):
            assert any(known in found for known in REFUSALS), f"{found}\n{text}"
        else:
            accepted += 1
            assert found == expected, text
    assert accepted > 20
