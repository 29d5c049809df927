"""tracefs: where it is, and a trace instance of our own, whose lines no other tool reads.

Lines that are read from /sys/kernel/tracing/trace_pipe are lost to its other readers. An instance
(Documentation/trace/ftrace.rst, "Instances") has buffers and a pipe of its own.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from ebpftop.kernel.mount_namespace import leave_shared_mounts, mount
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.threads import has_ended
from ebpftop.lifecycle import leftovers

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

# An instance's buffers together, and that of one CPU at least and at most. On a starved machine half a second of 50,000
# lines a second has to fit into the largest.
_ALL_KIB, _LEAST_KIB, _MOST_KIB = 16 << 10, 512, 4 << 10


def find() -> Path | None:
    """Return where tracefs is mounted, None if it is not, or if we may not enter it."""
    return next((place for place in _PLACES if os.access(place / "trace_pipe", os.F_OK, effective_ids=True)), None)


def refusal() -> tuple[str, str]:
    """Return why we cannot use tracefs, and the remedy."""
    if os.geteuid() != 0:
        return "tracefs belongs to root: it may be neither read nor mounted", "run it as root: sudo ebpftop"
    return "tracefs is not mounted, and mounting it is refused", "mount -t tracefs nodev /sys/kernel/tracing"


def instance_path(tracefs: Path | None) -> Path:
    """Return the folder of our trace instance. Its name identifies us, so that a later run sees that we have ended."""
    return (tracefs or _PLACES[0]) / "instances" / leftovers.Owner.of_this_process().instance


def mount_privately() -> Path | None:
    """Return where tracefs is; if it is not mounted, mount it for this process alone. None if that is refused.

    A mount namespace of our own changes nothing for the rest of the machine. It must be made before there are threads,
    since unshare(2) moves only the caller.
    """
    found = find()
    if found is not None:
        return found
    place = _PLACES[0]
    if not place.is_dir() or not leave_shared_mounts() or not mount("tracefs", place):
        return None
    return find()


def field_offset(tracefs: Path, event: str, field: str) -> int | None:
    """Return the offset of *field* in the event "category:name"; None if there is none.

    From the event's format (Documentation/trace/events.rst): ``field:u8 opcode;	offset:32;	size:1;	signed:0;``.
    """
    try:
        text = (tracefs / "events" / event.replace(":", "/") / "format").read_text()
    except OSError:
        return None
    found = re.search(rf"\b{re.escape(field)};\s*offset:(\d+);", text)
    return int(found[1]) if found else None


def remove_leftovers(tracefs: Path) -> None:
    """Remove the trace instances of runs that were killed together with their guard."""
    fd = os.open(tracefs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for owner in leftovers.owners(fd):
            if has_ended(owner):
                leftovers.remove(fd, owner)
    finally:
        os.close(fd)


class Instance:
    """A private trace instance, which can receive every bpf_trace_printk of the machine (kernel 5.9 or later)."""

    def __init__(self, root: RootWork) -> None:
        """Make it, with the event off; raises OSError if that is refused. *root* makes it and writes to it."""
        self._root = root
        self.path = root.instance
        root.make_instance()
        try:
            # The clock of all other events; the default is each CPU's own. Choosing it empties the buffer.
            root.write("trace_clock", "mono")
            kib = min(max(_ALL_KIB // (os.cpu_count() or 1), _LEAST_KIB), _MOST_KIB)
            root.write("buffer_size_kb", str(kib))
            self.enable(False)
        except OSError:
            self.close()
            raise

    def enable(self, on: bool) -> None:
        """Enable or disable new lines."""
        self._root.write("events/bpf_trace/bpf_trace_printk/enable", "1" if on else "0")

    def close(self) -> None:
        """Remove it, once its files are closed; if another process reads it, leave it silent for the next start."""
        with suppress(OSError):
            self.enable(False)
        with suppress(OSError):
            self._root.remove_instance()
