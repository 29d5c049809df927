"""The screen and the kernel mean the same by a filter: the same events, matched here and there, are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Set
from contextlib import ExitStack

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Record
from ebpftop.core.syscall_records import Syscall
from ebpftop.core.trace_records import Trace
from ebpftop.filters.spec import Filter, Values
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.subset import Subset
from ebpftop.probes.registry import registry
from tests.kernel.support import Line, Stream, needs_root, of
from tests.kernel.workload_context import WANTED_UID

pytestmark = needs_root

# A tree with what is difficult: orphans, a thread with a name of its own, failures, another user, another program in
# the same process. It begins when a line comes, and every process ends with the next one.
TREE = r"""
import os, sys, threading

uid = int(sys.argv[1])
ended_r, ended_w = os.pipe()
early_r, early_w = os.pipe()

def run(*words):
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/true", ["/bin/true", *words])
    os.waitpid(pid, 0)

def fail():
    try:
        os.execv("/nonexistent/program", ["program"])
    except FileNotFoundError:
        pass

def named(name, do):
    with open("/proc/thread-self/comm", "w") as comm:
        comm.write(name)
    do()

def child(do):
    pid = os.fork()
    if pid == 0:
        do()
        os._exit(0)
    return pid

# Records contain no forks: whose child a process is, they say where it runs a program or fails to.
def orphan():
    fail()
    me = os.getpid()
    tried_r, tried_w = os.pipe()
    def rest():
        fail()
        os.write(tried_w, b".")
        while os.getppid() == me:
            pass
        run("orphan")
        fail()
        os.write(ended_w, b".")
    child(rest)
    os.read(tried_r, 1)
    os.write(early_w, b".")

def orphan_of_orphan():
    fail()
    child(orphan)
    os.read(early_r, 1)

def other_user():
    os.setresuid(uid, uid, uid)
    run("other user")
    fail()

print("ready", flush=True)
sys.stdin.readline()
run("itself")
fail()
thread = threading.Thread(target=named, args=("worker", lambda: (run("of a thread"), fail())))
thread.start()
thread.join()
os.waitpid(child(orphan_of_orphan), 0)
os.waitpid(child(orphan), 0)
os.read(ended_r, 1)
os.read(ended_r, 1)
os.waitpid(child(other_user), 0)
os.waitpid(child(lambda: named("renamed", lambda: (run("of one renamed"), fail()))), 0)
os.waitpid(child(lambda: os.execv("/bin/sh", ["/bin/sh", "-c", "/bin/true of-a-shell; exec /bin/true became"])), 0)
print("done", flush=True)
sys.stdin.readline()
"""


def events(records: list[Record], read_in_proc: Set[int]) -> Counter[tuple[object, ...]]:
    """Return what happened, without the times, which differ between two runs of ebpftop by some microseconds.

    *read_in_proc*: the processes whose end is left out.
    """
    found: Counter[tuple[object, ...]] = Counter()
    for record in records:
        match record:
            case Exec():
                found["exec", record.pid, record.comm, record.argv, record.ret] += 1
            case Exit() if record.pid not in read_in_proc:
                found["exit", record.pid, record.comm] += 1
            case Syscall():
                found["call", record.pid, record.tid, record.comm, record.args] += 1
            case Trace():
                found["line", record.pid, record.tid, record.task, record.message] += 1
            case _:
                pass
    return found


def records_of(lines: list[Line]) -> list[Record]:
    return registry().decoder.decode_all("\n".join(map(json.dumps, lines)).encode())


def test_a_filter_finds_in_a_recording_what_the_kernel_lets_through() -> None:
    tree = subprocess.Popen(
        [sys.executable, "-c", TREE, str(WANTED_UID)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert tree.stdin is not None
    assert tree.stdout is not None
    assert tree.stdout.readline() == "ready\n"
    me = ("--pid", str(tree.pid))
    filters: dict[tuple[str, ...], Filter] = {
        me: Filter(pids=(tree.pid,)),
        (*me, "--comm", "true"): Filter(pids=(tree.pid,), comms=("true",)),
        (*me, "--comm", "worker", "--comm", "rena*"): Filter(pids=(tree.pid,), comms=("worker", "rena*")),
        (*me, "--uid", str(WANTED_UID)): Filter(pids=(tree.pid,), uids=(WANTED_UID,)),
        (*me, "--not-uid", str(WANTED_UID), "--not-comm", "true", "--not-comm", "rena*"): Filter(
            pids=(tree.pid,), excluded=Values(uids=(WANTED_UID,), comms=("true", "rena*"))
        ),
    }
    with ExitStack() as stack:
        whole = stack.enter_context(Stream("--trace", "execve", probes="execs,syscalls,trace"))
        streams = [
            stack.enter_context(Stream(*options, "--trace", "execve", probes="execs,syscalls,trace"))
            for options in filters
        ]
        tree.stdin.write("go\n")
        tree.stdin.flush()
        assert tree.stdout.readline() == "done\n"
        # On a busy machine /proc is read before the buffer: who had ended by then would have no descendants.
        subprocess.run(["/bin/true", "all is read"], check=True)
        whole.wait_for(lambda lines: any("all is read" in line["argv"] for line in of("exec", lines)), 100)
        tree.stdin.close()
        assert tree.wait(60) == 0
        everything = whole.stop()
        matched = [stream.stop() for stream in streams]
    tree.stdout.close()
    for wanted, lines in zip(filters.values(), matched, strict=True):
        recorded, filtered = records_of(everything), records_of(lines)
        subset = Subset(ViewFilter(wanted), None, recorded)
        # On a slow machine /proc is read meanwhile, which reports the ends of ancestors that do not match too.
        read_in_proc = {
            record.pid
            for record in (*recorded, *filtered)
            if isinstance(record, Exit) and record.code is None and record.signal is None
        }
        kept = [part for record in recorded if (part := subset(record)) is not None]
        found, let_through = events(kept, read_in_proc), events(filtered, read_in_proc)
        assert let_through, wanted
        assert found == let_through, (wanted, found - let_through, let_through - found)
