"""Save a part of a recording: the chosen programs and their other records."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ebpftop.core.records import End, Event, Exec, Exit, Process, Record, Syscalls, Users
from ebpftop.recording.timeline import Narrow


def matching(wanted: Callable[[Exec | Process], bool]) -> Narrow:
    """Return a function that keeps the programs that are *wanted*, and the events that have their pids.

    In the counters of users, it keeps the rows of the users of these programs, with all that these users did. It drops
    the counters of system calls, which are those of the whole machine. It keeps all else: the states of probes and the
    losses show what the recording can know, and records of unknown kinds are not ours to judge. Use it for one pass
    over records in their order: it remembers which processes matched.
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
                # A failed execve does not change the process; a successful one makes it another program.
                if isinstance(record, Process) or record.ret == 0:
                    pids.discard(record.pid)
                return None
            case Exit():
                known = record.pid in pids
                pids.discard(record.pid)
                return record if known else None
            case Event():
                pid = getattr(record, "pid", None)
                return record if pid is None or pid in pids else None
            case Users():
                return msgspec.structs.replace(record, rows=tuple(row for row in record.rows if row.uid in uids))
            case Syscalls() | End():
                return None
            case _:
                return record

    return narrow
