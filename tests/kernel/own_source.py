"""A live source in the test's own process, read when it suits the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from ebpftop.core.records import Record
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options

Kind = TypeVar("Kind", bound=Record)


class OwnSource:
    """A source, and all records of it so far."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source
        self.records: list[Record] = []

    def poll(self) -> None:
        """Read all that there is now."""
        self.records += [record for batch in self.source.read_all() for record in batch.records]

    def last(self, kind: type[Kind]) -> Kind:
        """Return the last record of a kind."""
        return next(record for record in reversed(self.records) if isinstance(record, kind))

    def now(self, kind: type[Kind]) -> Kind:
        """Return the record of a kind as it is now."""
        self.poll()
        return self.last(kind)


AnySource = TypeVar("AnySource", bound=OwnSource)


@contextmanager
def opened(kind: type[AnySource], **options: object) -> Iterator[AnySource]:
    """Open a source with *options*, of which all probes must be attached."""
    source = KernelSource(Options(**options))  # type: ignore[arg-type]  # of any field
    try:
        assert not source.failed
        yield kind(source)
    finally:
        source.close()
