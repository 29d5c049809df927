"""`ebpftop record FILE`: records into a file that `ebpftop replay` shows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ebpftop.commands.stream import ends_by_signal, pump
from ebpftop.commands.watching import NO_PRIVILEGE, open_kernel, refused
from ebpftop.kernel.quiet import hush
from ebpftop.recording import RecordingWriter
from ebpftop.records import Lost, Probe, Record
from ebpftop.source import SourceError


def run(args: argparse.Namespace) -> int:
    """Record until told to stop."""
    if refused():
        return NO_PRIVILEGE
    hush()
    with ends_by_signal() as ended:
        # The file first: a name that cannot be written should not cost the time it takes to attach.
        writer = RecordingWriter(args.file, replace=args.force)
        try:
            source = open_kernel(args)
        except (SourceError, KeyboardInterrupt):
            writer.discard()
            raise
        lost: dict[tuple[str, str], int] = {}

        def sink(records: Sequence[Record]) -> None:
            for record in records:
                if isinstance(record, Probe) and record.state == "failed":
                    _say("; ".join(filter(None, (f"{record.probe} is not recorded: {record.reason}", record.remedy))))
                elif isinstance(record, Lost):
                    lost[record.probe, record.where] = record.count
            writer.write(records)

        try:
            status = pump(source, sink, args.duration, ended)
        finally:
            source.close()
            writer.close()
    _say(
        f"{writer.records:,} records in {args.file}, {writer.bytes_written / 1e6:,.1f} MB"
        + "".join(f"; {count:,} {probe} lost ({where})" for (probe, where), count in lost.items())
    )
    return status


def _say(text: str) -> None:
    sys.stderr.write(f"ebpftop: {text}\n")
