"""The Makefile and its environment: what is listed, what is pinned, what is kept."""

import importlib.util
import os
import re
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()


def read_pins(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    return {canonicalize_name(name): version for name, version in pins.items()}


# What a surrounding `make test` or the caller's shell would otherwise decide.
INHERITED = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "OUT", "PYTHON", "RESULTS")


def run_make(*arguments: str, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in INHERITED}
    done = subprocess.run(
        ["make", "-s", *arguments],
        cwd=ROOT,
        env=environment | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci/environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    listed = [line.split()[0] for line in run_make("help").splitlines()]
    assert sorted(listed) == sorted(phony[1].split())


@pytest.mark.parametrize("target", ["gpu", "gpu-dry"])
def test_the_gpu_targets_keep_the_callers_path_and_put_the_checkout_first(
    target: str, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH"\necho "$@"\n')
    python.chmod(0o755)
    variables = {"PYTHON": str(python), "PYTHONPATH": "/caller/one:/caller/two", "OUT": "/out"}
    path, arguments = run_make(target, **variables).splitlines()
    assert path == f"{ROOT}/.typing:/caller/one:/caller/two"
    assert "--results /out" in arguments
    path, arguments = run_make(target, PYTHON=str(python), PYTHONPATH="").splitlines()
    assert path == f"{ROOT}/.typing"
    assert "--results benchmarks/results" in arguments
    assert ("--dry" in arguments) == (target == "gpu-dry")


def test_every_requirement_has_a_pin_in_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    pins = read_pins(CONSTRAINTS)
    for text in (*project["dependencies"], *(item for items in extras for item in items)):
        wanted = Requirement(text)
        if wanted.name != project["name"]:
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


def test_torch_is_pinned_without_a_local_suffix() -> None:
    assert read_pins(CONSTRAINTS)["torch"] == "2.13.0"


def test_the_pinned_torch_is_kept_in_the_build_that_is_there(environment: ModuleType) -> None:
    relaxed = environment.relax_constraints(CONSTRAINTS, "2.13.0+cu130", ["sympy", "setuptools"])
    assert read_pins(relaxed) == read_pins(CONSTRAINTS) | {"torch": "2.13.0+cu130"}


def test_another_torch_is_kept_with_its_own_needs(environment: ModuleType) -> None:
    relaxed = environment.relax_constraints(
        CONSTRAINTS, "2.6.0+cpu", ["SymPy", "typing_extensions"]
    )
    pins = read_pins(CONSTRAINTS)
    del pins["sympy"], pins["typing-extensions"]
    assert read_pins(relaxed) == pins | {"torch": "2.6.0+cpu"}


def test_another_python_than_the_environments_is_refused(
    environment: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.9.1\n")
    with pytest.raises(SystemExit, match=r"was made with Python 3\.9"):
        environment.check_python(tmp_path)
    environment.check_python(tmp_path / "none")
