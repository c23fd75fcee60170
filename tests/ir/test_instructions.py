"""What every declaration keeps to, the table of effects, and the reference page."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from tilewright.ir.instruction import BEFORE_TARGET, PHASES, REGISTRY, Effect, Instruction
from tilewright.ir.instructions.control import Yield
from tilewright.ir.instructions.matmul import Mma, MmaAsync
from tilewright.ir.reference import PAGE, print_reference
from tilewright.ir.types import f16, f32
from tilewright.ir.values import BufferType, TileType, Value
from tilewright.tests.ir import samples

CLASSES = list(dict.fromkeys(cls for cls, _ in REGISTRY.values()))
SAMPLES = list(samples.instructions())


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.name)
def test_declaration(cls: type[Instruction]) -> None:
    """A docstring of its own, phases, and a meaning for what the interpreter runs."""
    assert cls.__doc__, "the docstring is the equation"
    assert not cls.__doc__.startswith(f"{cls.__name__}("), "a docstring of its own"
    assert cls.phases <= set(PHASES)
    if cls.phases & BEFORE_TARGET and not cls.terminates:
        assert hasattr(cls, "meaning"), "nothing is lowered that cannot be interpreted"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.name)
def test_meaning_takes_the_runtime_fields(cls: type[Instruction]) -> None:
    """Operands and bodies in field order, after the machine where it may wait."""
    if cls.terminates:
        return
    taken = list(inspect.signature(cls.meaning).parameters)[1:]  # type: ignore[attr-defined]
    fields = [s.name for s in cls.specs if s.kind != "attribute"]
    assert taken == ["machine"] * cls.blocks + fields
    assert inspect.isgeneratorfunction(cls.meaning) == cls.blocks  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.name)
def test_fields_have_kinds(cls: type[Instruction]) -> None:
    """Every field but results, place and the family's `op` has a kind."""
    known = {s.name for s in cls.specs} | {"results", "location", "op"}
    assert {f.name for f in dataclasses.fields(cls)} <= known


def test_families_name_their_members() -> None:
    for mnemonic, (cls, op) in REGISTRY.items():
        assert op in (None, mnemonic)
        assert (op is None) == (cls.name == mnemonic)


def test_instructions_are_values_with_identity() -> None:
    one, two = Yield(values=()), Yield(values=())
    assert one != two
    assert len({one, two}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.values = ()  # type: ignore[misc]


ATOMIC = "atomic tensor, arrive, wait"
EFFECTS: dict[str, set[str]] = {
    "load": {"read tensor"},
    "store": {"write tensor"},
    "gather": {"read tensor"},
    "scatter": {"write tensor"},
    "element": {"read tensor"},
    "element.store": {"write tensor"},
    **{m: {ATOMIC} for m, (cls, _) in REGISTRY.items() if cls.name == "atomic"},
    "signal": {"atomic tensor, arrive tensor"},
    "signal.wait": {"wait tensor, atomic tensor"},
    "print": {"world"},
    "check": {"world"},
    "buffer": {"init"},
    "barrier": {"init"},
    "buffer.load": {"read buffer"},
    "buffer.store": {"write buffer"},
    "copy": {
        "read tensor at token, write buffer at token",
        "read tensor async at token, write buffer async at token, arrive barrier async at token",
    },
    "copy.out": {"read buffer async at token, atomic tensor async at token"},
    "wait": {"wait tokens, wait tokens"},
    "sync": {"arrive, wait"},
    "fence": {"arrive"},
    "pend": {"init"},
    "mma.async": {"init"},
    "barrier.arrive": {"arrive barrier", "arrive barrier at token"},
    "barrier.wait": {"wait barrier"},
    "named.sync": {"arrive, wait"},
    "named.arrive": {"arrive"},
}
"""Of every sample; what is not named has no effects of its own."""


def _describe(item: Instruction, effect: Effect) -> str:
    names = [s.name for s in item.specs if s.kind in ("operand", "operands")]
    on = [n for n in names if effect.on is not None and effect.on in _held(item, n)]
    words = [effect.action, *on[:1]]
    words += ["async"] if effect.proxy == "async" else []
    return " ".join(words + (["at token"] if effect.when == "token" else []))


def _held(item: Instruction, name: str) -> tuple[object, ...]:
    held = getattr(item, name)
    return held if isinstance(held, tuple) else (held,)


@pytest.mark.parametrize("mnemonic", REGISTRY)
def test_effects(mnemonic: str) -> None:
    found = [i for i in SAMPLES if i.mnemonic == mnemonic]
    texts = {", ".join(_describe(i, e) for e in i.effects()) for i in found} - {""}
    assert texts == EFFECTS.get(mnemonic, set())


@pytest.mark.parametrize("item", SAMPLES, ids=lambda i: i.mnemonic)
def test_effects_are_on_operands(item: Instruction) -> None:
    for effect in item.effects():
        assert effect.on is None or effect.on in item.operand_values


def test_products_read_the_buffers_among_their_operands() -> None:
    """Samples hold products of tiles; of buffers they read, asynchronously where they are."""
    x, y = Value(BufferType((64, 16), f16)), Value(TileType((16, 8), f16))
    acc = Value(TileType((64, 8), f32))
    assert Mma(x=x, y=y, acc=acc).effects() == (Effect("read", x),)
    assert MmaAsync(x=x, y=y, acc=acc).effects()[1:] == (Effect("read", x, "async", "token"),)


def test_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text() == print_reference(), "run `python -m tilewright.ir.reference`"


def test_reference_names_every_instruction() -> None:
    text = print_reference()
    assert all(f"`{mnemonic}`" in text for mnemonic in REGISTRY)
