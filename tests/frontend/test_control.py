"""Loops and branches: what is carried, what becomes a result, and what changes its type."""

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.diagnostics import TypeMismatch
from tilewright.ir.instructions.control import For, If, While
from tilewright.ir.types import f16, f32, i32, i64
from tilewright.ir.values import ScalarType
from tilewright.tests.frontend.running import captured, poisoned, run, tensor


def carried_names(kernel):
    return [[a.name for a in i.body.args[1:]] for i in kernel.walk() if isinstance(i, For)]


def temporaries(x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, 0, 4)
    tw.store(y, 0, t)
    for k in tw.range(0, x.shape[0], 8):
        t = tw.load(x, k, 8)
        u = t + 1.0
        tw.store(y, k, u)


def test_what_an_iteration_assigns_before_it_reads_is_not_carried_and_may_change_its_type():
    assert carried_names(captured(temporaries, x=tensor(f32), y=tensor(f32))) == [[]]


def rotating(x: tw.Tensor, y: tw.Tensor):
    a, b = 0.0, 1.0
    for k in tw.range(x.shape[0]):
        a, b = b, a + x[k]
    y[0] = a
    y[1] = b


def test_tuple_assignment_rotates():
    x = [1.0, 2.0, 3.0, 4.0]
    a, b = 0.0, 1.0
    for v in x:
        a, b = b, a + v
    assert run(rotating, x=(f32, x), y=(f32, poisoned(2)))["y"].tolist() == [a, b]


def tuples(x: tw.Tensor, y: tw.Tensor, *, n: tw.Static = 2):
    states = tuple((tw.zeros(4, tw.f32), 0) for _ in range(n))
    for k in tw.range(0, x.shape[0], 4):
        t = tw.load(x, k, 4)
        states = tuple((acc + t * (i + 1), count + i) for i, (acc, count) in enumerate(states))
    for i in range(n):
        tw.store(y, (i, 0), states[i][0] + states[i][1].cast(tw.f32))


def test_tuples_of_tiles_are_carried_item_by_item():
    x = np.arange(12)
    y = run(tuples, x=(f32, x), y=(f32, poisoned(2, 4)))["y"]
    total = x.reshape(3, 4).sum(0)
    assert (y == [total, total * 2 + 3]).all()


def retyped(x: tw.Tensor, y: tw.Tensor):
    best = 0
    total = 0
    for k in tw.range(x.shape[0]):
        for j in tw.range(2):
            best = tw.maximum(best, x[k])
            total += x[k] * (j + 1).cast(tw.f16)
    y[0] = best
    y[1] = total


def test_a_carried_number_takes_the_type_that_it_gets_in_the_loop():
    y = run(retyped, x=(f16, [1, 5, 3]), y=(f16, poisoned(2)))["y"]
    assert y.tolist() == [5, 27]


def widened(n: tw.Scalar, y: tw.Tensor):
    at = n
    for k in tw.range(y.shape[0]):
        at = at + k
    y[at if at < y.shape[0] else 0] = 7.0


def test_32_and_64_bit_indices_mix_so_that_no_kernel_depends_on_the_size_of_its_tensors():
    y = run(widened, n=(i32, 1), y=(f32, np.zeros(3)))["y"]
    assert y.tolist() == [7, 0, 0]
    y = run(widened, n=(i32, -2), y=(f32, np.zeros(3)))["y"]
    assert y.tolist() == [0, 7, 0]


def branches(n: tw.Scalar, x: tw.Tensor, y: tw.Tensor):
    t = tw.load(x, 0, 4)
    a, b = 1, 2.0
    same = 5
    if n > 2:
        t = t * 2.0
        a = n
        b = 3
        if n > 4:
            t = t + 1.0
    elif n == 2:
        t = tw.zeros(4, tw.f32)
    else:
        b = 0.5
        same = 5
    tw.store(y, 0, t + a.cast(tw.f32) + b + tw.full(same - 1, 0.0))


@pytest.mark.parametrize(("n", "want"), [(5, [11, 13]), (3, [8, 10]), (2, [3, 3]), (0, [2.5, 3.5])])
def test_nested_branches_give_what_they_assign(n, want):
    y = run(branches, n=(i32, n), x=(f32, [1.0, 2.0]), y=(f32, poisoned(2)))["y"]
    assert y.tolist() == want


def test_a_static_that_both_branches_agree_on_stays_static():
    kernel = captured(branches, n=ScalarType(i32), x=tensor(f32), y=tensor(f32))
    outer = next(i for i in kernel.walk() if isinstance(i, If))
    assert [r.name for r in outer.results] == ["t", "a", "b"]


def early(n: tw.Scalar, y: tw.Tensor):
    i = tw.grid(y.shape[0])
    if i >= n:
        return
    if i == 0:
        y[i] = 9
        return
    y[i] = sign(i - 2)


@tw.inline
def sign(x):
    if x > 0:
        return 1
    elif x < 0:
        return -1
    return 0


def test_return_at_the_end_of_a_branch_skips_the_rest():
    assert run(early, n=(i32, 4), y=(i32, np.full(6, 5)))["y"].tolist() == [9, -1, 0, 1, 5, 5]


def search(x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(y.shape[0])
    low, high = 0, x.shape[0]
    while low < high:
        middle = (low + high) // 2
        if x[middle] < i:
            low = middle + 1
        else:
            high = middle
    y[i] = low


def test_while_searches_by_halves():
    x = [0, 0, 1, 3, 3, 7]
    y = run(search, x=(i32, x), y=(i32, np.full(9, -1)))["y"]
    assert (y == np.searchsorted(x, np.arange(9))).all()
    loop = next(
        i for i in captured(search, x=tensor(i32), y=tensor(i32)).walk() if isinstance(i, While)
    )
    assert [a.name for a in loop.after.args] == ["low", "high"]


def forever(x: tw.Tensor, y: tw.Tensor):
    k = 0
    while True:
        if x[k] < 0:
            if k > 2:
                break
            else:  # noqa: RET508
                k += 2
                continue
        k += 1
    y[0] = k


def test_while_true_is_left_by_break_and_both_sides_of_a_branch_may_leave():
    assert run(forever, x=(i32, [1, -1, 1, 1, 1, -1]), y=(i32, [0]))["y"].tolist() == [5]


def conditional_expressions(n: tw.Scalar, x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(2 if n > 1 else 1)
    t = tw.load(x, 0, 2) if n > 2 else tw.zeros(2, tw.f32)
    tw.store(y, i * 2, t + (1.0 if 0 < n < 3 else 0.0))


@pytest.mark.parametrize(("n", "want"), [(1, [1, 1, 0, 0]), (2, [1, 1, 1, 1]), (3, [5, 6, 5, 6])])
def test_expressions_choose_at_run_time_ahead_of_the_grid_too(n, want):
    found = run(conditional_expressions, n=(i32, n), x=(f32, [5, 6]), y=(f32, np.zeros(4)))
    assert found["y"].tolist() == want


def dynamic_python_range(n: tw.Scalar, y: tw.Tensor):
    total = 0
    for k in range(1, n, 2):
        total += k
    y[0] = total


def test_range_with_bounds_of_the_launch_is_a_loop_of_the_kernel():
    assert run(dynamic_python_range, n=(i32, 8), y=(i32, [0]))["y"].tolist() == [16]


def options(n: tw.Scalar, y: tw.Tensor):
    total = 0
    for k in tw.range(0, n, 1, stages=tw.exactly(4), unroll=2):
        total += k
    y[0] = total


def test_options_of_a_loop_reach_the_ir():
    kernel = captured(options, n=ScalarType(i32), y=tensor(i32))
    loop = next(i for i in kernel.walk() if isinstance(i, For))
    assert (loop.stages, loop.exactly, loop.unroll) == (4, True, 2)


def untouched(x: tw.Tensor, y: tw.Tensor):
    a = tw.load(x, 0, 4)
    for k in tw.range(3):
        if x[k] > 0.0:
            a = a + 1.0
    for k in tw.range(3):
        y[k] = a.sum() + x[k]


def test_a_branch_inside_a_loop_feeds_what_it_carries():
    y = run(untouched, x=(f32, [1, -1, 2, 0]), y=(f32, poisoned(3)))["y"]
    assert y.tolist() == [11, 9, 12]
    kernel = captured(untouched, x=tensor(f32), y=tensor(f32))
    assert carried_names(kernel) == [["a"], []]


def views_before(x: tw.Tensor, y: tw.Tensor, n: tw.Scalar):
    first = x[0]
    half = n // 2
    tw.assume(n > 0)
    i = tw.grid(half, order="grouped")
    y[i] = first[i]


def test_what_the_host_cannot_do_moves_into_the_blocks():
    kernel = captured(views_before, x=tensor(f32, 2), y=tensor(f32), n=ScalarType(i32))
    *ahead, grid, _ = kernel.body.instructions
    assert {i.mnemonic for i in ahead} <= {"const", "floordiv", "compare", "gt"}
    assert [i.mnemonic for i in grid.body.instructions][:2] == ["subview", "assume"]
    assert grid.order == "grouped"
    y = run(views_before, x=(f32, [[1, 2], [3, 4]]), y=(f32, np.zeros(2)), n=(i32, 5))["y"]
    assert y.tolist() == [1, 2]


def dead_at_break(n: tw.Scalar, y: tw.Tensor):
    b = n
    for i in tw.range(n):
        y[i] = b
        if n == 4:
            b = i
        if i == 2:
            break
        else:  # noqa: RET508
            b = 2 * i
    b = 0
    y[4] = b


def test_a_name_that_nothing_reads_after_a_break_needs_no_type_there():
    y = run(dead_at_break, n=(i32, 4), y=(i32, np.full(5, 9)))["y"]
    assert y.tolist() == [4, 0, 2, 9, 0]


def element_updates(y: tw.Tensor, x: tw.Tensor):
    (i,) = tw.grid(x.shape[0])
    y[i] += x[i]
    y[i] *= 2


def test_elements_are_updated_in_place_and_one_index_may_be_unpacked():
    y = run(element_updates, y=(i32, [1, 2, 3]), x=(i32, [5, 6, 7]))["y"]
    assert y.tolist() == [12, 16, 20]


def outer_number(x: tw.Tensor, y: tw.Tensor):
    best, factor = -100, 1
    for k in tw.range(x.shape[0]):
        for j in tw.range(2):
            y[j] = best * x[j]
        best = tw.maximum(x[k], best)
        factor = factor * 0.5
    y[2] = best
    y[3] = factor.cast(tw.f16)


def test_a_number_of_an_outer_loop_takes_the_type_that_an_inner_one_gives_it():
    y = run(outer_number, x=(f16, [1, 5, 3]), y=(f16, poisoned(4)))["y"]
    assert y.tolist() == [5, 25, 5, 0.125]


def static_state(x: tw.Tensor, y: tw.Tensor):
    state = (tw.f32, 0.0)
    for k in tw.range(x.shape[0]):
        state = (tw.f32, state[1] + x[k].cast(state[0]))
    y[0] = state[1]


def test_a_carried_tuple_may_hold_statics_that_stay():
    assert run(static_state, x=(f16, [1, 2]), y=(f32, [0]))["y"].tolist() == [3]


def torn_tuples(n: tw.Scalar, y: tw.Tensor):
    if n > 0:
        t = (n, n)
    else:
        t = (n, n, n)
    y[0] = t[0]


def test_tuples_of_different_lengths_do_not_meet():
    with pytest.raises(TypeMismatch, match=r"t has two types after the if: \(i32, i32\)"):
        captured(torn_tuples, n=ScalarType(i32), y=tensor(i32))


def in_unrolled(n: tw.Scalar, y: tw.Tensor):
    for i in range(3):
        if n > i:
            y[i] = n
        for k in range(2):
            if i == 1:
                return
            y[3 + k] = i


def test_return_leaves_unrolled_loops():
    assert run(in_unrolled, n=(i32, 9), y=(i32, np.full(5, -1)))["y"].tolist() == [9, 9, -1, 0, 0]


def counted(x: tw.Tensor, y: tw.Tensor, *, b: tw.Static = 4):
    i = tw.grid(tw.cdiv(x.shape[0], b))
    count, last = tw.zeros(b, tw.i32), -1
    for k in tw.range(b):
        count += tw.arange(b) + i * b
        last = k if x[i * b + k] > 0 else last
    tw.store(y, (i, 0), count)
    y[i, b] = last
    tw.atomic_max(y, (i, b + 1), i * b)


def test_indices_are_stored_into_32_bits_whatever_their_width():
    y = run(counted, x=(i32, [1, 0, 3, 0, 0, 0]), y=(i32, np.zeros((2, 6))))["y"]
    assert y.tolist() == [[0, 4, 8, 12, 2, 0], [16, 20, 24, 28, -1, 4]]
    kernel = captured(counted, i64, x=tensor(i32), y=tensor(i32, 2))
    assert [c.body.args[0].type for c in kernel.walk() if isinstance(c, For)] == [ScalarType(i64)]


@tw.inline
def mark(y, k):
    if y[k] > 2:
        y[k] = 0
        return
    y[k] = 1


def marking(y: tw.Tensor):
    for k in tw.range(y.shape[0]):
        mark(y, k)
    k = [k + 1 for k in (6, 8)]
    y[0] = k[0]


def test_an_inline_function_without_a_result_may_return_early():
    assert run(marking, y=(i32, [1, 3, 2, 5]))["y"].tolist() == [7, 0, 1, 0]
