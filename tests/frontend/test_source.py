"""Sources: methods, decorators, notebooks, other alphabets, and what has no source."""

import inspect
import linecache
import textwrap

import pytest

import tilewright as tw
from tilewright.frontend import annotations, functions, language
from tilewright.frontend.capture import capture
from tilewright.frontend.handlers import HANDLERS
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.types import f32
from tilewright.tests.frontend.running import captured, tensor

X = {"x": tensor(f32)}


def from_cell(text, name, number=1):
    """The function that a notebook would make of a cell."""
    file = f"<cell {number}>"
    text = textwrap.dedent(text)
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    scope = {"tw": tw}
    exec(compile(text, file, "exec"), scope)
    return scope[name]


def test_a_cell_of_a_notebook_is_a_source():
    double = from_cell(
        """
        import math

        def double(x: tw.Tensor):
            tw.store(x, 0, tw.load(x, 0, 4) * 2.0)
        """,
        "double",
    )
    kernel = captured(double, **X)
    store = next(i for i in kernel.walk() if i.mnemonic == "store")
    assert (store.location.file, store.location.line, store.location.column) == ("<cell 1>", 5, 4)


def test_other_alphabets_keep_the_caret_in_place():
    kernel = from_cell(
        """
        def größe(x: tw.Tensor):
            größe_ä = tw.load(x, 0, 4); y = größe_ä + "ü"
        """,
        "größe",
        2,
    )
    with pytest.raises(TypeMismatch) as caught:
        capture(kernel, X)
    place = caught.value.location
    line = linecache.getline(place.file, place.line)
    assert line[place.column : place.end_column] == 'größe_ä + "ü"'


def test_an_expression_over_several_lines_is_marked_on_its_first():
    kernel = from_cell(
        """
        def long(x: tw.Tensor):
            y = tw.load(
                x, 0
            )
        """,
        "long",
        3,
    )
    with pytest.raises(LanguageError) as caught:
        capture(kernel, X)
    assert (caught.value.location.line, caught.value.location.column) == (3, 8)


def test_a_function_without_source_is_refused():
    scope = {"tw": tw}
    exec("def ghost(x):\n    pass", scope)
    with pytest.raises(LanguageError, match="the source of ghost is not available"):
        capture(scope["ghost"], X)


def test_a_lambda_is_refused():
    with pytest.raises(LanguageError, match="is not a function of that name"):
        capture(lambda x: None, X)


def test_variable_parameters_are_refused():
    def variable(x: tw.Tensor, *more: tw.Tensor):
        pass

    with pytest.raises(LanguageError, match=r"variable takes \*more") as caught:
        capture(variable, X)
    assert caught.value.location.line == inspect.getsourcelines(variable)[1]


def decorate(function):
    return function


@decorate
@decorate
def decorated(
    x: tw.Tensor,
):
    # a comment
    tw.store(x, 0, tw.zeros(4, tw.f32))


def test_decorators_do_not_move_lines():
    kernel = captured(decorated, **X)
    store = next(i for i in kernel.walk() if i.mnemonic == "store")
    assert store.location.line == inspect.getsourcelines(decorated)[1] + 6


def names_of_the_language():
    for name in language.__all__:
        found = getattr(language, name)
        if callable(found) and not isinstance(found, type) and name not in ("inline",):
            yield name, found
    for kind in (annotations.Tile, annotations.Tensor, annotations.Buffer, annotations.Barrier):
        for name, member in vars(kind).items():
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}", getattr(member, "fget", member)


NAMES = dict(n for n in names_of_the_language() if n[0] not in ("Scalar", "Static"))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_meaning_for_its_parameters_and_a_docstring(name):
    assert functions.__all__
    handler, declared = HANDLERS[NAMES[name]], inspect.signature(NAMES[name])
    assert NAMES[name].__doc__
    if not isinstance(getattr(annotations, name.partition(".")[0], None), type):
        taken = list(inspect.signature(handler.run).parameters)[1:]
        assert taken == list(declared.parameters)
