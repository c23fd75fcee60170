"""Index expressions: what simplifies, what is proved, and that both are true.

The property tests build the same random expression twice, as an `Index` and as a Python function,
and compare value, interval, divisor and proofs on random environments; every rule of the simplifier
is on their path.
"""

import copy
import itertools
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.index import (
    Constant,
    FloorDiv,
    Index,
    IsNonNegative,
    Mod,
    Variable,
    as_index,
    divisor,
    equal,
    evaluate,
    interval,
    logical_not,
    maximum,
    minimum,
    not_equal,
    operands,
    prove,
    prove_divisible,
    prove_equal,
    prove_less,
    prove_nonnegative,
    substitute,
    variable,
    variables,
)
from tilewright.ir.index.symbolic import to_sympy

Function = Callable[[dict[str, int]], int]
Pair = tuple[Index, Function]

POOL = [
    variable("a", 0, 7),
    variable("b", 0, 31),
    variable("c", 0, None, 8),
    variable("d", -20, 20),
    variable("k", 7, 9),
    variable("n", 1, None),
    variable("m", 16, 64, 16),
    variable("x"),
]


def draw_value(v: Variable, number: int) -> int:
    """A value of the variable's range from any integer."""
    steps = number
    if v.at_least is not None and v.at_most is not None:
        low, high = -(-v.at_least // v.multiple_of), v.at_most // v.multiple_of
        steps = low + number % (high - low + 1)
    elif v.at_least is not None:
        steps = -(-v.at_least // v.multiple_of) + abs(number)
    return steps * v.multiple_of


environments = st.lists(
    st.one_of(st.integers(-40, 40), st.integers(-(10**6), 10**6)),
    min_size=len(POOL),
    max_size=len(POOL),
).map(lambda numbers: {v.name: draw_value(v, k) for v, k in zip(POOL, numbers, strict=True)})

numbers = st.one_of(st.integers(-9, 9), st.sampled_from([16, 32, 48, 64, -16, 17, 128]))
divisors = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 32, 64, -4, -3])
leaves = st.one_of(
    st.sampled_from(POOL).map(lambda v: (v, lambda env, name=v.name: env[name])),
    numbers.map(lambda k: (as_index(k), lambda env, k=k: k)),
)

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "min": min,
    "max": max,
    ">=": lambda x, y: int(x >= y),
    "<": lambda x, y: int(x < y),
    "==": lambda x, y: int(x == y),
    "!=": lambda x, y: int(x != y),
    "//": operator.floordiv,
    "%": operator.mod,
}
BUILD = {
    **BINARY,
    "min": minimum,
    "max": maximum,
    ">=": operator.ge,
    "<": operator.lt,
    "==": equal,
    "!=": not_equal,
}


def combine(name: str, left: Pair, right: Pair) -> Pair:
    function = BINARY[name]
    try:
        built = BUILD[name](left[0], right[0])
    except ZeroDivisionError:
        return left
    return built, lambda env: function(left[1](env), right[1](env))


def constant_pair(k: int) -> Pair:
    return as_index(k), lambda env: k


def extend(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    by_number = st.builds(
        lambda name, pair, k: combine(name, pair, constant_pair(k)),
        st.sampled_from(["//", "%", "//", "%", "*"]),
        children,
        divisors,
    )
    return st.one_of(
        by_number,
        by_number,
        st.builds(combine, st.sampled_from(["+", "-", "+"]), children, children),
        st.builds(combine, st.sampled_from(sorted(BINARY)), children, children),
    )


expressions = st.recursive(leaves, extend, max_leaves=8)


def digit(pair: Pair, steps: list[tuple[str, int]]) -> Pair:
    for name, number in steps:
        pair = combine(name, pair, constant_pair(number))
    return pair


def total(parts: list[tuple[int, Pair]], constant: int) -> Pair:
    pair = constant_pair(constant)
    for factor, part in parts:
        pair = combine("+", pair, combine("*", part, constant_pair(factor)))
    return pair


def split_and_join(pair: Pair, size: int, middle: int, factors: tuple[int, int, int]) -> Pair:
    """The pieces of an index as layouts take them apart, with right and with wrong strides."""
    low = combine("%", pair, constant_pair(size))
    rest = combine("//", pair, constant_pair(size))
    high = combine("%", rest, constant_pair(middle))
    return total(list(zip(factors, (low, high, rest), strict=True)), 0)


factors = st.sampled_from([1, 1, -1, 2, 3, 4, 6, 8, 16, 32, -8])
sizes = st.sampled_from([2, 4, 6, 8, 16, 32])
digits = st.builds(
    digit, leaves, st.lists(st.tuples(st.sampled_from(["//", "%"]), sizes), max_size=2)
)
sums = st.builds(
    total,
    st.lists(st.tuples(factors, digits), min_size=1, max_size=3),
    st.sampled_from([0, 0, 1, 3, 4, 5, 8, 17, -1, -4, -8]),
)
divided = st.builds(
    combine, st.sampled_from(["//", "%"]), sums, st.one_of(sizes.map(constant_pair), leaves)
)
joined = st.builds(
    lambda pair, size, middle, scale, skew, carry: split_and_join(
        pair, size, middle, (scale, scale * size + skew, carry)
    ),
    st.one_of(sums, leaves),
    sizes,
    sizes,
    st.sampled_from([1, 3, -1]),
    st.sampled_from([0, 0, 1]),
    st.sampled_from([0, 0, 2, 4, 8, 16]),
)
# Shapes of index arithmetic, small enough that every rule and every wrong variant of it is met.
structured = st.one_of(divided, divided, joined, st.builds(combine, st.just("+"), divided, joined))


@given(
    st.one_of(structured, structured, expressions), st.lists(environments, min_size=4, max_size=4)
)
@settings(max_examples=1500, deadline=None)
def test_simplified_expressions_keep_value_and_facts(
    pair: Pair, several: list[dict[str, int]]
) -> None:
    built, function = pair
    for env in several:
        try:
            expected = function(env)
        except ZeroDivisionError:
            continue
        value = evaluate(built, env)
        assert value == expected, (built, env)
        low, high = interval(built)
        assert low is None or low <= value, (built, env)
        assert high is None or value <= high, (built, env)
        assert value % divisor(built) == 0 if divisor(built) else value == 0, (built, env)


@given(
    st.one_of(structured, expressions),
    st.one_of(structured, expressions),
    st.lists(environments, min_size=6, max_size=6),
)
@settings(max_examples=800, deadline=None)
def test_what_is_proved_holds(left: Pair, right: Pair, several: list[dict[str, int]]) -> None:
    a, b = left[0], right[0]
    claims = {
        "a >= 0": prove_nonnegative(a),
        "a < b": prove_less(a, b),
        "a == b": prove_equal(a, b),
        "a % 16 == 0": prove_divisible(a, 16),
        "a % 6 == 0": prove_divisible(a, 6),
        "a >= 0 or b >= 0": prove(maximum(a >= 0, b >= 0)),
        "a <= b and b >= 0": prove(minimum(a <= b, b >= 0)),
    }
    for env in several:
        try:
            values = {"a": left[1](env), "b": right[1](env)}
        except ZeroDivisionError:
            continue
        for claim, proved in claims.items():
            assert not proved or eval(claim, {}, values), (claim, a, b, env)


@given(expressions, st.sampled_from(POOL), expressions, environments)
@settings(max_examples=400, deadline=None)
def test_substitution_is_evaluation_at_another_place(
    pair: Pair, var: Variable, new: Pair, env: dict[str, int]
) -> None:
    try:
        inside = {**env, var.name: new[1](env)}
        if not _within(var, inside[var.name]):
            return
        expected = pair[1](inside)
        replaced = substitute(pair[0], {var: new[0]})
    except ZeroDivisionError:
        return
    assert evaluate(replaced, env) == expected
    assert substitute(pair[0], {}) is pair[0]


def _within(var: Variable, value: int) -> bool:
    return (
        (var.low is None or var.low <= value)
        and (var.high is None or value <= var.high)
        and value % var.multiple_of == 0
    )


@given(expressions)
@settings(max_examples=200, deadline=None)
def test_pickle_and_copy_keep_identity(pair: Pair) -> None:
    assert pickle.loads(pickle.dumps(pair[0])) is pair[0]
    assert copy.deepcopy(pair[0]) is pair[0]
    assert all(node.key for node in operands(pair[0]))


@given(st.recursive(leaves, lambda c: st.builds(combine, st.sampled_from("+-*"), c, c)))
@settings(max_examples=60, deadline=None)
def test_polynomials_are_those_of_sympy(pair: Pair) -> None:
    symbols = {v.name: sympy.Symbol(v.name, integer=True) for v in POOL}
    assert sympy.expand(to_sympy(pair[0]) - pair[1](symbols)) == 0  # type: ignore[arg-type]


@given(expressions, environments)
@settings(max_examples=100, deadline=None)
def test_sympy_gets_the_same_value(pair: Pair, env: dict[str, int]) -> None:
    try:
        expected = evaluate(pair[0], env)
    except ZeroDivisionError:
        return
    symbols = {sympy.Symbol(name, integer=True): value for name, value in env.items()}
    assert to_sympy(pair[0]).subs(symbols) == expected


a, b, c, d, k, n, m, x = POOL
t = variable("t", 0, 255)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (a + b, b + a),
        ((a + 1) * (b - 2), a * b - 2 * a + b - 2),
        (x * (n + m) - m * x, n * x),
        ((16 * a + b + 35) // 16, a + 2 + (b + 3) // 16),
        ((16 * a + b + 35) % 16, (b + 3) % 16),
        ((32 * x + b) // 32, x),
        ((32 * x + b) % 32, b),
        ((8 * x + a) // 32, x // 4),
        ((8 * x + a) % 32, x % 4 * 8 + a),
        (x // 4 // 8, x // 32),
        ((x // 4 + 3) // 8, (x + 12) // 32),
        (x % 32 // 4, x // 4 % 8),
        (x % 32 % 8, x % 8),
        ((x % 32 + n) % 8, (x + n) % 8),
        (x // 16 * 16 + x % 16, x),
        (x // 16 * 48 + x % 16 * 3 + n, 3 * x + n),
        (t // 32 * 32 + t // 4 % 8 * 4 + t % 4, t),
        (x // 4 % 8 * 4 + x % 4, x % 32),
        ((a + 8 * b) // 8 * n + (a + 8 * b) % 8, b * n + a),
        (c // 8 * 8, c),
        (c % 4, as_index(0)),
        ((c + 5) // 4, c // 4 + 1),
        ((x * n + n) // n, x + 1),
        ((x * n * m + n) % n, as_index(0)),
        (x // -4, -x // 4),
        (b // 32, as_index(0)),
        ((b - 32) // 32, as_index(-1)),
        (minimum(a, 7), a),
        (minimum(a, b + 8, 7), a),
        (maximum(a + x, x), a + x),
        (minimum(x, minimum(n, x)), minimum(n, x)),
        (a <= 7, as_index(1)),
        (a + x < x, as_index(0)),
        (4 * x >= 3, x >= 1),
        (4 * x < 4 * n, x < n),
        (equal(4 * x, 6), as_index(0)),
        (equal(c + 4, 0), as_index(0)),
        (equal(2 * x, 2 * n), equal(n, x)),
        (logical_not(x < n), x >= n),
        (logical_not(logical_not(equal(x, n))), equal(x, n)),
        (minimum(x < n, 1), x < n),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_simplifies(left: Index, right: Index) -> None:
    assert left is right


def test_facts() -> None:
    assert interval(16 * a + b) == (0, 143)
    assert interval(a * d) == (-140, 140)
    assert interval(n * a) == (0, None)
    assert interval(n * d) == (None, None)
    assert interval(d // n) == (-20, 20)
    assert interval((d - 21) // n) == (-41, -1)
    assert interval((d - 30) // k) == (-8, -2)
    assert interval((d + 20) // k) == (0, 5)
    assert interval(x % m) == (0, 63)
    assert interval(variable("y", 3, 21, 8)) == (8, 16)
    assert divisor(c * m) == 128
    assert divisor(c * 6 + 12) == 12
    assert divisor(m // 4) == 4
    assert divisor(x % m) == 1
    assert divisor(as_index(0)) == 0
    assert divisor(minimum(c, x * 12)) == 4


def test_proofs_of_tile_bounds() -> None:
    extent, i = variable("extent", 1), variable("i", 0)
    padded = (extent + 127) // 128 * 128
    assert prove_less(extent - 1, padded)
    assert prove_less(padded, extent + 128)
    assert not prove_less(padded, extent + 127)
    assert prove_nonnegative(extent // 128 * 128)
    assert prove_nonnegative(extent - extent // 128 * 128)
    assert prove_nonnegative(i - minimum(i, extent))
    assert not prove_nonnegative(extent - i)
    assert prove(minimum(i, extent - 1) < extent)
    assert prove(maximum(i, extent) >= extent)
    assert prove_less(minimum(i, extent - 1) % 8, 8)
    assert prove_nonnegative(i - i % 8)
    assert prove_nonnegative(maximum(x, i))
    assert prove_less(x, maximum(x + 1, extent))
    assert not prove_nonnegative(minimum(x, i))
    assert not prove_nonnegative(i - maximum(i, extent))
    assert not prove(minimum(i >= 0, x >= 0))
    assert not prove(maximum(x >= 0, x < -1))
    assert prove_divisible(i // 8 * 24 + 48, 24)
    assert not prove_divisible(i * 8 + 4, 8)
    assert prove_divisible(0, 7)
    assert prove_equal(x // 8 * 8 + x % 8, x)


def test_mixed_radix_indices_come_apart_and_together() -> None:
    extents = (3, 5, 4, 7)
    digits = [variable(f"i{k}", 0, e - 1) for k, e in enumerate(extents)]
    flat: Index = as_index(0)
    for digit, extent in zip(digits, extents, strict=True):
        flat = flat * extent + digit
    rest, found = flat, []
    for extent in reversed(extents):
        rest, found = rest // extent, [rest % extent, *found]
    assert found == digits
    assert rest is as_index(0)
    whole = variable("whole", 0, 3 * 5 * 4 * 7 - 1)
    again: Index = whole // 140
    for extent, below in ((5, 28), (4, 7), (7, 1)):
        again = again * extent + whole // below % extent
    assert again is whole


@pytest.mark.parametrize("n_value", [2, 3, 8, -4])
def test_divisions_round_down_for_all_signs(n_value: int) -> None:
    for value, shift in itertools.product(range(-20, 21), range(-5, 6)):
        env = {"x": value}
        assert evaluate((x + shift) // n_value, env) == (value + shift) // n_value
        assert evaluate((x + shift) % n_value, env) == (value + shift) % n_value


def test_nested_divisions_of_all_sizes_are_exact() -> None:
    for outer, inner, shift in itertools.product(range(2, 13), range(2, 13), (0, 1, 5)):
        cases = {
            (x % outer + shift) // inner: lambda v: (v % outer + shift) // inner,  # noqa: B023
            (x % outer + shift) % inner: lambda v: (v % outer + shift) % inner,  # noqa: B023
            (x // outer + shift) // inner: lambda v: (v // outer + shift) // inner,  # noqa: B023
            (x // outer + shift) % inner: lambda v: (v // outer + shift) % inner,  # noqa: B023
            (x * outer + shift) // inner: lambda v: (v * outer + shift) // inner,  # noqa: B023
            (x * outer + shift) % inner: lambda v: (v * outer + shift) % inner,  # noqa: B023
        }
        for built, function in cases.items():
            for value in (*range(-13, 14), 1000):
                assert evaluate(built, {"x": value}) == function(value), built


def test_equal_expressions_are_one_object() -> None:
    assert variable("a", 0, 7) is a
    assert variable("a", 0, 8) is not a
    assert as_index(3) is as_index(3)
    assert (a + b) * 2 is 2 * b + 2 * a
    assert isinstance(as_index(5) // 2, Constant)
    assert isinstance(x // 3, FloorDiv)
    assert isinstance(3 % n, Mod)
    assert isinstance(x < n, IsNonNegative)


def test_variables() -> None:
    assert variables(minimum(a * b, x // n) + (d < 3)) == {a, b, x, n, d}
    assert variables(a - a + 3) == frozenset()
    with pytest.raises(KeyError, match="b"):
        evaluate(a + b, {"a": 1})


def test_truth_needs_proof() -> None:
    assert a <= 7
    assert not a < 0
    assert n
    with pytest.raises(TypeError, match="x - 1 >= 0 is true is not known"):
        bool(x > 0)
    with pytest.raises(TypeError, match="not known"):
        sorted([x, n])


def test_division_by_zero_and_bad_divisors_are_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        x // 0
    with pytest.raises(ZeroDivisionError):
        x % (a - a)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        variable("z", 0, 3, 0)


def test_text_is_the_expression() -> None:
    assert str(16 * a - b // 4 + 3) == "16*a - (b // 4) + 3"
    assert str(-x * n - 1) == "-(n*x) - 1"
    assert str(minimum(x, n) % 8) == "min(n, x) % 8"
    assert str((x + 1) % n) == "(x + 1) % n"


@given(expressions, environments)
@settings(max_examples=300, deadline=None)
def test_text_evaluates_as_python(pair: Pair, env: dict[str, int]) -> None:
    try:
        expected = evaluate(pair[0], env)
    except ZeroDivisionError:
        return
    assert int(eval(str(pair[0]), {"min": min, "max": max}, env)) == expected


def test_text_of_nested_comparisons_does_not_chain() -> None:
    a, b = variable("a", 0, 7), variable("b", 0, 7)
    nested = equal(equal(a, b), 0)
    for left, right in ((0, 0), (0, 1)):
        env = {"a": left, "b": right}
        assert int(eval(str(nested + 1), {}, dict(env))) == evaluate(nested + 1, env)


def test_order_does_not_depend_on_history() -> None:
    program = (
        "from tilewright.ir.index import *\n"
        "p, q, r = (variable(k, 0, 99) for k in {order!r})\n"
        "byname = {{v.name: v for v in (p, q, r)}}\n"
        "u, v, w = (byname[k] for k in 'uvw')\n"
        "print(3*w + u//7 + v*w + minimum(u, v), sorted(map(str, variables(u+v))))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program.format(order=order)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for order in ("uvw", "wvu")
    }
    assert len(texts) == 1


def test_the_compile_path_does_not_load_sympy() -> None:
    code = "import sys, tilewright.ir.index; print(*{'torch', 'sympy', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
