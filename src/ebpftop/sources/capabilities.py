"""What a source can do beyond `source.Source` when it remembers, or when it is a recording that plays."""

from __future__ import annotations

from typing import Protocol

from ebpftop.core.source import Source
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import History, HistorySource
from ebpftop.sources.replay import ReplaySource


class Player(Protocol):
    """A recording that plays: it can stand still, go faster, and go on elsewhere."""

    speed: float

    @property
    def position(self) -> float:
        """The moment being played, Unix seconds."""

    @property
    def finished(self) -> bool:
        """Whether the end was reached and everything polled."""

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on from where it stood."""

    def next_jump(self) -> int:
        """Return the number of a jump to come: the `Batch.jump` of what is played after it."""

    def jump(self, time: float, number: int) -> None:
        """Go on playing from *time*, unless a later jump took place. It may take as long as a disk does."""


def timeline_of(source: Source) -> Timeline | None:
    """Return the moments that *source* remembers; None where it remembers none."""
    return source.timeline if isinstance(source, (HistorySource, ReplaySource)) else None


def player_of(source: Source) -> Player | None:
    """Return what plays; None where time goes by itself."""
    return source if isinstance(source, ReplaySource) else None


def history_of(source: Source) -> History | None:
    """Return the memory whose bounds there are; None for a file, which has none."""
    return source.history if isinstance(source, HistorySource) else None


def comes_through_pipe(source: Source) -> bool:
    """Tell whether another machine, or another ebpftop, sends it."""
    from ebpftop.sources.pipe import PipeSource

    return isinstance(source, HistorySource) and isinstance(source.source, PipeSource)
