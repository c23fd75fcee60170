"""The disk cache: every built binary is stored once, under the hash of everything it depends on.

An entry is a folder `<root>/<kind>/<key>` that holds the built files and `manifest.json` with the
checksum of each. Several processes may build the same entry at once: each fills a private folder
under `<root>/building` and publishes it by one rename, so that readers see a whole entry or none.
An entry whose files do not match their checksums is moved aside and built again.

The root is $TILEWRIGHT_CACHE, else ~/.cache/tilewright.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tilewright.runtime.errors import BuildError

VARIABLE = "TILEWRIGHT_CACHE"
MANIFEST = "manifest.json"
_FORMAT = "1"  # part of every key: raise it when the shape of entries changes


def cache_root() -> Path:
    """The cache folder that this process uses; it may not exist yet."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path("~/.cache/tilewright").expanduser()


def cache_key(kind: str, parts: Sequence[str]) -> str:
    """sha256 over kind and parts, each prefixed by its length: none runs into the next."""
    digest = hashlib.sha256()
    for part in (_FORMAT, kind, *parts):
        data = part.encode()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def cached(kind: str, parts: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The folder of the entry of `parts`, built by `build(folder)` if it is absent or damaged.

    `parts` must name everything the result depends on: source, options, tool versions. `build`
    gets an empty folder and writes files into it; what it raises passes through, and nothing of
    the attempt stays behind.
    """
    root = cache_root()
    entry = root / kind / cache_key(kind, parts)
    if is_intact(entry):
        return entry
    with _writing(root):
        entry.parent.mkdir(parents=True, exist_ok=True)
        building = _private_folder(root)
    try:
        build(building)
        with _writing(root):
            _write_manifest(building)
            _publish(building, entry, root)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return entry


def is_intact(entry: Path) -> bool:
    """Whether the entry exists and every file matches the checksum in its manifest."""
    try:
        manifest = json.loads((entry / MANIFEST).read_bytes())
        return isinstance(manifest, dict) and all(
            _checksum(entry / name) == checksum for name, checksum in manifest.items()
        )
    except (OSError, ValueError):
        return False


def list_entries(root: Path) -> list[Path]:
    """The folders of all entries below `root`; nothing else that may lie there."""
    manifests = root.glob(f"*/{'[0-9a-f]' * 64}/{MANIFEST}")
    return sorted(manifest.parent for manifest in manifests)


def check_writable() -> Path:
    """The cache folder, created; raises `BuildError` with the remedy where that is impossible."""
    root = cache_root()
    with _writing(root):
        shutil.rmtree(_private_folder(root))
    return root


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _private_folder(root: Path) -> Path:
    parent = root / "building"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))


def _write_manifest(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    manifest = {name: _checksum(folder / name) for name in names}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _publish(building: Path, entry: Path, root: Path) -> None:
    """Rename `building` to `entry`; keep an intact entry that another process put there first."""
    while True:
        try:
            building.rename(entry)
            return
        except OSError:
            if not entry.exists():
                raise
        if is_intact(entry):
            return
        aside = _private_folder(root)
        with contextlib.suppress(FileNotFoundError):  # another process moved it first
            entry.rename(aside / "damaged")
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        source = f"from ${VARIABLE}" if os.environ.get(VARIABLE) else "the default"
        raise BuildError(
            f"the cache folder {root} ({source}) cannot be written: {error.strerror or error}",
            hint=f"set {VARIABLE} to a folder on a disk with space where you may create files",
        ) from error
