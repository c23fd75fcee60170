"""The disk cache: one build per key, whole entries only, damage repaired, clear errors."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tilewright.runtime.cache import cache_key, cached, check_writable, is_intact
from tilewright.runtime.errors import BuildError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "cache"))


def _write_two(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"first" * 1000)
    (folder / "b.txt").write_text("second")


def _refuse(folder: Path) -> None:
    raise AssertionError("built although the entry is intact")


def test_second_request_does_not_build() -> None:
    entry = cached("test", ["source", "options"], _write_two)
    assert (entry / "b.txt").read_text() == "second"
    assert cached("test", ["source", "options"], _refuse) == entry


def test_key_keeps_parts_apart() -> None:
    keys = {
        cache_key("cuda", ["ab", "c"]),
        cache_key("cuda", ["a", "bc"]),
        cache_key("cuda", ["abc"]),
        cache_key("cuda", ["ab", "c", ""]),
        cache_key("cpu", ["ab", "c"]),
    }
    assert len(keys) == 5


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest", "no_manifest"])
def test_damaged_entry_is_rebuilt(damage: str) -> None:
    entry = cached("test", ["source"], _write_two)
    victim = entry / "a.bin"
    match damage:
        case "flip":
            data = bytearray(victim.read_bytes())
            data[77] ^= 4
            victim.write_bytes(data)
        case "truncate":
            victim.write_bytes(victim.read_bytes()[:100])
        case "delete":
            victim.unlink()
        case "manifest":
            (entry / "manifest.json").write_text('{"a.bin": ')
        case "no_manifest":
            (entry / "manifest.json").unlink()
    assert not is_intact(entry)
    assert cached("test", ["source"], _write_two) == entry
    assert is_intact(entry)
    assert victim.read_bytes() == b"first" * 1000


def test_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise ValueError("the compiler says no")

    with pytest.raises(ValueError, match="says no"):
        cached("test", ["source"], build)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert is_intact(cached("test", ["source"], _write_two))


def _build_in_process(barrier: object, number: int, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    for round_ in range(20):

        def build(folder: Path) -> None:
            for part in range(4):
                (folder / f"{part}.bin").write_bytes(bytes([number]) * 50_000)

        entry = cached("race", [str(round_)], build)
        contents = {byte for part in range(4) for byte in (entry / f"{part}.bin").read_bytes()}
        results.put((round_, tuple(contents)))  # type: ignore[attr-defined]


def test_four_processes_publish_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=_build_in_process, args=(barrier, number, results))
        for number in range(4)
    ]
    for worker in workers:
        worker.start()
    seen: dict[int, set[tuple[int, ...]]] = {}
    for _ in range(4 * 20):
        round_, contents = results.get(timeout=60)
        seen.setdefault(round_, set()).add(contents)
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    # All four processes read the same entry, and it comes from one of them alone.
    assert all(len(found) == 1 and len(next(iter(found))) == 1 for found in seen.values())
    assert list((tmp_path / "cache" / "building").iterdir()) == []


def test_unwritable_cache_names_variable_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "file" / "below"))
    for request in (lambda: cached("test", ["source"], _write_two), check_writable):
        with pytest.raises(BuildError) as error:
            request()
        text = str(error.value)
        assert "file/below (from $TILEWRIGHT_CACHE) cannot be written: Not a directory" in text
        assert "set TILEWRIGHT_CACHE to a folder" in text


def test_unwritable_default_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".cache").write_text("a file where a folder should be")
    monkeypatch.delenv("TILEWRIGHT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BuildError, match=r"\.cache/tilewright \(the default\)"):
        cached("test", ["source"], _write_two)
