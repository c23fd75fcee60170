"""Random kernels: the interpreter, the cpu target and the virtual machine agree; nothing races.

The seeds are fresh in every run and printed where one fails; `python tests/fuzz/explore.py SEED 1`
reduces it.
"""

from __future__ import annotations

import random

import pytest

from tilewright.ir.diagnostics import TilewrightError
from tilewright.tests.fuzz.generator import Program
from tilewright.tests.fuzz.running import differences, run

COUNT = 12
FIRST = random.SystemRandom().randrange(10**6) * COUNT


def outcome(seed: int, targets: tuple[str, ...]) -> str:
    """What is wrong with the program of `seed`; "refused: …" where it is not in the language."""
    program = Program(seed, 6)
    try:
        expected, _ = run(program, "interpret")
    except TilewrightError as error:
        return f"refused: {error.message}"
    wrong = [message for target in targets for message in differences(program, target, expected)]
    return "\n".join([f"seed {seed}", *wrong, program.text]) if wrong else ""


@pytest.mark.parametrize("number", range(COUNT))
@pytest.mark.filterwarnings("ignore:.*spills registers")
def test_targets_agree_with_the_interpreter(number):
    found = outcome(FIRST + number, ("cpu", "vm:sm_80"))
    assert not found or found.startswith("refused"), found


@pytest.mark.parametrize("number", range(3))
@pytest.mark.filterwarnings("ignore:.*spills registers")
def test_hopper_agrees_with_the_interpreter(number):
    found = outcome(FIRST + number, ("vm:sm_90a",))
    assert not found or found.startswith("refused"), found


def test_most_programs_are_in_the_language():
    accepted = 0
    for seed in range(FIRST, FIRST + 40):
        program = Program(seed, 6)
        try:
            run(program, "interpret")
            accepted += 1
        except TilewrightError:
            continue
    assert accepted > 30
