"""`ebpftop record FILE`: write records into a file that `ebpftop replay` shows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ebpftop.commands.delivered import Delivered
from ebpftop.commands.kernel_options import (
    NO_PRIVILEGE,
    check_machine,
    host_name,
    open_kernel,
    options_of,
    refused,
    report_failed,
    root_work,
)
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.commands.stream import pump
from ebpftop.commands.when import When, runner_of
from ebpftop.core.format import counted, size
from ebpftop.core.records import Record
from ebpftop.core.source import SourceError, UsageError
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.lifecycle.limits import WITHOUT_SCREEN
from ebpftop.lifecycle.process import process
from ebpftop.lifecycle.stdio import report
from ebpftop.recording import RecordingWriter
from ebpftop.recording.rotation import RotatingWriter, Rotation


def _writer(args: argparse.Namespace) -> RecordingWriter | RotatingWriter:
    """Create the file, or its first part. Raises UsageError for options that do not go together."""
    host_field = host_name(args) if args.host_field else None
    if args.rotate is None:
        if args.keep_parts is not None:
            raise UsageError("--keep is for parts", "add --rotate 100MB, or 1h")
        return RecordingWriter(args.file, replace=args.force, host_field=host_field)
    if args.force:
        raise UsageError("--force: parts have names of their own, and replace nothing", "leave it out")
    size_bytes, seconds = args.rotate
    rotation = Rotation(size_bytes, seconds, args.keep_parts)
    return RotatingWriter(args.file, rotation, report, host_field=host_field)


def run(args: argparse.Namespace) -> int:
    """Record until asked to stop."""
    check_machine(WITHOUT_SCREEN)
    if refused():
        return NO_PRIVILEGE
    runner = runner_of(args)
    redirect_stdio()
    when = When(args, runner) if args.when else None
    # The file first: if it cannot be created, fail before the slow attaching.
    with as_invoker():
        writer = _writer(args)

    def discard_now() -> None:
        with as_invoker():
            writer.discard_now()

    def discard() -> None:
        with as_invoker():
            writer.discard()

    with process.undone_at_last(discard_now):
        try:
            source = open_kernel(options_of(args), root_work(loads=args.load is not None))
        except BaseException:  # any error: an empty file is not a recording
            discard()
            raise
        if not report_failed(source):
            source.close()
            discard()
            return 1
        if isinstance(writer, RotatingWriter):
            try:
                writer.require_next()
            except SourceError:
                source.close()
                discard()
                raise
    delivered = Delivered()

    def sink(records: Sequence[Record]) -> None:
        if records:
            delivered.note(records)
            writer.write(records)

    def so_far() -> str:
        return f" {delivered.written_text(writer.records)}"

    process.end_by(lambda: None)  # `pump` sees it
    with process.undone_at_last(writer.abandon):
        try:
            try:
                status = pump(source, sink, args.duration, when, so_far)
            finally:
                source.close()
                writer.close()
        except SourceError as error:
            raise SourceError(f"{error.cause}{delivered.lost_text()}", error.remedy) from error
    place = writer.place if isinstance(writer, RotatingWriter) else args.file
    report(
        f"{counted(writer.records, 'record', whole=True)} in {place}, {size(writer.bytes_written)}"
        + delivered.lost_text()
    )
    return status
