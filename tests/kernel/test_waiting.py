"""What calls in flight wait for, of processes that hang in each way: /proc and those who made them know better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ebpftop.kernel.root_helper import RootHelper
from ebpftop.kernel.waiting import Question
from ebpftop.probes.waiting_calls import question_of
from ebpftop.syscalls import abi as abis
from tests.kernel.support import Line, Stream, last, needs_root, of

pytestmark = needs_root

# Each child says its pid and hangs; those it must wait for hang already. What it prints is what it knows of itself.
HANGS = """
import ctypes, fcntl, json, os, select, socket, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None)
said = {}
folder = sys.argv[1]
if "--lo" in sys.argv:  # a network namespace of its own
    lo = struct.pack("16sh14x", b"lo", 0x41)
    fcntl.ioctl(socket.socket(), 0x8914, lo)
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(9)
said["peer"] = "tcp 127.0.0.1:%d" % server.getsockname()[1]
reading, writing = os.pipe()

def hang(name, do):
    pid = os.fork()
    if pid == 0:
        libc.prctl(15, ("hangs-" + name).encode(), 0, 0, 0)
        do()
        os._exit(0)
    said[name] = pid

def connect():
    return socket.create_connection(server.getsockname())

def mutex():
    lock = (ctypes.c_long * 8)()
    libc.pthread_mutex_lock(lock)
    threading.Thread(target=libc.pthread_mutex_lock, args=(lock,)).start()
    time.sleep(600)

def poll():
    one = select.poll()
    one.register(reading, select.POLLIN)
    there = connect()
    one.register(there, select.POLLIN)
    one.poll()

def lock():
    file = open(folder + "/lock", "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(holds[1], b"x")
    time.sleep(600)

def child():
    others = [subprocess.Popen(["/bin/sleep", "600"]) for _ in range(2)]
    os.waitpid(others[1].pid, 0)

def serving(name, server):
    pid = os.fork()
    if pid == 0:
        libc.prctl(15, ("serves-" + name).encode(), 0, 0, 0)
        server.listen()
        accepted = server.accept()
        server.close()
        time.sleep(600)
    said["serves-" + name] = pid
    client = socket.socket(server.family)
    while client.connect_ex(server.getsockname()):
        time.sleep(0.01)
    server.close()
    hang(name, lambda: client.recv(1))
    client.close()

there = socket.socket()
there.bind(("127.0.0.1", 0))
said["there"] = "tcp 127.0.0.1:%d" % there.getsockname()[1]
serving("here", there)
unix = socket.socket(socket.AF_UNIX)
unix.bind(folder + "/unix")
serving("unix", unix)
hang("sleep", lambda: time.sleep(600))
holds = os.pipe()
hang("holder", lock)
os.read(holds[0], 1)
hang("flock", lock)
hang("pipe", lambda: os.read(reading, 1))
hang("tcp", lambda: connect().recv(1))
hang("poll", poll)
hang("fifo", lambda: open(folder + "/fifo"))
hang("child", child)
hang("mutex", mutex)
said["pipe-inode"] = os.fstat(reading).st_ino
print(json.dumps(said), flush=True)
time.sleep(600)
"""

# The call that each hangs in at last: what starts a child, say, first waits for it to start.
HANGS_IN = {
    "flock": ("flock",),
    "pipe": ("read",),
    "tcp": ("recvfrom",),
    "poll": ("poll", "ppoll"),
    "fifo": ("openat",),
    "child": ("wait4",),
    "mutex-thread": ("futex",),
    "sleep": ("clock_nanosleep",),
    "holder": ("clock_nanosleep",),
    "here": ("recvfrom",),
    "unix": ("recvfrom",),
}
ENDS = ("here", "unix")
"""Those whose other end is a socket of another process. Who has it is searched for in parts."""


@contextmanager
def hanging(folder: Path, *through: str, arguments: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Start what hangs, behind the command *through*; yield what it said."""
    os.mkfifo(folder / "fifo")
    program = subprocess.Popen(
        [*through, sys.executable, "-c", textwrap.dedent(HANGS), str(folder), *arguments],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdout is not None
    try:
        yield json.loads(program.stdout.readline())
    finally:
        os.killpg(program.pid, 9)
        program.wait()
        program.stdout.close()


def waits(stream: Stream, names: set[str]) -> dict[str, Line]:
    """Return the calls in flight by what hangs in them, once all are there and what they wait for was asked."""

    def found() -> dict[str, Line]:
        calls = last("syscalls", stream.lines)["in_flight"] if of("syscalls", stream.lines) else []
        return {_name(call): call for call in calls if call["kernel_stack"]}

    calls: dict[str, Line] = {}

    def all_hang() -> bool:
        calls.update(found())
        return all(
            name in calls and calls[name]["name"] in HANGS_IN[name] and (calls[name]["awaited"] or name not in ENDS)
            for name in names
        )

    stream.wait_for(lambda _: all_hang(), 60)
    return {name: calls[name] for name in names}


def _name(call: Line) -> str:
    """Return which of those that hang it is; of the two threads of ``mutex`` the one that waits for the other."""
    name: str = call["comm"].removeprefix("hangs-")
    return name if call["tid"] == call["pid"] else f"{name}-thread"


def awaited(call: Line) -> list[str]:
    return [one["comm"] for one in call["awaited"]]


@pytest.mark.guest
@pytest.mark.newest
def test_each_says_what_it_waits_for(tmp_path: Path) -> None:
    # They hang first, so that all are asked about at once: a second time comes after 200 times what the first one took,
    # which under emulation is minutes.
    with hanging(tmp_path) as said, Stream("--comm", "hangs-*", probes="syscalls") as stream:
        calls = waits(stream, {"sleep", "flock", "pipe", "tcp", "poll", "fifo", "child", "mutex-thread"})
        for name, call in calls.items():
            if name in said:
                assert call["pid"] == said[name]
            # The oracle: what the kernel says now. It hangs, so it is what it said then.
            stack = Path(f"/proc/{call['pid']}/task/{call['tid']}/stack").read_text()
            assert all(f"{function}+" in stack for function in call["kernel_stack"])
            if call["fd"] is not None:
                assert call["path"] == os.readlink(f"/proc/{call['pid']}/fd/{call['fd']}")
        children = Path(f"/proc/{said['child']}/task/{said['child']}/children").read_text().split()
        mutex = calls["mutex-thread"]
    assert calls["pipe"]["path"] == f"pipe:[{said['pipe-inode']}]"
    assert calls["tcp"]["peer"] == said["peer"]
    assert (calls["poll"]["peer"], calls["poll"]["more"]) == (said["peer"], 1), "the end that is elsewhere says most"
    assert calls["flock"]["path"] == f"{tmp_path}/lock"
    assert [one["pid"] for one in calls["flock"]["awaited"]] == [said["holder"]]
    assert (calls["fifo"]["name"], calls["fifo"]["path"]) == ("openat", f"{tmp_path}/fifo")
    assert [str(one["pid"]) for one in calls["child"]["awaited"]] == children[1:], "of two the one it asks for"
    assert calls["sleep"]["awaited"] == []
    assert calls["sleep"]["path"] is None
    assert (mutex["name"], [one["pid"] for one in mutex["awaited"]]) == ("futex", [said["mutex"]])


# Guests have no module unix_diag, and the search takes them minutes.
def test_the_other_end_of_a_socket_has_a_name_and_a_process(tmp_path: Path) -> None:
    with Stream("--comm", "hangs-*", probes="syscalls") as stream, hanging(tmp_path) as said:
        calls = waits(stream, set(ENDS))
    assert calls["here"]["peer"] == said["there"]
    assert calls["unix"]["peer"] == f"unix {tmp_path}/unix"
    for name in ENDS:
        assert calls[name]["awaited"] == [{"pid": said[f"serves-{name}"], "comm": f"serves-{name}"}]


def test_in_namespaces_of_their_own_they_are_the_same_under_our_numbers(tmp_path: Path) -> None:
    through = ("unshare", "--pid", "--net", "--fork", "--kill-child")
    with (
        Stream("--comm", "hangs-*", probes="syscalls") as stream,
        hanging(tmp_path, *through, arguments=("--lo",)) as said,
    ):
        calls = waits(stream, {"flock", "tcp", "child", "mutex-thread", "holder", "here", "unix"})
        children = Path(f"/proc/{calls['child']['pid']}/task/{calls['child']['pid']}/children").read_text().split()
        mutex = calls["mutex-thread"]
    assert calls["child"]["pid"] != said["child"], "there it has another number"
    assert calls["tcp"]["peer"] == said["peer"]
    assert [awaited(calls[name]) for name in ("here", "unix")] == [["serves-here"], ["serves-unix"]]
    assert [str(one["pid"]) for one in calls["child"]["awaited"]] == children[1:]
    assert [one["pid"] for one in calls["flock"]["awaited"]] == [calls["holder"]["pid"]]
    assert [one["pid"] for one in mutex["awaited"]] == [mutex["pid"]]


def test_a_thread_that_is_not_in_that_call_has_no_answer(tmp_path: Path) -> None:
    helper = RootHelper(tmp_path)
    sleeper = subprocess.Popen(["/bin/sleep", "600"])
    try:
        until_s = time.monotonic() + 10
        while not (line := Path(f"/proc/{sleeper.pid}/syscall").read_text().split())[1:] and time.monotonic() < until_s:
            time.sleep(0.01)
        here = Question(sleeper.pid, sleeper.pid, int(line[0]), "none", 0, 0)
        found = helper.waits([here, here._replace(nr=here.nr + 1), here._replace(tid=1), here._replace(pid=1 << 22)])
        assert found is not None
        assert [answer is not None for answer in found[0]] == [True, False, False, False]
    finally:
        sleeper.kill()
        sleeper.wait()
        helper.close()


EPOLL = """
import os, select
many = select.epoll()
for _ in range(250):
    many.register(os.pipe()[0], select.EPOLLIN)
print(many.fileno(), flush=True)
many.poll()
"""


def test_all_descriptors_of_an_epoll_set_are_counted(tmp_path: Path) -> None:
    helper = RootHelper(tmp_path)
    with subprocess.Popen([sys.executable, "-S", "-c", EPOLL], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            fd = int(program.stdout.readline())
            wait = Path(f"/proc/{program.pid}/syscall")
            until_s = time.monotonic() + 10
            while not (line := wait.read_text().split())[1:] or int(line[1], 16) != fd:
                assert time.monotonic() < until_s
                time.sleep(0.01)
            question = Question(program.pid, program.pid, int(line[0]), "epoll", 0, 0)
            while (found := helper.waits([question])) is None:  # the machine is busy: no answer in time
                assert time.monotonic() < until_s
            (answer,) = found[0]
            assert answer is not None
            assert (answer.path or b"").startswith(b"pipe:[")
            assert answer.more == 249
        finally:
            program.kill()
            helper.close()


SPAWN = """
import os, sys
os.mkfifo(sys.argv[1])
sleeper = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
print(sleeper, flush=True)
os.posix_spawnp("sleep", ["sleep", "600"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
"""


def stack_of(pid: str) -> str:
    return Path(f"/proc/{pid}/stack").read_text()


def test_who_waits_for_a_child_to_run_a_program_says_for_which(tmp_path: Path) -> None:
    helper = RootHelper(tmp_path)
    place = str(tmp_path / "never-written")
    spawner = subprocess.Popen(
        [sys.executable, "-c", SPAWN, place], stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    try:
        assert spawner.stdout is not None
        other = spawner.stdout.readline().strip()
        children = Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children")
        until_s = time.monotonic() + 60
        while len(found := children.read_text().split()) < 2 or "fifo_open" not in stack_of(found[-1]):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        abi = abis.native_abi(os.uname().machine)
        nr = int(Path(f"/proc/{spawner.pid}/syscall").read_text().split()[0])
        answers = helper.waits([Question(spawner.pid, spawner.pid, nr, *question_of(abi, abis.name(abi, nr)), 0)])
        assert answers is not None
        (wait,) = answers[0]
        assert wait is not None
        assert [str(one.pid) for one in wait.awaited] == [pid for pid in found if pid != other]
    finally:
        os.killpg(spawner.pid, 9)
        spawner.wait()
        helper.close()
