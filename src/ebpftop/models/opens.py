"""Files that programs open, or fail to: the record of one, and the newest of them."""

from __future__ import annotations

from ebpftop.core.records import Event
from ebpftop.models.eventlog import EventLog


class Open(Event, frozen=True, kw_only=True, tag="open"):
    """An open, openat, openat2 or creat that returned: *ret* is the descriptor, or minus errno (*error* its name).

    `time` is when it was called, `ns` how long it took. *dirfd* is null for the current directory. *flags* are in the
    words of fcntl.h, as given.
    """

    pid: int
    tid: int
    uid: int
    user: str | None
    comm: str
    call: str
    dirfd: int | None
    path: str | None
    flags: str
    ret: int
    error: str | None
    ns: int
    cut: tuple[str, ...] = ()

    paths = ("path",)

    def check(self) -> None:
        if self.ns < 0:
            raise ValueError("a negative duration")


class OpenLog(EventLog[Open]):
    """The newest opens."""

    kind = Open

    def searchable(self, event: Open) -> str:
        thread = f"{event.pid} {event.tid}" if event.tid != event.pid else f"{event.pid}"
        result = event.error or event.ret
        caller = f"{thread} {event.comm} {event.uid} {event.user or ''}"
        return f"{caller} {event.call} {event.path or ''} {event.flags} {result}"

    def about(self, event: Open) -> str:
        return event.path or ""
