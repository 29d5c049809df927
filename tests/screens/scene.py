"""A source made of records, and a minute on a small server as records."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import SCHEMA, Attempt, Cost, Fullest, Header, Lost, Probe, ProbeName, Record
from ebpftop.core.source import Batch, SourceError, WatchedList
from ebpftop.core.syscall_records import Abi, Handler, SyscallRow, Syscalls
from ebpftop.core.trace_records import PrintingProgram, Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter
from ebpftop.probes.registry import registry
from ebpftop.sources.history import HistorySource

START = 1_795_352_400.0
SECOND_NS = 1_000_000_000

EVERY_CHANNEL = tuple(name for name in registry().channels if name != "load")
"""All that a source may have but a C file, whose screen opens by itself."""


class FakeSource:
    """Yields the batches that it is given; remembers what it was asked to do."""

    def __init__(
        self, batches: Iterable[Batch] = (), *, live: bool = True, probes: tuple[ProbeName, ...] | None = None
    ) -> None:
        self.header = Header(schema=SCHEMA, version="0.1.0", host="web1", kernel="6.18.44", abi="x86_64", started=START)
        self.live = live
        self.reads_all = False
        self.probes: tuple[ProbeName, ...] = registry().names if probes is None else probes
        self.toggled: list[ProbeName] = []
        self.watched_pid: int | None = None
        self.intervals: list[float] = []
        self.watched: list[frozenset[WatchedList]] = []
        self.filters: list[Filter] = []
        self.refuses_filter: SourceError | None = None
        self.handlers: list[tuple[Abi, int, Handler]] = []
        self.handled: list[tuple[int, Handler, tuple[str, ...]]] = []
        """Of each request: how many calls, their handler, the conditions."""
        self.closed = 0
        self.interrupted = False
        self.turning = threading.Event()
        """While it is clear, what was asked for in the kernel is not done yet."""
        self.turning.set()
        self.refuses: SourceError | None = None
        self.breaks: dict[ProbeName, Exception] = {}
        self._queues: dict[ProbeName, queue.Queue[Batch | None]] = {probe: queue.Queue() for probe in self.probes}
        self.given = 0
        self.give(*batches)

    def give(self, *batches: Batch) -> None:
        """Let the screen see *batches*."""
        for batch in batches:
            self.given += 1
            self._queues[batch.probe].put(batch)

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        if probe in self.breaks:
            raise self.breaks.pop(probe)
        try:
            # Short, so that tests end soon.
            return self._queues[probe].get(timeout=min(timeout_s, 0.1))
        except queue.Empty:
            return None

    def interrupt(self) -> None:
        self.interrupted = True
        for waiting in self._queues.values():
            waiting.put(None)

    def is_on(self, probe: ProbeName) -> bool | None:
        return self.toggled.count(probe) % 2 == 0 if self.live else None

    def toggle(self, probe: ProbeName) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.turning.wait(30)
        self.toggled.append(probe)
        state = "off" if self.toggled.count(probe) % 2 else "on"
        self.give(batch(probe, 60, probe_state(probe, state, 60)))

    def set_interval(self, seconds: float) -> None:
        self.intervals.append(seconds)

    def watch_process(self, pid: int | None) -> None:
        self.watched_pid = pid

    def watch(self, lists: frozenset[WatchedList]) -> None:
        self.watched.append(lists)

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.turning.wait(30)
        self.handlers += ((*call, handler) for call in calls)
        self.handled.append((len(calls), handler, tuple(conditions)))

    def resolve(self, wanted: Filter) -> tuple[Filter, tuple[str, ...]]:
        """Threads are numbered from their process's pid on, which ends with a nought."""
        notes = tuple(f"{pid} is a thread of process {pid // 10 * 10}" for pid in wanted.pids if pid % 10)
        return (replace(wanted, pids=tuple(pid // 10 * 10 for pid in wanted.pids)), notes) if notes else (wanted, ())

    def set_filter(self, wanted: Filter) -> float:
        self.turning.wait(30)
        if self.refuses_filter is not None:
            raise self.refuses_filter
        self.filters.append(wanted)
        return time.time()

    def close(self) -> None:
        self.closed += 1


class Remembered(HistorySource):
    """A fake source whose batches are remembered in the order of their times, whichever thread polls first."""

    def __init__(self, batches: Iterable[Batch] = (), probes: tuple[ProbeName, ...] | None = None) -> None:
        self.fake = FakeSource(probes=probes)
        super().__init__(self.fake)
        self.give(*batches)

    @property
    def given(self) -> int:
        return self.fake.given

    def give(self, *batches: Batch) -> None:
        """Let the screen see *batches*, and remember them."""
        for record in sorted(
            (record for batch in batches for record in batch.records if not isinstance(record, Header)),
            key=lambda record: record.time,
        ):
            self.history.add([record])
        self.fake.give(*batches)

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        return self.fake.poll(probe, timeout_s)


def batch(probe: ProbeName, at: float, *records: Record) -> Batch:
    """A batch of *probe*, *at* seconds after the start."""
    return Batch(probe, START + at, records)


def probe_state(probe: ProbeName, state: str, at: float = 0, **more: str) -> Probe:
    """What a probe says of itself."""
    via = {
        "execs": "raw_tracepoint:sched_process_exec",
        "users": "tracepoint:syscalls:sys_enter_execve",
        "syscalls": "raw_tracepoint:sys_enter",
        "trace": "raw_tracepoint:sys_enter",
        "opens": "raw_tracepoint:sys_exit",
        "programs": "bpf:BPF_PROG_GET_NEXT_ID",
        "cgroups": "raw_tracepoint:sys_exit",
        "states": "raw_tracepoint:sched_switch",
        "load": "raw_tracepoint:sys_enter",
    }[probe]
    assert state in ("on", "off", "failed")
    return Probe(
        time=START + at,
        probe=probe,
        state="on" if state == "on" else "off" if state == "off" else "failed",
        via=via if state == "on" else None,
        reason=more.get("reason"),
        remedy=more.get("remedy"),
        attempts=(
            Attempt(
                via="kprobe:execve", cost="nothing per call", reason="perf_event_open: kprobes are not in this kernel"
            ),
            Attempt(via="fentry:do_execveat_common", cost="nothing per call", reason="load refused: EPERM"),
            Attempt(via=via, cost="75 ns per call", reason=None),
        ),
    )


def ran(at: float, pid: int, *argv: str, ppid: int = 812, uid: int = 0, **more: object) -> Exec:
    """A program that started."""
    names = {0: "root", 1000: "ada", 33: "www-data", 12345: None}
    fields: dict[str, object] = {
        "time": START + at,
        "pid": pid,
        "tid": pid,
        "ppid": ppid,
        "uid": uid,
        "user": names.get(uid),
        "comm": argv[0].rpartition("/")[2][:15],
        "file": argv[0] if argv[0].startswith("/") else f"/usr/bin/{argv[0]}",
        "argv": argv,
        "truncated": False,
        "ret": 0,
        "error": None,
        "cgroup": "/system.slice/cron.service",
        "start_ns": int((100 + at) * SECOND_NS),
        "pcomm": "bash",
        "euid": uid,
        "unit": "cron.service",
    }
    fields.update(more)
    return Exec(**fields)  # type: ignore[arg-type]  # of any field


def ended(program: Exec, after: float, code: int | None = 0, signal: str | None = None, core: bool = False) -> Exit:
    """How it ended."""
    return Exit(
        time=program.time + after,
        pid=program.pid,
        uid=program.uid,
        comm=program.comm,
        code=code,
        signal=signal,
        duration_s=after,
        start_ns=program.start_ns,
        ppid=program.ppid,
        core=core,
    )


def before(pid: int, ppid: int, *argv: str, uid: int = 0, start_s: int = 1) -> Process:
    """A process that ran before."""
    return Process(
        time=START,
        pid=pid,
        ppid=ppid,
        uid=uid,
        user={0: "root", 1000: "ada", 33: "www-data"}.get(uid),
        comm=argv[0].rpartition("/")[2][:15],
        argv=argv,
        start_ns=start_s * SECOND_NS,
    )


def execs() -> list[Batch]:
    """Programs of all sorts: short, long, failed, killed, replaced, hostile."""
    ls = ran(1.004, 4101, "ls", "--color=auto", "-l", "/var/log", uid=1000, ppid=900)
    git = ran(2.25, 4102, "git", "status", "--porcelain=v2", "--branch", uid=1000, ppid=900)
    missing = ran(
        3.001, 4103, "/opt/app/bin/servr", "--port", "8080", uid=33, ret=-2, error="ENOENT", pcomm="systemd", ppid=1
    )
    server = ran(
        3.5,
        4104,
        "/opt/app/bin/server",
        "--port",
        "8080",
        "--log",
        "/var/log/app server.log",
        uid=33,
        pcomm="systemd",
        ppid=1,
    )
    shell = ran(4.0, 4105, "sh", "-c", "exec sleep 30 && echo 'done; really'", ppid=900, uid=1000)
    sleep = ran(4.02, 4105, "sleep", "30", ppid=900, uid=1000, start_ns=shell.start_ns)
    crash = ran(5.125, 4106, "./crashes", "--now", uid=1000, ppid=900, file="./crashes")
    oom = ran(
        6.75,
        4107,
        "python3",
        "train.py",
        "--epochs",
        "10",
        uid=12345,
        container="8f3a0c11d2e4",
        unit=None,
        pcomm="containerd-shim",
    )
    noexec = ran(7.5, 4108, "/tmp/notes.txt", uid=1000, ret=-13, error="EACCES", ppid=900)
    wide = ran(8.0, 4109, "grep", "-r", "日本語テキスト", "señor", "\\x1b[31mred", uid=1000, ppid=900)
    cron = ran(9.0, 4110, "/usr/sbin/logrotate", "/etc/logrotate.conf", pcomm="cron", ppid=640)
    false = ran(9.5, 4111, "false", ppid=4110, pcomm="logrotate")
    many = ran(
        10.0, 4112, "xargs", *(f"file-{i:04}.log" for i in range(200)), ppid=4110, pcomm="logrotate", truncated=True
    )
    return [
        batch(
            "execs",
            0,
            probe_state("execs", "on"),
            before(1, 0, "/sbin/init"),
            before(640, 1, "/usr/sbin/cron", "-f", start_s=9),
            before(700, 1, "/usr/sbin/sshd", "-D", start_s=10),
            before(812, 700, "sshd: ada [priv]", start_s=30),
            before(900, 812, "-bash", uid=1000, start_s=31),
        ),
        batch("execs", 2.5, ls, ended(ls, 0.0031), git),
        batch("execs", 4.5, missing, ended(git, 0.131), server, shell, sleep),
        batch("execs", 7.0, crash, ended(crash, 0.42, None, "SIGSEGV", core=True), oom),
        batch("execs", 10.5, noexec, wide, ended(wide, 0.0009, 1), ended(oom, 2.9, None, "SIGKILL"), cron, false),
        batch("execs", 12, ended(false, 0.0006, 1), many, ended(many, 1.25, 0)),
    ]


def users() -> list[Batch]:
    """Counters of five uids over a minute, with bursts."""
    batches = [batch("users", 0, probe_state("users", "on"))]
    totals = {0: [0, 0], 33: [0, 0], 1000: [0, 0], 12345: [0, 0], 65534: [0, 0]}
    names = {0: "root", 33: "www-data", 1000: "ada", 12345: None, 65534: "nobody"}
    last = {0: "logrotate", 33: "server", 1000: "grep", 12345: "python3", 65534: "true"}
    for second in range(1, 61):
        for i, counters in enumerate(totals.values()):
            counters[0] += (second * (i + 3) * 7) % (23 - 4 * i) if i < 4 else int(second == 20)
            counters[1] += int(i == 2 and second % 9 == 0)
        rows = tuple(
            UserRow(uid=uid, user=names[uid], execs=n, failed=failed, last=last[uid])
            for uid, (n, failed) in totals.items()
            if n
        )
        batches.append(batch("users", second, Users(time=START + second, rows=rows)))
    return batches


def syscalls() -> list[Batch]:
    """Counters of twenty calls, twice."""
    calls = (
        ("read", 0, 48211, 1203, 10),
        ("write", 1, 30177, 4, 11),
        ("openat", 257, 9120, 2205, 12),
        ("close", 3, 8831, 0, 8),
        ("newfstatat", 262, 7443, 512, 9),
        ("futex", 202, 6120, 801, 20),
        ("epoll_wait", 232, 2210, 0, 26),
        ("mmap", 9, 1805, 0, 11),
        ("recvmsg", 47, 1520, 700, 14),
        ("rt_sigaction", 13, 1100, 0, 7),
        ("execve", 59, 210, 31, 18),
        ("clock_nanosleep", 230, 60, 0, 30),
        ("timer_settime", 223, 41, 0, 9),
        ("getppid", 110, 24, 0, 7),
    )
    handlers = {"execve": "exec", "timer_settime": "timer", "rt_sigaction": "ignore", "openat": "trace"}
    batches = [batch("syscalls", 0, probe_state("syscalls", "on"))]
    for reading in (1, 2):
        rows = tuple(
            SyscallRow(
                abi="x86_64",
                nr=nr,
                name=name,
                count=count * reading,
                errors=errors * reading,
                histogram_ns=tuple(count * reading // 2 ** abs(i - typical) // 3 for i in range(36)),
                total_ns=count * reading << typical,
                max_ns=1 << (typical + 5),
                errnos={"EAGAIN": errors * reading} if errors else {},
                handler=handlers.get(name, "count"),  # type: ignore[arg-type]  # all are handlers
            )
            for name, nr, count, errors, typical in calls
        )
        batches.append(batch("syscalls", reading * 30, Syscalls(time=START + reading * 30, rows=rows)))
    return batches


def trace() -> list[Batch]:
    """Lines of the trace pipe."""
    ours = PrintingProgram(id=207, name="ebpftop_hello_k")
    lines = [
        Trace(time=START + i * 0.75, cpu=i % 2, pid=4101 + i, task=task, message=message, program=program)
        for i, (task, message, program) in enumerate(
            (
                ("bash", "Hello World!", ours),
                ("git", "Hello World!", ours),
                ("systemd", "Hello World!", ours),
                ("my-filter", "packet dropped: src 10.0.0.7 len 1514 \\x1b[2J", PrintingProgram(id=214, name="biolat")),
                ("bash", "Hello World!", ours),
                ("python3", "Hello World!", ours),
                ("日本語", "広い文字 are two cells wide", None),
            )
        )
    ]
    return [batch("trace", 0, probe_state("trace", "on")), batch("trace", 6, *lines)]


def minute() -> list[Batch]:
    """All of it, as it would have come."""
    state = batch(
        "users",
        60,
        Cost(time=START + 60, kernel=0.0041, user=0.023, runs=150_000),
        Lost(time=START + 60, probe="trace", where="pipe", count=12),
    )
    late = batch(
        "execs",
        60,
        Lost(time=START + 60, probe="execs", where="ring", count=4),
        Fullest(time=START + 60, probe="execs", share=1.0, size=16 << 20),
        Lost(time=START + 60, probe="execs", where="argv", count=1),
    )
    return [*execs(), *users(), *syscalls(), *trace(), state, late]
