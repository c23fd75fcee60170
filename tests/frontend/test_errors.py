"""How errors look: the picture of the source, the chain of inline calls, arguments by name."""

import inspect

import numpy as np
import pytest

import tilewright as tw
from tilewright.frontend.capture import capture
from tilewright.ir.diagnostics import LanguageError, ShapeError, TypeMismatch
from tilewright.tests.frontend.gallery import ARGUMENTS

ARRAY = np.zeros(3)


def float_meets_integers(i: tw.Tensor):
    tw.store(i, 0, tw.load(i, 0, 4) * 0.5)


def test_an_error_is_a_picture_of_the_source():
    with pytest.raises(TypeMismatch) as caught:
        capture(float_meets_integers, {"i": ARGUMENTS["i"]})
    _, first = inspect.getsourcelines(float_meets_integers)
    line = first + 1
    gutter = " " * (len(str(line)) + 1)
    assert str(caught.value) == "\n".join(
        [
            "the float 0.5 meets integers of i32",
            f"  --> {__file__}:{line}:20",
            f"{gutter}|",
            f"{line} |     tw.store(i, 0, tw.load(i, 0, 4) * 0.5)",
            f"{gutter}|                    ^^^^^^^^^^^^^^^^^^^^^^",
            "  = hint: cast the integers first, e.g. x.cast(tw.f32)",
        ]
    )


@tw.inline
def inner(x):
    return x + "text"


@tw.inline
def outer(x):
    return inner(x)


def chain(x: tw.Tensor):
    tw.store(x, 0, outer(tw.load(x, 0, 4)))


def test_an_error_inside_inline_functions_tells_who_called_them():
    with pytest.raises(TypeMismatch, match="'text' is not a tile, scalar or number") as caught:
        capture(chain, {"x": ARGUMENTS["x"]})
    assert caught.value.location.line == inspect.getsourcelines(inner.function)[1] + 2
    notes = caught.value.__notes__
    assert [n.partition(",")[0] for n in notes] == ["in inner", "in outer"]
    assert notes[1].endswith(f":{inspect.getsourcelines(chain)[1] + 1}:20")


def test_arguments_are_checked_by_name():
    with pytest.raises(LanguageError, match="chain has no parameter z"):
        capture(chain, {"x": ARGUMENTS["x"], "z": 1})
    with pytest.raises(LanguageError, match="chain misses its argument x"):
        capture(chain, {})
    with pytest.raises(LanguageError, match=r"x is a numpy\.ndarray from outside"):
        capture(chain, {"x": ARRAY})


def test_shape_and_type_errors_are_pythons_too():
    assert issubclass(ShapeError, ValueError)
    assert issubclass(TypeMismatch, TypeError)
