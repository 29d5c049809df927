"""What a source can do beyond `source.Source` if it has a history, or if it is a recording that plays."""

from __future__ import annotations

from typing import Protocol

from ebpftop.core.load_edits import FileEditor, FileOpener, LineCounter
from ebpftop.core.own_programs import OwnPrograms
from ebpftop.core.source import Source
from ebpftop.models.series import Series
from ebpftop.recording.parse import ReadErrors
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import History, HistorySource
from ebpftop.sources.recorded import RecordedSource
from ebpftop.sources.replay import ReplaySource


class Player(Protocol):
    """A recording that plays: it can pause, play faster, and jump."""

    speed: float

    @property
    def position(self) -> float:
        """The moment being played, Unix seconds."""

    @property
    def finished(self) -> bool:
        """Whether the end was reached and everything polled."""

    def pause(self) -> None:
        """Pause."""

    def resume(self) -> None:
        """Continue after a pause."""

    def next_jump(self) -> int:
        """Return the number of a jump to come: the `Batch.jump` of what is played after it."""

    def jump(self, time: float, number: int) -> None:
        """Continue playing from *time*, unless a later jump took place. It may have to wait for the disk."""


def timeline_of(source: Source) -> Timeline | None:
    """Return the timeline of *source*; None if it has none."""
    return source.timeline if isinstance(source, (HistorySource, ReplaySource)) else None


def series_of(source: Source) -> Series | None:
    """Return what the machine did over the time of the timeline of *source*; None if it has none."""
    if isinstance(source, HistorySource):
        return source.history.series
    return source.series if isinstance(source, ReplaySource) else None


def player_of(source: Source) -> Player | None:
    """Return *source* if it plays; None if time advances by itself."""
    return source if isinstance(source, ReplaySource) else None


def history_of(source: Source) -> History | None:
    """Return the history of *source*, which is bounded; None for a file."""
    return source.history if isinstance(source, HistorySource) else None


def damage_of(source: Source) -> ReadErrors | None:
    """Return what could not be read of *source*; None if it was not recorded or sent."""
    inner = source.source if isinstance(source, HistorySource) else source
    return inner.damage if isinstance(inner, RecordedSource) else None


def editor_of(source: Source) -> FileEditor | None:
    """Return what changes the file that *source* runs; None if it runs none, or only shows what ran."""
    inner = source.source if isinstance(source, HistorySource) else source
    return inner if isinstance(inner, FileEditor) and inner.live else None


def own_programs_of(source: Source) -> OwnPrograms | None:
    """Return what tells which programs *source* has loaded into the kernel; None if it does not read the kernel."""
    inner = source.source if isinstance(source, HistorySource) else source
    return inner if isinstance(inner, OwnPrograms) else None


def line_counter_of(source: Source) -> LineCounter | None:
    """Return what counts the lines of the file that *source* runs; None if it cannot."""
    inner = source.source if isinstance(source, HistorySource) else source
    return inner if isinstance(inner, LineCounter) and inner.live else None


def comes_through_pipe(source: Source) -> bool:
    """Return whether another machine, or another ebpftop, sends the records."""
    from ebpftop.sources.pipe import PipeSource

    return isinstance(source, HistorySource) and isinstance(source.source, PipeSource)


def opener_of(source: Source) -> FileOpener | None:
    """Return what runs another file instead of that of *source*; None if it cannot."""
    inner = source.source if isinstance(source, HistorySource) else source
    return inner if isinstance(inner, FileOpener) and inner.live else None
