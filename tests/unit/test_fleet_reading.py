"""The process that reads the hosts: a flood or garbage of one host stops no other, and nothing grows without bound."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.records import Lost
from ebpftop.fleet import inputs, watcher
from ebpftop.fleet.connection import Connection, Remote
from ebpftop.fleet.host import Host
from ebpftop.fleet.inputs import SshInput
from ebpftop.fleet.model import FleetModel
from ebpftop.fleet.reader import Reader
from ebpftop.fleet.reading import FleetReading, by_pipe, by_ssh
from ebpftop.fleet.watcher import Watcher
from ebpftop.recording.parse import read_line
from ebpftop.recording.zstd_frames import pack
from ebpftop.sources.pipe import PipeSource
from tests.fleet_samples import calls_line, exec_line, exit_line, header
from tests.unit.recording_samples import drain

PATIENCE_S = 100.0


@contextmanager
def closing(reading: FleetReading) -> Iterator[FleetReading]:
    try:
        yield reading
    finally:
        reading.close()


def wait(reading: FleetReading, wanted: Callable[[FleetModel], object], model: FleetModel | None = None) -> FleetModel:
    """Take news until *wanted* is true."""
    model = FleetModel() if model is None else model
    until_s = time.monotonic() + PATIENCE_S
    while not wanted(model):
        assert time.monotonic() < until_s, (model.hosts, model.failed)
        assert not reading.has_ended, model.failed
        time.sleep(0.01)
        model.take(reading.news(), time.monotonic())
    return model


def labelled(host: str, *lines: bytes) -> bytes:
    return b"".join(host.encode() + b": " + line for line in lines)


def fake_ssh(folder: Path, **programs: str) -> Remote:
    """Return a command in place of ssh that runs the Python program of each host."""
    script = folder / "ssh"
    for host, program in programs.items():
        (folder / f"{host}.py").write_text(program)
    script.write_text(f'#!/bin/sh\nfor host; do :; done\nshift $(($# - 2))\nexec {sys.executable} "{folder}/$1.py"\n')
    script.chmod(0o755)
    return Remote((str(script),))


def printing(*lines: bytes, then: str = "time.sleep(1000)") -> str:
    return f"import sys, time\nsys.stdout.buffer.write({b''.join(lines)!r})\nsys.stdout.flush()\n{then}\n"


def test_hosts_of_a_pipe_are_known_by_their_lines() -> None:
    read_fd, write_fd = os.pipe()
    with closing(by_pipe(read_fd)) as reading:
        os.write(write_fd, labelled("web1", header(), exec_line(1, "ls")) + labelled("db1", header()) + b"hello\n")
        model = wait(reading, lambda model: len(model.hosts) == 2 and len(model.ring) and model.stray)
        assert [row.started.command for row in model.view.rows()] == ["ls"]
        os.close(write_fd)
        wait(reading, lambda model: model.input_ended, model)
        assert {row.state for row in model.hosts.values()} == {"gone"}


def test_lines_of_no_host_are_told_before_there_is_one() -> None:
    read_fd, write_fd = os.pipe()
    with closing(by_pipe(read_fd)) as reading:
        os.write(write_fd, b"hello\n")
        wait(reading, lambda model: model.stray == 1)
        os.close(write_fd)


def test_a_message_in_the_pipe_is_the_state_of_its_host() -> None:
    read_fd, write_fd = os.pipe()
    with closing(by_pipe(read_fd)) as reading:
        os.write(write_fd, b"ci3: sudo: a password is required\nclush: ci3: exited with exit code 1\n")
        model = wait(reading, lambda model: model.hosts)
        assert model.hosts["ci3"].state == "no root"
        os.close(write_fd)


def test_each_host_has_an_ssh_of_its_own_and_its_errors_are_its_alone(tmp_path: Path) -> None:
    refused = "import sys\nsys.stderr.write('ssh: connect to host b port 22: Connection refused\\n')\nsys.exit(255)\n"
    remote = fake_ssh(tmp_path, a=printing(header(), exec_line(1)), b=refused)
    with closing(by_ssh(("a", "b"), remote)) as reading:
        model = wait(reading, lambda model: {row.state for row in model.hosts.values()} == {"up", "refused"})
        assert model.hosts["b"].retry_s is not None
        assert "is sshd running" in model.hosts["b"].remedy


@pytest.mark.parametrize(
    "hostile",
    [
        "import os\nwhile True: os.write(1, b'x' * 65536)",
        "import os\nwhile True: os.write(1, b'{}\\n' * 20000)",
        "import os\nwhile True: os.write(1, b'\\x1b[2J\\n\\0\\xff\\n' * 9000)",
        "import os\nwhile True: os.write(1, os.urandom(65536))",
        "import os\nwhile True: os.write(2, b'noise\\n' * 9000)",
        "import os\nfrom ebpftop.recording import zstd_frames\nbomb = zstd_frames.pack(b'y' * (8 << 20), 1)\n"
        "while True: os.write(1, bomb)",
    ],
)
def test_garbage_without_end_of_one_host_does_not_stop_another(tmp_path: Path, hostile: str) -> None:
    every = f"while True:\n    sys.stdout.buffer.write({exec_line(1)!r})\n    sys.stdout.flush()\n    time.sleep(0.1)"
    remote = fake_ssh(tmp_path, bad=hostile, good=printing(header(), then=every))
    with closing(by_ssh(("bad", "good"), remote)) as reading:
        model = wait(reading, lambda model: len(model.ring) > 5)
        assert model.hosts["good"].state == "up"
        assert model.hosts["bad"].state in ("connecting", "failed")


def test_what_ssh_started_ends_with_the_screen(tmp_path: Path) -> None:
    remote = fake_ssh(
        tmp_path,
        a=printing(
            header(),
            then=f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid())); time.sleep(1000)",
        ),
    )
    with closing(by_ssh(("a",), remote)) as reading:
        wait(
            reading,
            lambda model: (
                "a" in model.hosts
                and model.hosts["a"].opens
                and (tmp_path / "pid").exists()
                and (tmp_path / "pid").read_text()
            ),
        )
        pid = int((tmp_path / "pid").read_text())
    until_s = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_host_that_hangs_up_is_connected_again(tmp_path: Path) -> None:
    twice = (
        f"import os, sys, time\nfirst = not os.path.exists({str(tmp_path / 'once')!r})\n"
        f"open({str(tmp_path / 'once')!r}, 'w').close()\nsys.stdout.buffer.write({header()!r})\nsys.stdout.flush()\n"
        "time.sleep(0.5 if first else 1000)\n"
    )
    with closing(by_ssh(("a",), fake_ssh(tmp_path, a=twice))) as reading:
        model = wait(reading, lambda model: model.hosts and model.hosts["a"].state == "gone")
        wait(reading, lambda model: model.hosts["a"].state == "up", model)


def test_the_panes_of_a_host_get_what_was_kept_and_what_comes() -> None:
    read_fd, write_fd = os.pipe()
    with closing(by_pipe(read_fd)) as reading:
        os.write(write_fd, labelled("web1", header("vm"), exec_line(1)) + labelled("db1", header("vm"), exec_line(2)))
        wait(reading, lambda model: len(model.ring) == 2)
        source = PipeSource(reading.open("web1"), called="web1")
        try:
            assert source.header.host == "web1"
            timer = threading.Timer(
                0.3, os.write, (write_fd, labelled("web1", exec_line(3)) + labelled("db1", exec_line(4)))
            )
            timer.start()
            pids: list[int] = []
            until_s = time.monotonic() + PATIENCE_S
            while len(pids) < 2:
                assert time.monotonic() < until_s
                batch = source.poll("execs", 0.1)
                pids += [getattr(record, "pid", 0) for record in batch.records] if batch else []
            assert pids == [1, 3]
            reading.close_host()
            drain(source, lambda: source.finished)
        finally:
            source.close()
            os.close(write_fd)


class _Brings(Connection):
    """A connection that has brought *data*."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes | None:
        data, self.data = self.data, b""
        return data or None


def test_what_unpacks_to_much_is_taken_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "SLICE_S", 0.0)
    lines = b"".join(exec_line(pid) for pid in range(1_000))
    host = Host("web1", 0.0)
    one = SshInput(host, "web1", Remote(), 0.0)
    one._connection = _Brings(pack(header(), 1) + pack(lines, 1_000) * 5)
    taken = []
    while one.step(0.0):
        taken.append(host.figures.execs)
    assert host.figures.execs == 5_000
    assert len(set(taken)) >= 5


def watched(host: Host) -> tuple[Watcher, int]:
    read_fd, write_fd = os.pipe()
    return Watcher(host, write_fd), read_fd


def all_of(one: Watcher, read_fd: int) -> list[bytes]:
    """Read until nothing waits any more."""
    os.set_blocking(read_fd, False)
    data = bytearray()
    for _ in range(100_000):
        one.write()
        try:
            data += os.read(read_fd, 1 << 20)
        except BlockingIOError:
            if not one.is_waiting:
                break
    return bytes(data).splitlines()


def test_panes_that_take_nothing_lose_events_which_are_counted_and_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "BUFFER_BYTES", 20_000)
    host = Host("web1", 0.0)
    host.take(header(), 0.0)
    one, read_fd = watched(host)
    sent = 0
    for turn in range(50):
        host.take(b"".join(exec_line(pid) for pid in range(20)) + calls_line([(0, turn, 0)], time=1.0 + turn), 0.0)
        sent += 20
    lines = all_of(one, read_fd)
    records = [read_line(line) for line in lines if not line.startswith(b'{"kind":"syscalls"')]
    execs = sum(line.startswith(b'{"kind":"exec"') for line in lines)
    lost = [record for record in records if isinstance(record, Lost)]
    assert sum(line.startswith(b'{"kind":"syscalls"') for line in lines) == 50
    assert [(record.probe, record.where) for record in lost] == [("execs", "fleet")]
    assert execs + lost[-1].count == sent
    assert host.row.dropped == lost[-1].count
    one.close()
    os.close(read_fd)


def test_panes_that_are_gone_end_it() -> None:
    host = Host("web1", 0.0)
    host.take(header(), 0.0)
    one, read_fd = watched(host)
    os.close(read_fd)
    assert not one.write()
    one.close()
    assert host.watcher is None


def test_a_screen_that_takes_no_news_holds_up_no_reading(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = Host("web1", 0.0)
    reader = Reader(theirs, [SshInput(host, "web1", Remote(("false",)), 0.0)])
    host.take(header(), 0.0)
    for turn in range(3_000):
        host.take(b"".join(exec_line(pid) + exit_line(pid) for pid in range(20)), float(turn))
        reader._next_tick_s = 0.0
        reader.round()
    assert host.figures.execs == 60_000
    assert len(reader._outgoing) < 20
    reader.close()
    ours.close()
    theirs.close()


def test_an_error_of_the_reader_is_told_to_the_screen() -> None:
    def broken(channel: socket.socket) -> Reader:
        raise RuntimeError("no \x1b[31mmemory")

    with closing(FleetReading(broken)) as reading:
        model = FleetModel()
        until_s = time.monotonic() + PATIENCE_S
        while not reading.has_ended:
            assert time.monotonic() < until_s
            model.take(reading.news(), 0.0)
        assert model.failed == "RuntimeError: no \\x1b[31mmemory"


class ClockedSsh:
    """The connection to one host by a program in place of ssh, at moments that the test says."""

    def __init__(self, remote: Remote, name: str = "a") -> None:
        self.host = Host(name, 0.0)
        self.ssh = SshInput(self.host, name, remote, 0.0)

    def until(self, wanted: Callable[[], object], now_s: float) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not wanted():
            assert time.monotonic() < until_s, self.host.row
            self.ssh.step(now_s)
            time.sleep(0.005)

    def ends(self, now_s: float) -> None:
        self.until(lambda: self.host.row.retry_s is not None, now_s)


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[ClockedSsh]:
    """A host that is there, and then says nothing more."""
    one = ClockedSsh(fake_ssh(tmp_path, a=printing(header())))
    one.ssh.connect(0.0)
    one.until(lambda: one.host.state == "up", 1.0)
    yield one
    one.ssh.close()


def test_a_host_that_fell_silent_is_gone_and_not_ended_by_a_signal(silent: ClockedSsh) -> None:
    for now_s in (10.0, 80.0):
        silent.ssh.tick(now_s)
    silent.ends(80.0)
    row = silent.host.row
    assert (row.state, row.since_s) == ("gone", 1.0)
    assert "more than a minute" in row.said


def test_to_a_host_that_is_gone_for_long_a_connection_has_its_time(silent: ClockedSsh, tmp_path: Path) -> None:
    for now_s in (10.0, 80.0):
        silent.ssh.tick(now_s)
    silent.ends(80.0)
    (tmp_path / "a.py").write_text(printing(then="time.sleep(1000)"))
    silent.ssh.connect(300.0)
    for now_s in (300.0, 310.0, 419.0):
        silent.ssh.tick(now_s)
        silent.ssh.step(now_s)
    assert silent.host.row.retry_s is None
    silent.ssh.tick(421.0)
    silent.ends(421.0)
    assert silent.host.row.state == "gone"
    assert "hangs" in silent.host.row.said


def test_a_connection_that_never_brings_a_record_is_tried_again_and_says_so(tmp_path: Path) -> None:
    hanging = ClockedSsh(fake_ssh(tmp_path, a=printing(then="time.sleep(1000)")))
    hanging.ssh.connect(0.0)
    hanging.ssh.tick(121.0)
    hanging.ends(121.0)
    assert hanging.host.row.state == "failed"
    assert "hangs" in hanging.host.row.said
    hanging.ssh.close()


def test_connecting_anew_by_hand_does_not_make_up_a_reason(silent: ClockedSsh) -> None:
    silent.ssh.tick(10.0)
    silent.ssh.retry(11.0)
    silent.ends(11.0)
    row = silent.host.row
    assert (row.state, "signal" in row.said) == ("stale", False)


def test_no_host_waits_for_those_that_are_tried_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    def connect(one: SshInput, now_s: float) -> None:
        connected.append(one.host.name)
        one._due_s = now_s

    monkeypatch.setattr(SshInput, "connect", connect)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    names = [f"web{number}" for number in range(50)]
    reader = Reader(theirs, [SshInput(Host(name, 0.0), name, Remote(("false",)), 0.0) for name in names])
    for _ in range(5):
        reader._next_tick_s = 0.0
        reader.round()
    assert sorted(connected) == sorted(names)
    reader.close()
    ours.close()
    theirs.close()
