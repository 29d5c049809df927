"""Probes of the registry, of which some are other packages': what these return is not trusted."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.record_lines import encode
from ebpftop.core.records import ProbeName, Record
from ebpftop.probes.base import Context, KernelProbe, UnusableProbe
from ebpftop.probes.registry import ProbeRow, load, registry
from ebpftop.recording.parse import read_line


def probe_of(row: ProbeRow, context: Context) -> KernelProbe:
    """Return the probe of a row; one that cannot start if it is somebody else's, and is broken."""
    try:
        assert row.probe is not None
        kind = load(row.probe)
        if not (isinstance(kind, type) and issubclass(kind, KernelProbe)):
            raise TypeError(f"{row.probe} is not a KernelProbe")
        probe = kind(context)
    except Exception as error:
        if row.name not in registry().plugins:
            raise
        probe = UnusableProbe(context, f"{type(error).__name__}: {error}")
    probe.name = row.name
    return probe


def checked_records(name: ProbeName, records: Iterable[Record]) -> list[Record]:
    """Return the *records* of a probe; those of another package are checked and made safe, as in a recording."""
    if name not in registry().plugins:
        return list(records)
    checked = []
    for record in records:
        if registry().types.get(type(record)) != name:  # type: ignore[arg-type]  # whatever it returned
            raise TypeError(f"{type(record).__name__} is not a record of the probe {name}")
        checked.append(read_line(encode(record)))
    return checked
