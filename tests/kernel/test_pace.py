"""How often the live source reads: often enough that nobody waits, and no oftener."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Probe, ProbeName, Record
from ebpftop.filters.spec import Filter
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import needs_root

pytestmark = needs_root

PATIENCE_S = 0.25
SECONDS = 3.0


@pytest.fixture
def source() -> Iterator[KernelSource]:
    one = KernelSource(Options(off=("opens",), processes=False, filter=Filter(pids=(os.getpid(),))))
    yield one
    one.close()


class Readers:
    """A thread for each probe, as the panes have; they note what comes."""

    def __init__(self, source: KernelSource, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readings: Counter[ProbeName] = Counter()
        self.records: list[Record] = []
        read = source._read

        def counted(name: ProbeName, *, everything: bool = False) -> object:
            self.readings[name] += 1
            return read(name, everything=everything)

        monkeypatch.setattr(source, "_read", counted)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._poll, args=(source, name)) for name in source.probes]
        for thread in self._threads:
            thread.start()

    def _poll(self, source: KernelSource, name: ProbeName) -> None:
        while not self._ended.is_set():
            batch = source.poll(name, PATIENCE_S)
            self.records += batch.records if batch is not None else ()

    def wait_for(self, kind: type[Record], state: str | None = None) -> None:
        until_s = time.monotonic() + 10
        while not any(isinstance(r, kind) and getattr(r, "state", None) == state for r in self.records):
            assert time.monotonic() < until_s
            time.sleep(0.01)

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_counters_are_read_when_they_are_due_and_events_ten_times_a_second(
    source: KernelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = Readers(source, monkeypatch)
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s:
        subprocess.run(["/bin/true"], check=True)
        time.sleep(0.1)
    readers.end()
    most = {name: (SECONDS + 1) * (10 if name in ("execs", "trace") else 1) + 2 for name in source.probes}
    assert {name for name in source.probes if readers.readings[name] > most[name]} == set()
    assert min(readers.readings.values()) >= 2
    assert readers.readings["execs"] > 2 * readers.readings["users"]


def test_events_are_read_half_as_often_when_there_are_none(
    source: KernelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        for name in source.probes:
            source.poll(name, 0)
    readers = Readers(source, monkeypatch)
    time.sleep(SECONDS)
    readers.end()
    most = {name: (SECONDS + 1) * (5 if name in ("execs", "trace") else 1) + 2 for name in source.probes}
    assert {name for name in source.probes if readers.readings[name] > most[name]} == set()
    assert min(readers.readings.values()) >= 2


def test_events_and_new_states_do_not_wait_for_the_counters(
    source: KernelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.set_interval(60.0)
    readers = Readers(source, monkeypatch)
    time.sleep(0.5)  # the first readings are over
    subprocess.run(["/bin/true"], check=True)
    readers.wait_for(Exec)
    source.toggle("users")
    readers.wait_for(Probe, "off")
    readers.end()


def test_whoever_waits_returns_at_once_when_the_screen_closes(source: KernelSource) -> None:
    for _ in range(5):
        source.poll("users", 0)
    threads = [threading.Thread(target=source.poll, args=(name, 600.0)) for name in ("users", "opens")]
    source.set_interval(600.0)
    for thread in threads:
        thread.start()
    source.interrupt()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
