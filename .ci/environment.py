"""Make the virtual environment that the Makefile's targets run in.

    python .ci/environment.py .venv --extras dev [--torch WHEEL]

torch comes first, because which build of it (CPU or one of several CUDA versions) is the user's
choice: one that the environment already has is kept, `--torch` replaces it, and otherwise the
version that constraints.txt pins is taken from the configured package index. Everything else
follows in the pinned versions. A stamp holds the hash of what was asked for, so a second call
costs nothing. Written for Python 3.7 and newer, so that an old one gets a message.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDS = "setuptools>=77"  # as in pyproject.toml

# What the environment holds of torch: its version and the names that it requires.
QUESTION = """
import json, re
from importlib import metadata
try:
    found = metadata.distribution("torch")
    names = [re.match(r"[\\w.-]+", r)[0] for r in found.requires or []]
    print(json.dumps([found.version, names]))
except metadata.PackageNotFoundError:
    print("null")
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--extras", default="dev")
    options.add_argument("--torch", default="", help="a path or name of a wheel, as pip takes it")
    arguments = options.parse_args()
    check_python(arguments.folder)
    stamp = arguments.folder / f".installed-{arguments.extras}"
    key = compute_key(arguments.extras, arguments.torch)
    if stamp.is_file() and stamp.read_text() == key:
        return
    print(f"setting up {arguments.folder} (the first time takes minutes)", flush=True)
    if not (arguments.folder / "bin" / "python").exists():
        venv.create(arguments.folder, with_pip=True)
    install(arguments.folder, extras=arguments.extras, torch=arguments.torch)
    stamp.write_text(key)


def check_python(folder: Path) -> None:
    """Refuse a Python that is too old, or another one than the environment was made with."""
    here = sys.version_info[:2]
    if here < OLDEST:
        sys.exit(
            f"tilewright needs Python {OLDEST[0]}.{OLDEST[1]} or newer and this is "
            f"{here[0]}.{here[1]} ({sys.executable}): name another, as in `make PYTHON=python3.11`"
        )
    made = folder / "pyvenv.cfg"
    match = (
        re.search(r"^version\S* *= *(\d+)\.(\d+)", made.read_text(), re.M)
        if made.exists()
        else None
    )
    if match and (int(match[1]), int(match[2])) != here:
        sys.exit(
            f"{folder} was made with Python {match[1]}.{match[2]} and this is {here[0]}.{here[1]}: "
            f"`make clean` first, or keep both with `make VENV=.venv{here[0]}.{here[1]}`"
        )


def compute_key(extras: str, torch: str) -> str:
    state = hashlib.sha256(f"{sys.version_info[:2]} {extras} {torch} {ROOT}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        state.update((ROOT / name).read_bytes())
    return state.hexdigest()


def install(folder: Path, *, extras: str, torch: str) -> None:
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    pinned = ROOT / "constraints.txt"
    kept, _ = find_torch(python)
    if torch:
        run([*pip, *shlex.split(torch)])
    elif kept is None:
        run([*pip, "-c", str(pinned), "torch"])
    version, requires = find_torch(python)
    if version is None:
        sys.exit(f"TORCH={torch} did not install torch")
    constraints = folder / "constraints.txt"
    constraints.write_text(relax_constraints(pinned.read_text(), version, requires))
    run([*pip, "-c", str(constraints), "torch", NEEDS])
    # Without isolation: the setuptools that is there builds it, and nothing unpinned is fetched.
    target = f"{ROOT}[{extras}]"
    run([*pip, "-c", str(constraints), "--no-build-isolation", "-e", target])


def find_torch(python: str) -> tuple[str | None, list[str]]:
    answer = subprocess.run([python, "-c", QUESTION], check=True, capture_output=True, text=True)
    version, requires = json.loads(answer.stdout) or (None, [])
    return version, requires


def relax_constraints(text: str, version: str, requires: list[str]) -> str:
    """The pins, with the torch that is there; another torch than the pinned keeps its own needs."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==", 1) for line in lines)
    other = version.split("+")[0] != pins["torch"]
    own = {normalize(name) for name in requires} if other else set()
    pins = {name: pin for name, pin in pins.items() if normalize(name) not in own}
    pins["torch"] = version
    return "".join(f"{name}=={pin}\n" for name, pin in pins.items())


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def run(command: list[str]) -> None:
    print("  " + shlex.join(command[1:]), flush=True)
    finished = subprocess.run(command)
    if finished.returncode:
        sys.exit(f"setting up failed: {shlex.join(command)}")


if __name__ == "__main__":
    main()
