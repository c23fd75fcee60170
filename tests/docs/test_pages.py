"""Documentation is true: generated blocks are current, and code in pages runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tilewright.passes.order import CUDA

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_PYTHON = re.compile(r"```python\n(.*?)```", re.S)


def load_generator():
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_blocks_are_current():
    generator = load_generator()
    compiled = generator.compile_example()
    for page in generator.PAGES:
        text = (ROOT / page).read_text()
        assert "<!-- generated:" in text
        assert generator.regenerate(text, compiled) == text, "run: python docs/generated.py"


def test_every_pass_is_on_the_page():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for step in CUDA:
        assert re.search(rf"<!-- generated: (after|changes) {step.name} -->", text), step.name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_in_pages_runs(page, tmp_path):
    blocks = _PYTHON.findall(page.read_text())
    if page.name == "README.md":
        assert blocks
    source = tmp_path / f"{page.stem}.py"  # kernels are read from their file
    source.write_text("\n\n".join(blocks))
    spec = importlib.util.spec_from_file_location(f"page_{page.stem}", source)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
