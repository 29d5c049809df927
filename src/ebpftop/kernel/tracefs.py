"""tracefs: where it is, and a trace instance of our own, whose lines no other tool waits for.

Reading /sys/kernel/tracing/trace_pipe takes the lines away from whoever else reads it. An instance
(Documentation/trace/ftrace.rst, "Instances") has buffers and a pipe of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from ebpftop import leftovers
from ebpftop.kernel.mounts import leave_shared_mounts, mount

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def find() -> Path | None:
    """Return where tracefs is mounted, None where it is not."""
    return next((place for place in _PLACES if (place / "trace_pipe").exists()), None)


def mount_privately() -> Path | None:
    """Return where tracefs is; if nobody mounted it, mount it for this process alone. None where that is refused.

    A mount namespace of our own leaves the machine as it was, whatever becomes of us. It must be made before there are
    threads, since unshare(2) moves only the caller.
    """
    found = find()
    if found is not None:
        return found
    place = _PLACES[0]
    if not place.is_dir() or not leave_shared_mounts() or not mount("tracefs", place):
        return None
    return find()


def remove_leftovers(tracefs: Path) -> None:
    """Remove the trace instances and kprobe events of runs that were killed together with their guard."""
    fd = os.open(tracefs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for pid in leftovers.owners(fd):
            if not Path("/proc", str(pid)).exists():
                leftovers.remove(fd, pid)
    finally:
        os.close(fd)


class Instance:
    """A private trace instance, which can receive every bpf_trace_printk of the machine (kernel 5.9 or later)."""

    def __init__(self, tracefs: Path) -> None:
        """Make it, with the event off; raises OSError where this kernel cannot."""
        self.path = tracefs / "instances" / f"{leftovers.INSTANCE_PREFIX}{os.getpid()}"
        self.path.mkdir(exist_ok=True)
        try:
            # The clock of all other events; the default is each CPU's own.
            (self.path / "trace_clock").write_text("mono")
            self.enable(False)
            self.pipe_fd = os.open(self.path / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.path.rmdir()
            raise

    def enable(self, on: bool) -> None:
        """Let lines come in, or not."""
        (self.path / "events/bpf_trace/bpf_trace_printk/enable").write_text("1" if on else "0")

    def close(self) -> None:
        """Remove it."""
        os.close(self.pipe_fd)
        self.enable(False)
        self.path.rmdir()
