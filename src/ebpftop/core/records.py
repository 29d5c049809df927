"""Every record that the parts of the program exchange; also the lines of a stream.

Each record is one JSON object on one line (docs/records.md). Units: times are Unix seconds. Durations are seconds if
the name ends in ``_s``, nanoseconds if it is or ends in ``ns``. Counts are totals since the start, never deltas. Text
has been through `ebpftop.core.escape`. Readers skip unknown kinds and fields, so both may be added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, TypeAlias, Union

import msgspec

SCHEMA = 2

ProbeName: TypeAlias = str
"""The name of a row of `ebpftop.probes.registry`; in a recording also of a probe that is not installed here."""

State: TypeAlias = Literal["on", "off", "failed"]
Where: TypeAlias = Literal["ring", "exits", "map", "recursion", "argv", "pipe", "rate"]
Abi: TypeAlias = Literal["x86_64", "i386", "x32", "arm64", "arm"]
Handler: TypeAlias = Literal["count", "exec", "timer", "ignore", "trace"]

OTHER_UID = 0xFFFFFFFF
"""All users that are not listed one by one, counted together. No user has (uid_t)-1."""

LAST_TIME = 253402300799.0 - 86_400
"""The last day that datetime can show in every time zone: a pane that prints a time must not fail on it."""

# What no real record exceeds: a line that does is refused when it is read.
Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LAST_TIME)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=65_536)]  # more CPUs than any kernel can be built for
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Histogram: TypeAlias = Annotated[tuple[Count, ...], msgspec.Meta(max_length=64)]  # buckets of 64 bits
Counts: TypeAlias = Annotated[dict[str, Count], msgspec.Meta(max_length=1024)]  # more than there are errors
Operations: TypeAlias = Annotated[dict[str, Count], msgspec.Meta(max_length=256)]  # opcodes of io_uring

TICK_NS = 10_000_000
"""A clock tick of /proc, the unit of the start times of processes: USER_HZ is 100 on every Linux (proc(5))."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
    """What all records share: immutable, keyword-only, tagged by ``kind``."""


class TimedRecord(_Record, frozen=True, kw_only=True):
    """Every record but the header: `time` is when it happened, or was read.

    A probe of your own derives its records from `Event` or `Reading`, with the kind as tag (small letters, at most 16):

        class Open(Event, frozen=True, kw_only=True, tag="open"):
            pid: int

    Recordings come from anywhere: `check` raises ValueError for values that no real record has. Texts that may be as
    long as a path are named in `paths`; others are names of at most 2 KiB.
    """

    time: Time
    paths: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raise ValueError for values that no real record has."""


class Event(TimedRecord, frozen=True, kw_only=True):
    """Something that happened once. Events are counted, and each is shown. One that has a `pid` is of that process."""


class Reading(TimedRecord, frozen=True, kw_only=True):
    """Counters, read every interval. Each is complete: the screen may skip some of those of the past."""


class TableReading(Reading, frozen=True, kw_only=True):
    """Totals in rows. In memory it is always `whole`; a stream mostly holds what changed (recording/readings.py).

    `keys` names the fields that identify a row, for each field that holds rows; the rows are in the order of their
    keys, which are never null. `ages`: a field of the rows that grows as the field `boot_ns` of the reading does.
    Objects hold totals by name. `removed` is empty in memory; in a stream it has the keys of rows that are gone.
    """

    whole: bool = True
    removed: dict[str, tuple[tuple[str | int, ...], ...]] = {}
    keys: ClassVar[dict[str, tuple[str, ...]]] = {}
    ages: ClassVar[dict[str, str]] = {}


class Header(_Record, frozen=True, tag="header"):
    """First line of a stream: where and when it was made. Of another version, a field may be missing: `schema` is 0."""

    schema: int = 0
    version: str = ""
    host: str = "unknown host"
    kernel: str = ""
    abi: str = ""
    started: Time = 0.0


NOT_NEEDED = "not needed: "
NOT_ASKED_FOR = "--attach asked for "
"""The prefix of the reason of an attach option that was not tried."""

_NOT_TRIED = (NOT_NEEDED, NOT_ASKED_FOR, "--via asked for ")  # the last: recordings of 0.1


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attach option of a probe's attach ladder: its name, what it costs the machine, why it is not in use.

    `blind` names what cannot be seen from there.
    """

    via: str
    cost: str
    reason: str | None
    blind: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """``on``: attached. ``off``: not tried. ``failed``: it was tried, or is known not to work."""
        if self.reason is None:
            return "on"
        return "off" if self.reason.startswith(_NOT_TRIED) else "failed"

    @property
    def explanation(self) -> str:
        """The text in `check` and diagnostics: what it costs, or why it is not in use."""
        return self.reason or f"costs {self.cost}"


class Probe(TimedRecord, frozen=True, kw_only=True, tag="probe"):
    """A probe changed its state. `via` names the option in use; `reason` and `remedy`: why it failed and what helps.

    `gone` lists what its filter names but what no longer exists ("cgroup /x.service", "pid 7"): nothing matches there
    until it is created again. A new record reports each change.
    """

    probe: ProbeName
    state: State
    via: str | None
    reason: str | None
    remedy: str | None = None
    attempts: tuple[Attempt, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def blind(self) -> tuple[str, ...]:
        """What the attach options in use cannot see, each once."""
        used = (attempt for attempt in self.attempts if attempt.reason is None) if self.state == "on" else ()
        return tuple(dict.fromkeys(what for attempt in used for what in attempt.blind))


class Exec(Event, frozen=True, kw_only=True, tag="exec"):
    """A program started (`ret` 0) or an execve failed (`ret` is minus errno, `error` its name).

    `start_ns` is the start of the process since boot: (pid, start_ns) identifies a process for good; a pid is reused.
    `file` is the path as given to execve, `interp` what the kernel runs instead if `file` is a script. `exe` is the
    file that runs, resolved; `cwd` and `exe` are paths below the root directory of the process, which is `root` if that
    is not the root of its mounts. `stdio` is what fds 0 to 2 are, None for a closed one; empty in older recordings.
    `env` is there only if it was asked for.
    `cut` names the fields that are cut short.
    """

    pid: int
    tid: int
    ppid: int
    uid: int
    user: str | None
    comm: str
    file: str
    argv: tuple[str, ...]
    truncated: bool
    ret: int
    error: str | None
    cgroup: str
    start_ns: int = 0
    pcomm: str = ""
    euid: int = 0
    loginuid: int | None = None
    interp: str | None = None
    pidns: int = 0
    nspid: int = 0
    container: str | None = None
    unit: str | None = None
    cut: tuple[str, ...] = ()
    exe: str | None = None
    exe_inode: int | None = None
    cwd: str | None = None
    root: str | None = None
    tty: str | None = None
    sid: int = 0
    stdio: tuple[str | None, ...] = ()
    env: dict[str, str] | None = None


class Killer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The process that sent a signal, by `kill` or the like; `comm` is the name of its first thread."""

    pid: int
    comm: str
    uid: int

    def __str__(self) -> str:
        """Name and pid: ``php-fpm 812``."""
        return f"{self.comm} {self.pid}"


class Exit(Event, frozen=True, kw_only=True, tag="exit"):
    """A process ended: `code` or `signal`, never both. If its end was not seen, neither is set, and `time` is later.

    `duration_s` since its exec, null if that was not seen. What it used is of all its threads, without its children, as
    getrusage(2) counts it; null if its end was not seen, and in older recordings. `killer` is null if the kernel itself
    sent the signal. `forked`: it executed no program of its own.
    """

    pid: int
    uid: int
    comm: str
    code: int | None
    signal: str | None
    duration_s: Time | None
    start_ns: int = 0
    ppid: int = 0
    core: bool = False
    user_s: Time | None = None
    system_s: Time | None = None
    max_rss_bytes: Count | None = None
    major_faults: Count | None = None
    minor_faults: Count | None = None
    read_bytes: Count | None = None
    written_bytes: Count | None = None
    storage_read_bytes: Count | None = None
    storage_written_bytes: Count | None = None
    threads: Count | None = None
    forked: bool = False
    killer: Killer | None = None
    oom: bool = False

    @property
    def cpu_s(self) -> float | None:
        """User and system time together."""
        return None if self.user_s is None or self.system_s is None else self.user_s + self.system_s


class Process(TimedRecord, frozen=True, kw_only=True, tag="process"):
    """A process that no exec record reported: it ran before ebpftop did, or it only forked. Read from /proc.

    When the filter of a live source changes, all running processes that match the new one are reported, known or not.
    `start_ns` has the resolution of /proc: a clock tick (usually 10 ms), rounded down. `matched` is false for an
    ancestor that does not match the filter. It is reported to show who started the matching processes.
    """

    pid: int
    ppid: int
    uid: int
    user: str | None
    comm: str
    argv: tuple[str, ...]
    start_ns: int
    matched: bool = True


class UserRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Counters of one uid: execve attempts, and how many of them failed; `last` is the program started last.

    Uid 4294967295, named "other", stands for all users that the kernel's map had no room for. `userns` is the inode
    number of the user namespace in which the user was seen last, 0 for the first one. `ns_uid` is the uid in there.
    """

    uid: int
    user: str | None
    execs: Count
    failed: Count
    last: str = ""
    ns_uid: int | None = None
    userns: int = 0


class Users(TableReading, frozen=True, kw_only=True, tag="users"):
    """Counters of every uid seen."""

    rows: tuple[UserRow, ...]
    keys = {"rows": ("uid",)}


class SyscallRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Counters of one system call. ``histogram_ns[i]`` counts calls that took 2**i <= ns < 2**(i+1).

    `failed_histogram_ns` counts those of them that failed; older recordings have none.

    `slot` is its place in the kernel's tail-call table, null for a number beyond it.
    """

    abi: Abi
    nr: int
    name: str
    count: Count
    errors: Count
    histogram_ns: Histogram
    failed_histogram_ns: Histogram = ()
    total_ns: Count = 0
    max_ns: Count = 0
    errnos: Counts = {}
    handler: Handler = "count"
    slot: int | None = None


class TableSlot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A slot of the tail-call table that holds a program; a call with an empty slot is only counted."""

    slot: int
    abi: Abi
    nr: int
    name: str
    handler: Handler


class InFlight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that has not returned yet, `ns` after it was entered. `running`: its thread has not left its CPU since.

    `before`: it was entered before the probe was attached, so `ns` is a lower bound. `comm` is the thread's name.
    """

    pid: int
    tid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    ns: Count
    running: bool = False
    before: bool = False


WHOLE_PROCESSES = 24
PROCESSES_OF_A_CALL = 8
"""A reading has all calls of the `WHOLE_PROCESSES` busiest, and the `PROCESSES_OF_A_CALL` busiest of each call."""
WORKING_PROCESSES = 12
"""It also has all calls of those with most time in calls that do not wait, and of each call those longest in it."""


class ProcessCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often one process made one call. `start_ns` as in an exec: (pid, start_ns) identifies a process for good.

    `comm` is the name of its first thread.
    """

    pid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    count: Count
    errors: Count = 0
    start_ns: int = 0
    total_ns: Count | None = None
    max_ns: Count | None = None


class ProcessTotal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many calls one process made, of all kinds."""

    pid: int
    comm: str
    count: Count
    errors: Count
    start_ns: int = 0
    total_ns: Count | None = None
    max_ns: Count | None = None


class UserCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many calls one user made. Uid 4294967295 stands for all users that are not counted one by one."""

    uid: int
    count: Count
    errors: Count
    total_ns: Count | None = None
    max_ns: Count | None = None


class Syscalls(TableReading, frozen=True, kw_only=True, tag="syscalls"):
    """Counters of every system call seen; `in_flight` the longest waits now; `processes` the busiest pairs.

    `process_totals` are of the processes in `processes`. What `users` gained since the reading before is exact unless
    `evicted` grew: it counts pairs of process and call that fell out of the kernel's map, and calls of `users`
    and `processes`. `families` counts the runs of the handlers for programs (``exec``) and timers (``timer_create``,
    ``timer_delete``, ``timer_other``). `io_uring` counts io_uring's operations by name, which are not system calls;
    null if they cannot be seen. `table` is the tail-call table; `boot_ns` is `time` in the ns of `start_ns`.

    Who calls (`processes`, `process_totals`, `users`, `evicted`) is the most expensive part, and is not read each time:
    it is as of `pairs_time` (Unix seconds; null if it was not read at all, or in older recordings, where it is `time`).
    """

    rows: tuple[SyscallRow, ...]
    in_flight: tuple[InFlight, ...] = ()
    processes: tuple[ProcessCalls, ...] = ()
    process_totals: tuple[ProcessTotal, ...] = ()
    users: tuple[UserCalls, ...] = ()
    evicted: int = 0
    families: Counts = {}
    io_uring: Operations | None = None
    table: tuple[TableSlot, ...] = ()
    boot_ns: int = 0
    pairs_time: Time | None = None
    keys = {
        "rows": ("abi", "nr"),
        "in_flight": ("pid", "tid"),
        "processes": ("pid", "start_ns", "abi", "nr"),
        "process_totals": ("pid", "start_ns"),
        "users": ("uid",),
        "table": ("slot",),
    }
    ages = {"in_flight": "ns"}

    @property
    def callers_time(self) -> float:
        """When it was read who calls (Unix seconds)."""
        return self.time if self.pairs_time is None else min(self.pairs_time, self.time)


class Syscall(Event, frozen=True, kw_only=True, tag="syscall"):
    """One traced call, decoded. `ret` and `ns` are null for a call that never returned."""

    pid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    args: tuple[str, ...]
    ret: int | None
    ns: int | None
    tid: int = 0
    error: str | None = None


class PrintingProgram(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An eBPF program: its id and name in the kernel. An id is not used again until the machine boots."""

    id: Count
    name: str

    def __str__(self) -> str:
        """Name and id, as `bpftool prog` has them."""
        return f"{self.name} #{self.id}"


class Trace(Event, frozen=True, kw_only=True, tag="trace"):
    """One bpf_trace_printk line, from any program of the machine.

    `task` is the name of thread `tid`; `program` the eBPF program that printed it, None if that is unknown. Older
    recordings have no `tid`; there, `pid` holds the thread id.
    """

    cpu: int
    pid: int
    task: str
    message: str
    tid: int | None = None
    program: PrintingProgram | None = None


class Lost(TimedRecord, frozen=True, kw_only=True, tag="lost"):
    """What was lost so far, counted where it was lost."""

    probe: ProbeName
    where: Where
    count: Count


class Fullest(TimedRecord, frozen=True, kw_only=True, tag="fullest"):
    """How full the buffer between kernel and a probe was at most since the start, and when; reported when it grew."""

    probe: ProbeName
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    size: Count


class Cost(Reading, frozen=True, kw_only=True, tag="cost"):
    """What ebpftop itself costs: its programs in the kernel, and its process (shares of one CPU).

    `kernel` and `runs` are null if the kernel does not let us measure them.
    """

    kernel: Share | None
    user: Share
    runs: int | None


class End(TimedRecord, frozen=True, kw_only=True, tag="end"):
    """Last line of a closed recording; without it the last second may be missing. `reason` is empty if all is well."""

    records: int
    reason: str


Record: TypeAlias = Header | TimedRecord
OF_THE_STREAM = (Header, Probe, Lost, Fullest, Cost, End)
"""Records that no probe alone sends; all others are named in the rows of `ebpftop.probes.registry`."""


class Foreign(TimedRecord, frozen=True, kw_only=True, tag=""):
    """A line of a kind that nothing here knows: recordings keep it as it is. Its text is not escaped: never show it."""

    line: bytes


_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """Return one JSON line, without its newline."""
    return record.line if isinstance(record, Foreign) else _encoder.encode(record)


class _KindOnly(msgspec.Struct):
    kind: str
    time: object = None


_kind_decoder = msgspec.json.Decoder(_KindOnly)


class Decoder:
    """Reads lines as records of the kinds that it is given."""

    def __init__(self, types: Iterable[type[Record]]) -> None:
        types = tuple(types)
        self.kinds = frozenset(str(kind.__struct_config__.tag) for kind in types)
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Union[types])  # noqa: UP007  # not known to mypy

    def decode_all(self, lines: bytes) -> list[Record]:
        """Return the records of *lines*, one per line. Raises ValueError (msgspec's) if one is not of a known kind."""
        return self._decoder.decode_lines(lines)

    def decode(self, line: bytes | str) -> Record:
        """Return the record of one line, a `Foreign` one for a kind that is not known.

        Raises ValueError (msgspec's) for a line that is not a record.
        """
        try:
            return self._decoder.decode(line)
        except msgspec.ValidationError:
            found = _kind_decoder.decode(line)
            if found.kind in self.kinds:
                raise
            time = float(found.time) if isinstance(found.time, (int, float)) else 0.0
            return Foreign(time=time, line=line.encode() if isinstance(line, str) else line)
