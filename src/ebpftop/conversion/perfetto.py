"""Perfetto's trace format, for ui.perfetto.dev: programs as slices in a tree of processes, slow calls, counters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ebpftop.conversion.exec_tree import Began, Change, Ended, ExecTree, Program, TreeProcess
from ebpftop.conversion.input import Input, ns, with_boot_offset
from ebpftop.conversion.perfetto_calls import Call, SlowCalls
from ebpftop.conversion.perfetto_counters import Counters
from ebpftop.conversion.perfetto_loaded import LoadedTracks
from ebpftop.conversion.perfetto_writer import Arg, TraceWriter
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Header
from ebpftop.core.trace_records import Trace

_RANK, _LOG_RANK = 2, 3  # behind the counters of the machine, and of the users
_KEPT = 2000


def to_perfetto(source: Input, slower_ns: int) -> Iterator[bytes]:
    """Yield a trace: *source*, with the calls of at least *slower_ns*."""
    offset_ns, records = with_boot_offset(source.records)
    begin_ns = ns(source.begin)
    writer = TraceWriter(source.header, begin_ns - offset_ns, begin_ns)
    root = writer.track("root", f"ebpftop: {source.header.host}", about=_about(source.header))
    counters = Counters(writer, root, offset_ns)
    loaded = LoadedTracks(writer, root, offset_ns, begin_ns)
    tree = ExecTree(begin_ns, offset_ns)
    tracks = _Tracks(writer, root, offset_ns)
    slow = SlowCalls(slower_ns, begin_ns)
    last_ns = begin_ns
    for record in records:
        if isinstance(record, Header):
            continue
        last_ns = max(last_ns, ns(record.time))
        if isinstance(record, (Exec, Exit, Process)):
            tracks.show(tree.follow(record))
        elif isinstance(record, Trace):
            tracks.show_line(record)
        elif not loaded.follow(record) and record.time >= source.begin:
            counters.follow(record)
            tracks.show_calls(slow.follow(record), tree)
        if data := writer.take():
            yield data
    tracks.show_calls(slow.finish(), tree)
    tracks.show(tree.finish(last_ns))
    counters.finish()
    loaded.finish()
    yield writer.take(all_of_them=True)


def _about(header: Header) -> str:
    return f"{header.host}, Linux {header.kernel}, recorded by ebpftop {header.version}"


class _Tracks:
    """The tracks of processes and threads. A process that does nothing has none."""

    def __init__(self, writer: TraceWriter, root: int, offset_ns: int) -> None:
        self._writer = writer
        self._offset_ns = offset_ns
        self._programs = writer.track("programs", "Programs", root, rank=_RANK, by_time=True)
        self._root = root
        self._log = 0
        self._number = 0
        self._of: dict[TreeProcess, int] = {}
        self._threads: dict[TreeProcess, dict[int, int]] = {}
        self._ended: dict[TreeProcess, None] = {}

    def show(self, changes: Iterable[Change]) -> None:
        """Write what changed in the tree."""
        for change in changes:
            if isinstance(change, Began):
                self._begin(change.program)
            elif isinstance(change, Ended):
                self._end(change)
            else:
                track = self._track(change.process)
                record = change.exec
                at_ns = max(ns(record.time), change.process.program.begin_ns)
                self._writer.instant(
                    at_ns - self._offset_ns, track, f"{record.error} {record.file}", "exec_failed", _of_exec(record)
                )

    def show_calls(self, calls: Iterable[Call], tree: ExecTree) -> None:
        """Write slow calls."""
        for call in calls:
            process, changes = tree.process(call.pid, call.comm)
            self.show(changes)
            track = self._thread(process, call.tid, call.comm)
            self._writer.begin(call.begin_ns - self._offset_ns, track, call.name, call.category, call.args)
            self._writer.end(call.end_ns - self._offset_ns, track, {})

    def show_line(self, record: Trace) -> None:
        """Write a line that an eBPF program printed."""
        if not self._log:
            self._log = self._writer.track("trace", "Trace log (printk)", self._root, rank=_LOG_RANK)
        args: dict[str, Arg] = {"pid": record.pid, "tid": record.tid, "task": record.task, "cpu": record.cpu}
        if record.program is not None:
            args["program"] = str(record.program)
        self._writer.instant(ns(record.time) - self._offset_ns, self._log, record.message, "printk", args)

    def _begin(self, program: Program) -> None:
        """Begin the slice of a program. One that was there before is only shown if something comes of it."""
        if not program.was_there:
            track = self._track(program.process)
        elif program.process in self._of:
            track = self._of[program.process]
        else:
            return
        self._writer.begin(program.begin_ns - self._offset_ns, track, program.comm, "program", _of_begin(program))

    def _end(self, change: Ended) -> None:
        process = change.program.process
        track = self._of.get(process)
        if track is None:
            return
        self._writer.end(change.end_ns - self._offset_ns, track, _of_end(change))
        if change.next is None:
            self._forget(process)

    def _track(self, process: TreeProcess) -> int:
        """Return the track of a process; a new one begins with what the process runs since before."""
        track = self._of.get(process)
        if track is not None:
            return track
        parent = self._programs if process.parent is None else self._track(process.parent)
        self._number += 1
        name = f"{process.program.comm} {process.pid}"
        track = self._of[process] = self._writer.track(f"process {self._number}", name, parent, by_time=True)
        if process.program.was_there and process.ended_ns is None:
            self._begin(process.program)
        return track

    def _thread(self, process: TreeProcess, tid: int, comm: str) -> int:
        threads = self._threads.setdefault(process, {})
        track = threads.get(tid)
        if track is None:
            parent = self._track(process)
            self._number += 1
            name = "calls" if tid == process.pid else f"calls of {comm}, thread {tid}"
            track = threads[tid] = self._writer.track(f"thread {self._number}", name, parent)
        return track

    def _forget(self, process: TreeProcess) -> None:
        """Forget tracks of processes that ended; records of other probes may still name those of a moment ago."""
        self._ended[process] = None
        if len(self._ended) > _KEPT:
            gone = next(iter(self._ended))
            del self._ended[gone]
            self._of.pop(gone, None)
            self._threads.pop(gone, None)


def _of_begin(program: Program) -> dict[str, Arg]:
    start = program.start
    args: dict[str, Arg] = {"pid": program.process.pid}
    if isinstance(start, Exec):
        args |= _of_exec(start)
    elif start is not None:
        args |= {"ppid": start.ppid, "uid": start.uid, "user": start.user, "argv": start.argv}
    if program.was_there:
        args["began"] = "before the recording, or not seen"
    elif program.forked:
        args["began"] = "forked: it runs what its parent did"
    return args


_EXEC_ARGS = ("ppid", "uid", "user", "argv", "file", "exe", "cwd", "root", "tty", "cgroup", "unit", "container")
_EXIT_ARGS = (
    *("code", "signal", "core", "oom", "user_s", "system_s", "max_rss_bytes", "major_faults", "minor_faults"),
    *("read_bytes", "written_bytes", "storage_read_bytes", "storage_written_bytes", "threads"),
)


def _of_exec(record: Exec) -> dict[str, Arg]:
    args: dict[str, Arg] = {name: getattr(record, name) for name in _EXEC_ARGS}
    if record.euid != record.uid:
        args["euid"] = record.euid
    if record.error is not None:
        args["error"] = record.error
    return args


def _of_end(change: Ended) -> dict[str, Arg]:
    record = change.exit
    if record is None:
        if change.next is not None:
            return {"end": "became another program", "next": change.next.argv}
        return {"end": "still running" if change.is_cut else "not seen"}
    args: dict[str, Arg] = {name: value for name in _EXIT_ARGS if (value := getattr(record, name)) is not False}
    if record.code is None and record.signal is None:
        args["end"] = "not seen"
    if record.killer is not None:
        args["killer"] = {"pid": record.killer.pid, "comm": record.killer.comm, "uid": record.killer.uid}
    return args
