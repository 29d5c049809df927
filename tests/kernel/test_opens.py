"""Files that programs open on the running kernel: every open is reported once, as strace reports it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.records import Lost, Probe, Record
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.models.opens import Open
from ebpftop.probes import opens as probe
from ebpftop.probes.opens import OpensProbe
from ebpftop.probes.registry import registry
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel import syscall_workloads as workloads
from tests.kernel.support import Line, Stream, compile_c, needs_root, of
from tests.kernel.workload_context import OTHER_UID, WANTED_UID, cgroup, in_child

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are x86-64's")]

# Each way to open a file, of each ABI, with success and failure.
OPENER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct how { uint64_t flags, mode, resolve; };

static long other_abi(long nr, const char *path, long flags, int x32)
{
	/* The path must lie where 32 bits reach. */
	char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long ret;

	strcpy(low, path);
	if (x32)
		asm volatile("syscall" : "=a"(ret) : "a"(nr | 0x40000000), "D"(low), "S"(flags) : "rcx", "r11", "memory");
	else
		asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(low), "c"(flags) : "memory");
	return ret;
}

static void *thread(void *unused)
{
	close(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_APPEND));
	syscall(SYS_openat, AT_FDCWD, "/no/such/file/of/a/thread", O_RDWR);
	return unused;
}

int main(int argc, char **argv)
{
	struct how how = {.flags = O_RDONLY | O_CLOEXEC | O_DIRECTORY}, bad = {.flags = 1ULL << 40};
	static char longer[600];
	pthread_t other;
	int folder;

	if (argc > 1) {
		for (int nr = 5; nr == 5 || nr == 8; nr += 3)
			close(other_abi(nr, "/dev/null", nr == 5 ? O_WRONLY | O_NOFOLLOW : 0600, 0));
		other_abi(5, "/no/such/file/of/i386", O_RDONLY, 0);
		close(other_abi(2, "/dev/null", O_RDWR, 1));
		return 0;
	}
	folder = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));
	syscall(SYS_openat, folder, "made", O_CREAT | O_EXCL | O_WRONLY | O_TRUNC, 0600);
	syscall(SYS_openat, folder, "made", O_CREAT | O_EXCL | O_WRONLY, 0600);
	syscall(SYS_open, "made", O_RDWR | O_SYNC | O_NONBLOCK);
	syscall(SYS_open, "", O_RDONLY);
	syscall(SYS_open, "with\033[2Jescape", O_RDONLY);
	syscall(SYS_creat, "made too", 0600);
	syscall(SYS_creat, "/no/such/folder/x", 0600);
	syscall(SYS_openat, 99, "x", O_PATH);
	syscall(SYS_openat, 99, "/dev/null", O_RDONLY | O_NOATIME | O_NOCTTY);
	syscall(SYS_openat2, AT_FDCWD, "/dev/null", &bad, sizeof(bad));
	syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, 3);
	syscall(SYS_openat, AT_FDCWD, (char *)8, O_RDONLY);
	memset(longer, 'l', sizeof(longer) - 1);
	syscall(SYS_openat, AT_FDCWD, longer, O_RDONLY);
	pthread_create(&other, 0, thread, 0);
	pthread_join(other, 0);
	return 0;
}
"""

ME = Filter(pids=(os.getpid(),), hide_self=False)


@pytest.fixture
def opener(tmp_path: Path) -> Path:
    return compile_c(tmp_path, "opener", OPENER, "-pthread")


class Watched:
    """A source of this process's own that only has this probe."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source
        self.records: list[Record] = []

    def read(self) -> list[Open]:
        """Return the opens so far."""
        self.records += [record for batch in self.source.read_all() for record in batch.records]
        return [record for record in self.records if isinstance(record, Open)]

    def lost(self, where: str) -> int:
        """Return how much was lost so far."""
        found = [record.count for record in self.records if isinstance(record, Lost) and record.where == where]
        return found[-1] if found else 0


@contextmanager
def watching(wanted: Filter, **options: object) -> Iterator[Watched]:
    fields: dict[str, object] = {"probes": ("opens",), "filter": wanted, **options}
    source = KernelSource(Options(**fields))  # type: ignore[arg-type]  # of any field
    try:
        assert not source.failed
        yield Watched(source)
    finally:
        source.close()


def attempts(path: str, count: int) -> Callable[[], None]:
    """Return a function that opens *path* so often, and closes what it got."""

    def do() -> None:
        for _ in range(count):
            try:
                os.close(os.open(path, os.O_RDONLY))
            except OSError:
                continue

    return do


_STRACE = re.compile(
    r'^(\d+) +(\w+)\((?:(AT_FDCWD|\d+), )?(0x\w+|NULL|"(?:[^"\\]|\\.)*"(?:\.\.\.)?)(.*)\) += (-?\d+)(?: (\w+).*)?$'
)


def by_strace(text: str) -> list[tuple[str, str | None, str, str, int, str | None]]:
    """Return call, directory, path, result and error of each open in the output of strace."""
    found = []
    for line in text.splitlines():
        match = _STRACE.match(line)
        if match is None:
            assert "exited with" in line or "+++" in line, line
            continue
        _, call, folder, path, rest, ret, error = match.groups()
        flags = re.search(r"O_[A-Z_|]+", rest)
        shown = flags[0] if flags and call in ("open", "openat") else ""
        found.append((call, None if folder in (None, "AT_FDCWD") else folder, path, shown, int(ret), error))
    return found


def as_strace(line: Line) -> tuple[str, str | None, str, str, int, str | None]:
    path = line["path"]
    shown = "0x8" if path is None else '"' + path.replace("\\x1b", "\\33") + '"'
    return (
        line["call"],
        None if line["dirfd"] is None else str(line["dirfd"]),
        shown,
        line["flags"] if line["call"] in ("open", "openat") else "",
        -1 if line["ret"] < 0 else line["ret"],
        line["error"],
    )


@pytest.mark.newest
@pytest.mark.parametrize("options", [pytest.param((), marks=pytest.mark.guest), ("--buffer", "perf")], ids=" ".join)
def test_every_open_is_what_strace_says(tmp_path: Path, opener: Path, options: tuple[str, ...]) -> None:
    said = tmp_path / "said"
    with Stream("--comm", "opener", *options, probes="opens") as stream:
        trace = "trace=open,openat,openat2,creat"
        subprocess.run(["strace", "-f", "-s", "9999", "-e", trace, "-o", said, opener], check=True, cwd=tmp_path)
        lines = stream.stop()
    told = of("open", lines)
    truth = by_strace(said.read_text())
    assert len(truth) >= 17
    cut = [line for line in told if line["cut"]]
    assert [(line["path"], line["cut"], line["error"]) for line in cut] == [("l" * 511, ["path"], "ENAMETOOLONG")]
    told.sort(key=lambda line: line["time"])
    assert [as_strace(line) for line in told if not line["cut"]] == [one for one in truth if "lllll" not in one[2]]
    assert {line["comm"] for line in told} == {"opener"}
    threads = {line["tid"] for line in told if "thread" in (line["path"] or "")}
    assert len(threads) == 1
    assert threads.isdisjoint({line["pid"] for line in told})
    assert len({line["pid"] for line in told}) == 1
    assert all(0 < line["ns"] < 60e9 for line in told)
    assert {line["flags"] for line in told if line["call"] == "openat2"} >= {
        "O_RDONLY|O_CLOEXEC|O_DIRECTORY",
        "O_RDONLY|0x10000000000",
    }
    assert {line["flags"] for line in told if line["call"] == "creat"} == {"O_WRONLY|O_CREAT|O_TRUNC"}
    assert not of("lost", lines), "the kernel could not read the path that lies nowhere either"


@pytest.mark.guest
@pytest.mark.oldest
def test_opens_of_other_abis_are_reported(opener: Path) -> None:
    with Stream("--comm", "opener", probes="opens") as stream:
        subprocess.run([opener, "others"], check=True)
        lines = stream.stop()
    told = [line for line in of("open", lines) if line["path"] in ("/dev/null", "/no/such/file/of/i386")]
    assert [(line["call"], line["flags"], line["error"]) for line in told[:3]] == [
        ("open", "O_WRONLY|O_NOFOLLOW", None),
        ("creat", "O_WRONLY|O_CREAT|O_TRUNC", None),
        ("open", "O_RDONLY", "ENOENT"),
    ]
    x32 = [(line["call"], line["flags"], line["error"]) for line in told[3:]]
    assert x32 in ([], [("open", "O_RDWR", None)]), "not every kernel answers x32"


def test_a_path_that_is_not_resident_at_entry_is_read_at_the_return(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "untouched", workloads.UNTOUCHED_PATH)
    with Stream("--comm", "untouched", probes="opens") as stream:
        subprocess.run([program], check=True)
        lines = stream.stop()
    assert [line["error"] for line in of("open", lines, path="/untouched")] == ["ENOENT"]
    assert not of("lost", lines)


@pytest.mark.guest
@pytest.mark.everywhere
def test_failing_opens_are_counted_exactly(tmp_path: Path) -> None:
    there, missing = tmp_path / "there", str(tmp_path / "missing")
    there.touch()
    with watching(ME) as watched:
        in_child(attempts(missing, 700))
        in_child(attempts(str(there), 300))
        told = watched.read()
        assert [record.error for record in told if record.path == missing] == ["ENOENT"] * 700
        assert sum(record.path == str(there) and record.ret >= 0 for record in told) == 300
        assert not any(isinstance(record, Lost) for record in watched.records)


def test_beyond_the_rate_opens_are_counted_and_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "OPENS_PER_SECOND", 40)
    with watching(ME) as watched:
        in_child(attempts("/no/such/file", 5000))
        told = [record for record in watched.read() if record.path == "/no/such/file"]
        seconds = 2 + int(told[-1].time - told[0].time)
        assert 40 <= len(told) <= 40 * maps.CPUS * seconds
        assert len(watched.read()) + watched.lost("rate") >= 5000
        before = watched.lost("rate")
        watched.source.toggle("opens")
        watched.source.toggle("opens")
        assert watched.read() is not None
        assert watched.source.find(OpensProbe).lost_now()["rate"] >= before > 0


def test_reported_and_lost_are_all_that_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "OPENS_PER_SECOND", 1000)
    with watching(Filter(uids=(WANTED_UID,))) as watched:
        in_child(attempts("/no/such/file", 20_000), uid=WANTED_UID)
        told = watched.read()
        assert {record.path for record in told} == {"/no/such/file"}
        assert len(told) + watched.lost("rate") == 20_000


def test_a_full_ring_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "OPENS_PER_SECOND", 1_000_000)
    with watching(Filter(uids=(WANTED_UID,)), buffer="ring") as watched:
        in_child(attempts("/no/such/file", 20_000), uid=WANTED_UID)
        told = watched.read()
        assert watched.lost("ring") > 0
        assert len(told) + watched.lost("ring") == 20_000


def test_only_what_the_filter_matches_is_reported() -> None:
    name = "/no/such/file/{}".format
    with cgroup(f"ebpftop-opens-{os.getpid()}") as mine:
        filters = {
            "uid": (Filter(uids=(WANTED_UID,)), {"uid": WANTED_UID}),
            "comm": (Filter(comms=("opens-wanted",)), {"comm": "opens-wanted"}),
            "cgroup": (Filter(cgroups=("/" + mine.name,)), {"cgroup": mine}),
            "both": (Filter(uids=(WANTED_UID,), comms=("opens-w*",)), {"uid": WANTED_UID, "comm": "opens-wanted"}),
        }
        for kind, (wanted, like) in filters.items():
            with watching(wanted) as watched:
                in_child(attempts(name("other"), 3), uid=OTHER_UID, comm="opens-other")
                in_child(attempts(name(kind), 3), **like)  # type: ignore[arg-type]  # of any field
                told = [record.path for record in watched.read() if (record.path or "").startswith("/no/such")]
                assert told == [name(kind)] * 3, kind


def test_it_is_off_unless_it_is_asked_for_and_leaves_nothing_when_it_is_turned_off() -> None:
    assert "opens" not in registry().on
    assert "opens" in registry().names
    source = KernelSource(Options(probes=(), off=("opens",), filter=ME))
    try:
        watched = Watched(source)
        attempts("/no/such/file", 5)()
        assert watched.read() == []
        assert source.find(OpensProbe).module is None
        (state,) = (record for record in watched.records if isinstance(record, Probe))
        assert (state.state, state.via) == ("off", None)
        source.toggle("opens")
        attempts("/no/such/file", 7)()
        assert sum(record.path == "/no/such/file" for record in watched.read()) == 7
        source.toggle("opens")
        attempts("/no/such/file", 9)()
        assert sum(record.path == "/no/such/file" for record in watched.read()) == 7
        assert source.find(OpensProbe).module is None
    finally:
        source.close()


def test_a_process_that_is_killed_while_it_opens_leaves_nothing_behind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with watching(ME) as watched:
        child = subprocess.Popen(["cat", tmp_path / "fifo"])
        module = watched.source.find(OpensProbe).module
        assert module is not None
        table = module.table("opens")
        while not maps.has_entries(table, 8) or not Path(f"/proc/{child.pid}/syscall").read_text().startswith("257"):
            time.sleep(0.01)
        child.kill()
        child.wait()
        (told,) = (record for record in watched.read() if (record.path or "").endswith("/fifo"))
        assert -told.ret in (errno.EINTR, 512), "ERESTARTSYS: what the kernel would have started again"
        assert not maps.has_entries(table, 8)
