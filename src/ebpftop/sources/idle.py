"""A source of which nothing ever comes: what the panes have while no host of a fleet is open."""

from __future__ import annotations

from ebpftop import __version__
from ebpftop.core.records import SCHEMA, Header, ProbeName
from ebpftop.sources.recorded import RecordedSource


class IdleSource(RecordedSource):
    """A `source.Source` without probes, and without records."""

    reads_all = False
    live = True

    def __init__(self, host: str) -> None:
        super().__init__()
        self.header = Header(schema=SCHEMA, version=__version__, host=host)

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        return ()

    def _close_input(self) -> None:
        """There is none."""
