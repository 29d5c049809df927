"""Source: where the screen gets its data. Live kernel, recording and pipe all look like this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ebpftop.core.escape import printable
from ebpftop.core.records import Header, ProbeName, Record
from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.filters.spec import Filter

WatchedList: TypeAlias = Literal["callers", "waits"]
"""What is only read often, or whole, while somebody looks at it. ``callers``: which process makes which system call.
``waits``: what all calls in flight wait for, and not only the first ones."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one probe yielded in one poll. `time` (Unix seconds) is the only clock that models and panes ever see.

    `jump` counts the jumps that a recording made before it: it separates batches from before a jump from later ones.
    """

    probe: ProbeName
    time: float
    records: tuple[Record, ...]
    jump: int = field(default=0, compare=False)
    size: int = field(default=0, compare=False)
    """Bytes of memory that the records take, if they were counted (`ebpftop.core.record_memory`)."""


class SourceError(Exception):
    """An error to show to the user, with its remedy.

    Both texts are made safe to show here: they name files and repeat arguments, and are shown in more than one place.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        cause, remedy = printable(cause), printable(remedy)
        super().__init__(f"{cause}; {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy


class UsageError(SourceError):
    """An argument that means nothing here: exit status 2, as for those that the parser refuses."""


class FilterUnsupported(SourceError):
    """The source yields what was recorded: only the view can be filtered."""


class Source(Protocol):
    """A stream of batches, one channel for each probe.

    One thread per probe calls `poll`, the screen's thread calls the rest; a source must allow that. The state of a
    probe, and all losses, come as records (`Probe`, `Lost`) in the batches like everything else.
    """

    @property
    def header(self) -> Header:
        """Host, kernel and start of what is shown."""

    @property
    def live(self) -> bool:
        """True if time advances by itself: the kernel, or a pipe that is still open."""

    @property
    def reads_all(self) -> bool:
        """True if a poll returns all that has come: what comes between two polls waits in a buffer of the kernel."""

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        """The probes that this source has, on or not."""

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        """Wait at most *timeout_s* for the next batch of *probe*; None if there was none."""

    def interrupt(self) -> None:
        """Let every `poll` return at once from now on: nobody wants batches any more."""

    def is_on(self, probe: ProbeName) -> bool | None:
        """Return whether a probe is attached now; None if this source cannot know."""

    def toggle(self, probe: ProbeName) -> None:
        """Detach a probe, or attach it again. Slow (it compiles and loads): call it from a thread.

        A source that cannot (a recording) raises SourceError.
        """

    def set_interval(self, seconds: float) -> None:
        """Poll the counters every *seconds*."""

    def watch(self, lists: frozenset[WatchedList]) -> None:
        """Read these expensive lists with every reading, and the others at a slower pace: somebody looks at them.

        A source that does not read the kernel itself has nothing to do.
        """

    def watch_process(self, pid: int | None) -> None:
        """List the calls in flight of *pid* before all others: somebody looks at what it waits for.

        A source that does not read the kernel itself has nothing to do.
        """

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        """Choose what the kernel does with system calls: "ignore", "trace", or "count" them as from the start.

        Traced calls are reported if one of *conditions* holds, all of them if there is none: "failed", ">10ms:ENOENT",
        what `--trace` has behind the colon (`ebpftop.syscalls.tracing`).

        Raises SourceError if that is not possible. May wait for a poll to end: call it from a thread.
        """

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        """Return *requested* with processes instead of threads that it names as processes, and a sentence about each.

        Fast. A recording returns the filter as it is.
        """

    def set_filter(self, requested: Filter) -> float:
        """Yield only what matches *requested*, from the returned moment (Unix seconds) on.

        Counters are read once at that moment, and the running processes that match are reported again. Slow (it reads
        /proc): call it from a thread.

        Raises SourceError if the kernel cannot apply it; then the old filter stays. Raises FilterUnsupported if the
        source cannot apply any filter.
        """

    def close(self) -> None:
        """Detach everything. Safe to call twice."""
