"""Save a part of a recording: chosen programs, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ebpftop.core.records import Cost, Exec, Exit, Header, Lost, Probe, Process, Record, Syscall, Syscalls, Trace, Users
from ebpftop.recording.timeline import Narrow


def matching(wanted: Callable[[Exec | Process], bool]) -> Narrow:
    """Return what keeps the programs that are *wanted*, and their exits, traced calls and trace lines.

    Of the users' counters the rows of their users stay, with all that these users did. The counters of system calls are
    of the whole machine and go. States of probes and losses stay: they say what the recording can know. Use the result
    for one pass over records in their order: it remembers which processes it let through.
    """
    pids: set[int] = set()
    uids: set[int] = set()

    def narrow(record: Record) -> Record | None:
        match record:
            case Exec() | Process():
                if wanted(record):
                    pids.add(record.pid)
                    uids.add(record.uid)
                    return record
                # A failed execve leaves the process what it was; a successful one makes it another program.
                if isinstance(record, Process) or record.ret == 0:
                    pids.discard(record.pid)
                return None
            case Exit():
                known = record.pid in pids
                pids.discard(record.pid)
                return record if known else None
            case Syscall() | Trace():
                return record if record.pid in pids else None
            case Users():
                return msgspec.structs.replace(record, rows=tuple(row for row in record.rows if row.uid in uids))
            case Syscalls():
                return None
            case Header() | Probe() | Lost() | Cost():
                return record
            case _:
                return None

    return narrow
