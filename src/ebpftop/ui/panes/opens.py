"""The opens: which files programs open, or fail to."""

from __future__ import annotations

from rich.cells import cell_len

from ebpftop.core import format
from ebpftop.filters.stack import FilterLevel, user_level
from ebpftop.models.opens import Open, OpenLog
from ebpftop.ui.panes.common import clock, date_and_time, moment, narrow_time, user
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.widgets.columns import Cell, Column, Span, without_middle
from ebpftop.ui.widgets.sheet import Sheet
from ebpftop.ui.words import Mark

UNREAD = "(path could not be read)"


def _path(event: Open) -> Cell:
    if event.path is None:
        return (Span(UNREAD, "warn"),)
    folder = "" if event.dirfd is None or event.path.startswith("/") else f"fd {event.dirfd}: "
    return (Span(folder, "dim"), Span(event.path or "(empty)"), Span("…" if event.cut else "", "warn"))


def _path_in(event: Open, width: int) -> Cell:
    """Return the path in *width* cells: its end tells more than its middle."""
    *before, path, cut = _path(event) if event.path is not None else (*_path(event), Span(""))
    room = width - sum(cell_len(span.text) for span in (*before, cut))
    return (*before, path._replace(text=without_middle(path.text, room)), cut)


def _result(event: Open) -> Cell:
    return (Span(event.error or str(event.ret), "bad" if event.ret < 0 else "dim"),)


COLUMNS: tuple[Column[Open], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda o, now: clock(o.time, now),
        rank=4,
        value=lambda o, _: moment(o.time),
        narrow=narrow_time(lambda o: o.time),
        about="When the call returned: time of day, and the date if that is not today.",
    ),
    Column("pid", "PID", 7, lambda o, _: (Span(str(o.pid)),), right=True, rank=2, about="Process id."),
    Column(
        "user",
        "USER",
        8,
        lambda o, _: user(o.user or str(o.uid), o.uid),
        rank=7,
        about="The user that the process runs as.",
    ),
    Column(
        "comm", "PROCESS", 15, lambda o, _: (Span(o.comm, "accent"),), rank=1, about="Name of the thread that opens it."
    ),
    Column(
        "result",
        "RESULT",
        9,
        lambda o, _: _result(o),
        about="The descriptor, a number; or the error (red) for which it was not opened.",
    ),
    Column(
        "latency",
        "LATENCY",
        7,
        lambda o, _: (Span(format.nanoseconds(o.ns), "dim"),),
        right=True,
        rank=3,
        about="How long the call took: ns, µs, ms or s.",
        value=lambda o, _: o.ns,
        exported="latency_ns",
    ),
    Column(
        "flags",
        "FLAGS",
        20,
        lambda o, _: (Span(o.flags.replace("O_", ""), "dim"),),
        rank=5,
        about="The flags of open(2), without their O_.",
    ),
    Column(
        "path",
        "PATH",
        32,
        flexible=True,
        about="The path as given. fd 5: it begins at the folder that descriptor 5 is.",
        fill=_path_in,
        whole=lambda o, _: _path(o),
        value=lambda o, _: o.path,
    ),
)


class OpensPane(LogPane[Open]):
    """Opens, one a line; those that failed stand out."""

    probe = "opens"
    label = "Opens"
    empty_text = "No file was opened"
    hint = "Try: cat /etc/hostname"
    about = (
        "Each file that a program opens, or fails to: open, openat, openat2 and creat. It is off until its digit or "
        "--probes attaches it, because it looks at every one of them."
    )
    marks = (
        Mark("ENOENT", "it was not opened: the error", "bad"),
        Mark("fd 5:", "the path is relative to the folder that this descriptor stands for", "dim"),
        Mark("(path could not be read)", "the memory that holds it was not there; counted as lost, argv", "warn"),
    )
    counted_as = "open"
    columns = COLUMNS
    model_type = OpenLog

    def title_of(self, event: Open) -> str:
        return f"{event.comm} ({event.pid})"

    def copies(self, event: Open) -> str:
        return event.path or ""

    def sheet(self, event: Open) -> Sheet:
        sheet = Sheet()
        sheet.heading(event.call)
        sheet.fact("time", date_and_time(event.time))
        thread = f", thread {event.tid}" if event.tid != event.pid else ""
        sheet.fact("process", event.comm, "bold", f"pid {event.pid}{thread}")
        sheet.fact("user", event.user or event.uid, note=f"uid {event.uid}")
        sheet.fact("flags", event.flags)
        sheet.fact("folder", None if event.dirfd is None else f"descriptor {event.dirfd}")
        failed = event.ret < 0
        sheet.fact("result", event.error or event.ret, "$error" if failed else "", "" if failed else "the descriptor")
        sheet.fact("latency", format.nanoseconds(event.ns))
        sheet.heading("Path")
        sheet.line((UNREAD if event.path is None else event.path, ""), ("…" if event.cut else "", "$warning"))
        return sheet

    def user_level(self) -> FilterLevel | None:
        row = self.log_lines.selected()
        return user_level(row.uid, row.user) if row else None
