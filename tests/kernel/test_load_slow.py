"""A program that the verifier walks for long: what runs is read meanwhile, and a save, a signal, a deadline end it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel.load.build import Build
from ebpftop.kernel.load.deadline import Ended
from ebpftop.kernel.load.limits import PROGRAMS_MAX
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.server import LoadServer
from ebpftop.probes.load_problems import diagnostics
from tests.kernel.support import needs_root, of
from tests.kernel.test_load import LESSONS, Loads

pytestmark = needs_root

USER = 54_398
"""Nobody else on the machine is this user."""

# It never ends: the verifier walks a million instructions before it says so.
ENDLESS = """\
// ebpftop: attach first=raw_tracepoint:sched_process_exec
// ebpftop: attach hello=raw_tracepoint:sched_process_exec
BPF_HASH(counts, u32, u64);
int first(void *ctx) { return 0; }

int hello(void *ctx)
{
	volatile u64 i = 1;
	while (i)
		i++;
	return bpf_get_prandom_u32();
}
"""


def execute(times: int) -> None:
    for _ in range(times):
        subprocess.run(["/bin/true"], check=True, user=USER, group=USER)


@pytest.fixture(scope="module")
def running() -> Iterator[LoadServer]:
    one = LoadServer()
    yield one
    one.close()


class Slow(Loads):
    """A stream of a counter."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        self.text = (LESSONS / "2-counter.c").read_text()
        path.write_text(self.text)

    def __enter__(self) -> Slow:
        super().__enter__()
        return self

    def save_endless(self) -> None:
        """Save what the verifier walks for long, and wait until it does."""
        self._path.write_text(ENDLESS)
        self.wait_for(lambda _: self.loaded()["state"] == "verifying", 240)

    def wait_for_count(self, count: int) -> None:
        self.wait_for_map("counter_table", lambda counts: counts.get(str(USER), 0) >= count)


@pytest.mark.guest
@pytest.mark.newest
def test_what_runs_is_read_while_another_is_verified_and_a_signal_ends_that(tmp_path: Path) -> None:
    with Slow(tmp_path / "counter.c") as stream:
        stream.save_endless()
        verifying = stream.loaded()
        assert (verifying["generation"], verifying["diagnostics"]) == (1, [])
        assert "        volatile u64 i = 1;" in verifying["source"]
        execute(3)
        stream.wait_for_count(3)
        assert stream.loaded()["state"] == "verifying"
        execute(1)
        stream.signal(signal.SIGTERM)
        stream._finish()
    assert (stream.status, "not read" in stream.stderr) == (0, False), stream.stderr
    assert stream.map("counter_table")[str(USER)] >= 4
    assert stream.loaded()["state"] == "verifying"


def test_a_newer_save_ends_the_verifying_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "counter.c"
    with Slow(path) as stream:
        execute(1)
        stream.wait_for_count(1)
        stream.save_endless()
        path.write_text(stream.text.replace("(*count)++", "(*count) += 100"))
        stream.wait_for(lambda _: stream.loaded()["generation"] == 2, 120)
        execute(1)
        stream.wait_for_count(101)
    assert "failed" not in [line["state"] for line in of("loaded", stream.lines)]


class InThread:
    """An attempt to load a file, in a thread."""

    def __init__(self, file: LoadedFile) -> None:
        self.attempt = file.begin()
        self.result: Build | Loading | None = None
        self.has_ended = False
        self._file = file
        self._thread = threading.Thread(target=self._build)
        self._thread.start()

    def _build(self) -> None:
        try:
            self.result = self._file.build(self.attempt)
        except Ended:
            self.has_ended = True

    def wait_until(self, step: str) -> None:
        while self.attempt.step != step:
            assert self._thread.is_alive()
            time.sleep(0.001)

    def join(self) -> None:
        self._thread.join()
        self.attempt.deadline.close()


def test_it_is_given_up_after_a_while_at_its_line(running: LoadServer, tmp_path: Path) -> None:
    path = tmp_path / "hello.c"
    path.write_text(ENDLESS)
    file = LoadedFile(path, load_server=running)
    before = len(os.listdir("/proc/self/fd"))
    loads = InThread(file)
    loads.wait_until("verifying")
    time.sleep(0.5)  # the first one is loaded
    loads.attempt.deadline.scale(0.0)
    loads.join()
    tried = loads.result
    assert isinstance(tried, Loading)
    assert (tried.ok, tried.stage) == (False, "verifier")
    (one,) = diagnostics(tried, path.name)
    assert (one.message, one.line) == ("hello: the verifier did not end within 0 s", 6)
    assert one.suggestion
    assert len(os.listdir("/proc/self/fd")) == before
    path.write_text(ENDLESS.replace("i++", "break"))
    assert file.load().ok
    file.close()


@pytest.mark.parametrize("step", ["compiling", "verifying"])
def test_what_is_abandoned_ends_whatever_it_is_at(running: LoadServer, tmp_path: Path, step: str) -> None:
    path = tmp_path / "hello.c"
    path.write_text(ENDLESS)
    before = len(os.listdir("/proc/self/fd"))
    loads = InThread(LoadedFile(path, load_server=running))
    loads.wait_until(step)
    loads.attempt.deadline.abandon()
    loads.join()
    assert loads.has_ended
    assert len(os.listdir("/proc/self/fd")) == before


def test_more_programs_than_a_file_may_have_are_refused_at_once(running: LoadServer, tmp_path: Path) -> None:
    path = tmp_path / "hello.c"
    path.write_text("".join(f"int f{i}(void *ctx) {{ return 0; }}\n" for i in range(1000)))
    file = LoadedFile(path, load_server=running)
    tried = file.load()
    assert (tried.stage, tried.error) == ("source", "the file has 1000 programs; at most 100 are supported")
    assert (tried.line, tried.compile_s, bool(tried.remedy)) == (PROGRAMS_MAX + 1, 0, True)


def test_if_the_process_that_compiles_is_killed_the_next_save_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "counter.c"
    text = (LESSONS / "2-counter.c").read_text()
    path.write_text(text)
    with Loads(path) as stream:
        (parent,) = named("ebpftop-loads", below=stream.pid)
        (server,) = named("ebpftop-load", below=parent)[:1]
        os.kill(server, signal.SIGKILL)
        path.write_text(text.replace("(*count)++", "(*count) += 100"))
        stream.wait_for(lambda _: stream.loaded()["generation"] == 2, 60)
        assert not Path(f"/proc/{server}").exists(), "a zombie"


def named(name: str, below: int) -> list[int]:
    """Return the processes of a name that descend from another."""
    found = []
    for task in Path(f"/proc/{below}/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
            found += named(name, pid)
    return found
