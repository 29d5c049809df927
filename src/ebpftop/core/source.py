"""Source: what the screen sees of the world. Live kernel, recording and pipe all look like this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ebpftop.core.escape import printable
from ebpftop.core.records import Abi, Handler, Header, ProbeName, Record
from ebpftop.filters.spec import Filter


@dataclass(frozen=True, slots=True)
class Batch:
    """What one probe yielded in one poll. `time` (Unix seconds) is the only clock that models and panes ever see.

    `jump` counts the jumps that a recording made before it: what was polled before a jump is told from what follows it.
    """

    probe: ProbeName
    time: float
    records: tuple[Record, ...]
    jump: int = field(default=0, compare=False)
    size: int = field(default=0, compare=False)
    """Bytes of memory that the records take, where somebody counted them (`ebpftop.core.record_memory`)."""


class SourceError(Exception):
    """Something that the user must be told, with what mends it.

    Both are made safe to show here: they name files and repeat arguments, and are shown in more than one place.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        cause, remedy = printable(cause), printable(remedy)
        super().__init__(f"{cause}; {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy


class FilterUnsupported(SourceError):
    """The source yields what was recorded: only what is shown of it can be narrowed."""


class Source(Protocol):
    """A stream of batches, one channel for each probe.

    `poll` is called by one thread per probe, the rest from the screen's thread; a source must allow that. The state of
    a probe, and all losses, come as records (`Probe`, `Lost`) in the batches like everything else.
    """

    @property
    def header(self) -> Header:
        """Host, kernel and start of what is shown."""

    @property
    def live(self) -> bool:
        """True where time goes by itself: the kernel, or a pipe that is still open."""

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        """The probes that this source has, on or not."""

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        """Wait at most *timeout_s* for the next batch of *probe*; None where there was none."""

    def is_on(self, probe: ProbeName) -> bool | None:
        """Tell whether a probe is attached now; None where nobody here can tell."""

    def toggle(self, probe: ProbeName) -> None:
        """Turn a probe off, or on again. Slow (it compiles and loads): call it from a thread.

        A source that cannot (a recording) raises SourceError.
        """

    def set_interval(self, seconds: float) -> None:
        """Poll the counters every *seconds*."""

    def set_handler(self, abi: Abi, nr: int, handler: Handler) -> None:
        """Choose what the kernel does with a system call: "ignore" it, "trace" it, or "count" it as from the start.

        Raises SourceError where that cannot be. May wait for a poll to end: call it from a thread.
        """

    def resolve(self, wanted: Filter) -> tuple[Filter, tuple[str, ...]]:
        """Return *wanted* with the process of each thread that it names as a process, and a sentence about each.

        Fast. A recording cannot be asked, and returns it as it is.
        """

    def set_filter(self, wanted: Filter) -> float:
        """Yield only what *wanted* takes, from the moment (Unix seconds) returned on.

        Counters are read once right then, and who runs and is wanted is told of once more. Slow (it reads /proc): call
        it from a thread.

        Raises SourceError for what cannot be, and then the old filter holds; PastFiltering where nothing can be.
        """

    def close(self) -> None:
        """Detach everything. Safe to call twice."""
