"""What is kept for the next start is what was kept, or nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ebpftop.kernel import build_cache

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ebpftop.kernel is of Linux")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "not yet" / "there"
    monkeypatch.setenv("EBPFTOP_CACHE", str(place))
    return place


def test_what_is_kept_is_found_again_by_the_same_parts_only(folder: Path) -> None:
    build_cache.store(build_cache.key(b"a", b"bc"), {"offset": 8})
    assert build_cache.find(build_cache.key(b"a", b"bc"), dict[str, int]) == {"offset": 8}
    assert build_cache.find(build_cache.key(b"ab", b"c"), dict[str, int]) is None
    assert build_cache.find(build_cache.key(b"a", b"bc"), dict[str, str]) is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert build_cache.where() == str(folder)


def test_every_byte_that_is_damaged_is_noticed(folder: Path) -> None:
    name = build_cache.key(b"x")
    build_cache.store(name, b"program")
    whole = (folder / name).read_bytes()
    for at in range(len(whole)):
        (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert build_cache.find(name, bytes) is None, at
        (folder / name).write_bytes(whole[:at])
        assert build_cache.find(name, bytes) is None, at
    (folder / name).write_bytes(whole)
    assert build_cache.find(name, bytes) == b"program"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_neither_read_nor_written(folder: Path, mode: int) -> None:
    build_cache.store(build_cache.key(b"x"), 1)
    folder.chmod(mode)
    assert build_cache.find(build_cache.key(b"x"), int) is None
    assert build_cache.where() == f"disabled: {folder}: it is somebody else's, or others may write there"
    build_cache.store(build_cache.key(b"y"), 2)
    assert [path.name for path in folder.iterdir()] == [build_cache.key(b"x")]
    folder.chmod(0o700)
    assert build_cache.find(build_cache.key(b"x"), int) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(folder: Path) -> None:
    build_cache.store(build_cache.key(b"x"), 1)
    os.chown(folder, 12345, -1)
    assert build_cache.find(build_cache.key(b"x"), int) is None


def test_links_are_not_followed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = build_cache.key(b"x")
    build_cache.store(name, 1)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert build_cache.find(name, int) is None
    (folder / name).unlink()
    (tmp_path / "elsewhere").rename(folder / name)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("EBPFTOP_CACHE", str(tmp_path / "link"))
    assert build_cache.find(name, int) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("what", ["theirs", "for all", "for the group", "their link", "above", "sticky", "our link"])
def test_nobody_else_can_put_another_folder_in_the_place_of_one_above(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above, used = tmp_path / "above", tmp_path / "above/cache"
    place = tmp_path / "link/cache" if "link" in what else tmp_path / "above/below/cache" if what == "above" else used
    (tmp_path / "link").symlink_to(above if what == "our link" else "./above/../above")
    monkeypatch.setenv("EBPFTOP_CACHE", str(place))
    build_cache.store(build_cache.key(b"x"), 1)
    assert build_cache.find(build_cache.key(b"x"), int) == 1
    if what in ("theirs", "above"):
        os.chown(above, 12345, -1)
    elif what == "their link":
        os.lchown(tmp_path / "link", 12345, -1)
    elif what != "our link":
        above.chmod({"for all": 0o777, "for the group": 0o775, "sticky": 0o1777}[what])
    if what in ("sticky", "our link"):  # as /tmp: nobody can rename what is root's there
        assert build_cache.where() == str(place)
        assert build_cache.find(build_cache.key(b"x"), int) == 1
    else:
        wrong = tmp_path / "link" if what == "their link" else above
        assert build_cache.where() == f"disabled: {wrong}: it is somebody else's, or others may write there"
        assert build_cache.find(build_cache.key(b"x"), int) is None


def test_nothing_is_kept_where_nothing_is_to_be_or_nothing_can(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for place, reason in (
        ("", "EBPFTOP_CACHE: it is empty"),
        (str(tmp_path / "file"), f"{tmp_path / 'file'}: Not a directory"),
        ("/proc/nowhere", "/proc/nowhere: No such file or directory"),
    ):
        monkeypatch.setenv("EBPFTOP_CACHE", place)
        assert build_cache.where() == f"disabled: {reason}"
        build_cache.store(build_cache.key(b"x"), 1)
        assert build_cache.find(build_cache.key(b"x"), int) is None
    assert not folder.exists()


def test_what_was_not_used_for_longest_makes_room(folder: Path) -> None:
    names = [build_cache.key(bytes([i])) for i in range(65)]
    for i, name in enumerate(names[:64]):
        build_cache.store(name, i)
        os.utime(folder / name, (i, i))
    assert build_cache.find(names[0], int) == 0  # used: now the second is the oldest
    build_cache.store(names[64], 64)
    assert {path.name for path in folder.iterdir()} == set(names) - {names[1]}


def test_other_files_in_the_folder_are_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFTOP_CACHE", str(tmp_path))  # a home folder, for one
    others = {f"letter {i}" for i in range(70)} | {"0" * 31, "0" * 33, f"{'0' * 32}.txt", "A" * 32}
    for name in others:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    for i in range(70):
        build_cache.store(build_cache.key(bytes([i])), i)
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= others
    assert len(left - others) == 64
