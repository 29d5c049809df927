"""Record into parts: a new one after so many bytes or seconds, of which the newest are kept."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from ebpftop.core.format import counted
from ebpftop.core.records import Header, Record
from ebpftop.core.source import SourceError
from ebpftop.recording.lasting import Lasting
from ebpftop.recording.new_file import UnfinishedFile
from ebpftop.recording.parts import PartNames
from ebpftop.recording.writer import RecordingWriter


@dataclass(frozen=True, slots=True)
class Rotation:
    """When another part begins: after *size* bytes of a part, or *seconds* of it; and how many parts are kept."""

    size: int | None
    seconds: float | None
    keep: int | None = None


class RotatingWriter:
    """Writes as `RecordingWriter` does, and its parts, each but the first with what held when it began.

    A part has its name as soon as it can be read. Where one ends and the next one begins, each record is in one of
    them, in the order of writing. The old part is closed by another thread, so that its disk delays nothing.
    """

    def __init__(
        self, path: str, rotation: Rotation, report: Callable[[str], None], *, host_field: str | None = None
    ) -> None:
        """Create the first part of *path*; SourceError if that is not possible. *report* is told what goes wrong."""
        if os.path.lexists(path):
            raise SourceError(f"{path} exists", "its parts would be read by this name: give another one")
        self._names = PartNames(path)
        self._rotation = rotation
        self._report = report
        self._host_field = host_field
        self._count = 1
        """Parts that were begun."""
        self._header = Header()
        self._lasting = Lasting()
        self._last_time = 0.0
        self._begun_s = time.monotonic()
        self._begun_bytes = 0
        self._has_news = False
        """Whether the current part has more than it began with."""
        self._held = 0
        """Records of the current part that are in the one before, too."""
        self._closing: threading.Thread | None = None
        self._lock = threading.Lock()
        self._old: list[tuple[RecordingWriter, int]] = []
        """The part that is being closed, and its `_held`."""
        self._closed_records = self._closed_bytes = 0
        self._error: SourceError | None = None
        self._reason = ""
        self._cannot_remove = False
        existing = self._names.existing()
        self._name = self._names.next(time.time(), existing[-1] if existing else None)
        self._current = RecordingWriter(os.path.join(self._names.folder, self._name), host_field=host_field)

    @property
    def place(self) -> str:
        """Where it is: how many parts of which names."""
        return f"{counted(self._count, 'part')} {os.path.join(self._names.folder, self._names.glob)}"

    @property
    def records(self) -> int:
        """Records in all parts, each counted once."""
        with self._lock:
            open_ = (*self._old, (self._current, self._held))
            return self._closed_records + sum(max(0, part.records - held) for part, held in open_)

    @property
    def bytes_written(self) -> int:
        """Bytes of all parts, also of those that were removed."""
        with self._lock:
            return self._closed_bytes + sum(part.bytes_written for part, _ in (*self._old, (self._current, 0)))

    def require_next(self) -> None:
        """Raise SourceError if no further part could be created with the rights that we have now."""
        UnfinishedFile(os.path.join(self._names.folder, self._names.next(time.time(), self._name)), False).remove()

    def write(self, records: Iterable[Record]) -> None:
        """Add *records*, and begin another part if this one is full. SourceError if the disk no longer accepts them."""
        records = [
            msgspec.structs.replace(record, part=1, held=0) if isinstance(record, Header) else record
            for record in records
        ]
        self._current.write(records)
        for record in records:
            if isinstance(record, Header):
                self._header = record
            else:
                self._has_news = True
                self._lasting.follow(record)
                self._last_time = max(self._last_time, record.time)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._is_full():
            self._rotate()

    def close(self) -> None:
        """Write what is pending, and close."""
        if self._closing is not None:
            self._closing.join()
        self._current.close(self._reason)
        if self._error is not None:
            raise self._error

    def discard(self) -> None:
        """Close, and remove the file: the recording did not start."""
        self._current.discard()

    def discard_now(self) -> None:
        """Remove the file without waiting."""
        self._current.discard_now()

    def abandon(self) -> None:
        """Leave what is there, cut after the last whole record. For the end of the process: it does not wait."""
        self._current.abandon()

    def _is_full(self) -> bool:
        if not self._has_news:
            return False
        size, seconds = self._rotation.size, self._rotation.seconds
        # At least half of it is new, however much held when it began.
        if size is not None and self._current.bytes_written >= max(size, 2 * self._begun_bytes):
            return True
        return seconds is not None and time.monotonic() - self._begun_s >= seconds

    def _rotate(self) -> None:
        held = [*self._lasting.records(), *self._current.last_readings()]
        name = self._names.next(time.time(), self._name)
        path = os.path.join(self._names.folder, name)
        header = msgspec.structs.replace(self._header, begin=self._last_time, part=self._count + 1, held=len(held))
        try:
            file = UnfinishedFile(path, False)
            try:
                begun = RecordingWriter(path, host_field=self._host_field, fd=os.dup(file.fd))
                begun.begin([header, *held])
            except BaseException:
                file.remove()
                raise
            file.publish()
        except SourceError as error:
            # The part that is open is closed with this as its reason.
            self._reason = error.cause
            raise SourceError(f"no other part: {error.cause}", error.remedy) from error
        self._close_beside()
        self._current, self._name, self._held, self._count = begun, name, len(held), self._count + 1
        self._begun_s, self._begun_bytes, self._has_news = time.monotonic(), begun.bytes_written, False
        self._remove_oldest()

    def _close_beside(self) -> None:
        """Close the current part without waiting for its disk. One at a time: a disk that is too slow delays all."""
        if self._closing is not None:
            self._closing.join()
        old, held = self._current, self._held
        self._old.append((old, held))

        def close() -> None:
            try:
                old.close()
            except SourceError as error:
                self._error = error
            with self._lock:
                self._old.clear()
                self._closed_records += max(0, old.records - held)
                self._closed_bytes += old.bytes_written

        self._closing = threading.Thread(target=close, name="recording-part", daemon=True)
        self._closing.start()

    def _remove_oldest(self) -> None:
        if self._rotation.keep is None:
            return
        for name in self._names.existing()[: -self._rotation.keep]:
            try:
                os.unlink(os.path.join(self._names.folder, name))
            except OSError as error:
                if not self._cannot_remove:
                    self._report(f"cannot remove {name}: {error.strerror}; --keep {self._rotation.keep} does not hold")
                self._cannot_remove = True
