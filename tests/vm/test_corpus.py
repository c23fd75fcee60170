"""The corpus itself: what each file says of its origin, and that nothing of a machine is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tilewright.runtime.vm.instructions import EFFECTS, VALUES
from tilewright.runtime.vm.isa import check_form
from tilewright.runtime.vm.parser import parse

CORPUS = Path(__file__).with_name("corpus")
CONTROL = {"bra", "brx", "call", "ret", "exit", "bar", "barrier"}


def programs() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(CORPUS.glob("*.ptx"))}


def test_every_program_has_a_record_and_names_its_compiler_and_source() -> None:
    records = json.loads((CORPUS / "corpus.json").read_text())["programs"]
    found = programs()
    assert set(records) == set(found)
    for name, text in found.items():
        compiler, version = records[name]["compiler"].split()
        first = text.split("\n")[0]
        assert first.startswith(f"// {name}: ") and version in first
        assert compiler in first.lower() and records[name]["target"] in text
        source = re.search(r"\w+\.(?:py|cu)", first)
        assert source and (CORPUS / source[0]).exists()


def test_no_paths_and_no_debug_data() -> None:
    total = 0
    for name, text in programs().items():
        total += len(text)
        strings = [
            bytes(int(x) for x in found.split(",") if x.strip().isdigit() and int(x) < 256)
            for found in re.findall(r"\.b8 [^\n;]*= \{([^}]*)\}", text)
        ]
        for content in (text.encode(), *strings):
            assert not re.search(rb"(?:/[\w.-]+){2,}/?\w", content), name
        assert ".section" not in text, name
    assert total < 3 << 20


def test_every_instruction_is_a_form_that_is_known() -> None:
    forms = set()
    for text in programs().values():
        for function in parse(text).functions.values():
            forms |= {ins.name for ins in function.instructions if ins.opcode not in CONTROL}
    for form in forms:
        check_form(form)
        assert form.split(".")[0] in VALUES or form.split(".")[0] in EFFECTS
    assert len(forms) > 400
