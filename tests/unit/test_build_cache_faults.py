"""What lies in the cache in place of an entry, or of its folder, holds nothing up and is replaced."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpftop.kernel import build_cache
from ebpftop.kernel.fields import all_fields
from ebpftop.kernel.offsets import _is_whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ebpftop.kernel is of Linux")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "not yet" / "there"
    monkeypatch.setenv("EBPFTOP_CACHE", str(place))
    return place


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def _someone_elses(path: Path) -> None:
    build_cache.store(build_cache.key(b"another"), 1)
    (path.parent / build_cache.key(b"another")).rename(path)


INSTEAD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "folder": os.mkdir,
    "link": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "empty": Path.touch,
    "huge": _huge,
    "another entry": _someone_elses,
    "not readable": lambda path: path.touch(mode=0),
}


@pytest.mark.parametrize("kind", INSTEAD)
def test_whatever_lies_in_place_of_an_entry_is_no_entry_and_gives_way(folder: Path, kind: str) -> None:
    name = build_cache.key(b"x")
    build_cache.store(build_cache.key(b"first"), 0)  # makes the folder
    INSTEAD[kind](folder / name)
    assert build_cache.find(name, int) is None
    build_cache.store(name, 7)
    assert build_cache.find(name, int) == 7
    assert not [path for path in folder.iterdir() if path.name.endswith(f".{os.getpid()}")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device_in_place_of_an_entry_is_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = build_cache.key(b"x")
    build_cache.store(build_cache.key(b"first"), 0)
    os.mknod(folder / name, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    opened: list[object] = []
    real = os.open

    def noting(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opened.append(path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", noting)
    assert build_cache.find(name, int) is None
    assert name not in opened
    build_cache.store(name, 7)
    assert build_cache.find(name, int) == 7


def test_a_folder_in_the_folder_does_not_keep_older_entries_alive(folder: Path) -> None:
    build_cache.store(build_cache.key(b"first"), 0)
    (folder / "kept").mkdir()
    (folder / "kept" / "file").touch()
    os.utime(folder / "kept", (0, 0))
    for i in range(70):
        build_cache.store(build_cache.key(bytes([i])), i)
    assert len(list(folder.iterdir())) == 65
    assert (folder / "kept" / "file").exists()


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "empty"])
def test_whatever_lies_in_place_of_the_folder_is_not_used(folder: Path, kind: str) -> None:
    folder.parent.mkdir()
    INSTEAD[kind](folder)
    assert build_cache.where().startswith(f"disabled: {folder}: ")
    build_cache.store(build_cache.key(b"x"), 1)
    assert build_cache.find(build_cache.key(b"x"), int) is None


def test_offsets_that_cannot_be_those_of_a_kernel_are_read_anew() -> None:
    whole: dict[str, int | str] = {"SIZE_UPID": 16}
    whole.update({f"OFF_{wanted.name}": 8 for wanted in all_fields()})
    assert _is_whole(whole)
    for name in ("OFF_TASK_TGID", "OFF_REGS_NR", "SIZE_UPID"):
        assert not _is_whole({other: value for other, value in whole.items() if other != name})
    for value in (-1, 1 << 16, "8"):
        assert not _is_whole({**whole, "OFF_TASK_TGID": value})
    assert not _is_whole({})
