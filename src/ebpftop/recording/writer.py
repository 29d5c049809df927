"""Write a recording. A crash loses at most its last second, a full disk only what does not fit."""

from __future__ import annotations

import contextlib
import os
import pwd
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from ebpftop.core.format import counted
from ebpftop.core.records import End, Header, Record, TableReading
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.helpers import open_null
from ebpftop.recording import zstd_frames
from ebpftop.recording.new_file import FULL, UnfinishedFile, create_file, error_text
from ebpftop.recording.readings import ReadingEncoder

FLUSH_S = 0.5
# If the disk stalls, `write` blocks at this point. Events that the kernel then drops are counted as lost.
MAX_PENDING_BYTES = 16 << 20
# A reader unpacks a whole frame to find a moment in it: half a megabyte takes less than a millisecond.
_FRAME_BYTES = 512 << 10
# Kept free on a full disk for the `End` record, which has the reason why the recording ended.
_END_BYTES = 512
_ROOM = "make room or record elsewhere"


class RecordingWriter:
    """A new file of records: JSON Lines, or zstd frames of them if the name ends in ``.zst``.

    Every half second its own thread writes the pending records as whole lines (and whole frames), and syncs them to the
    disk. So a slow disk delays this thread, and not the reading of the kernel's buffers. The next `write` or `close`
    raises an error of the disk as SourceError, once.
    """

    def __init__(
        self,
        path: str,
        *,
        replace: bool = False,
        is_copy: bool = False,
        host_field: str | None = None,
        fd: int | None = None,
    ) -> None:
        """Create *path*; SourceError if it exists (and not *replace*), is a link, or cannot be created.

        The first record must be the header. *is_copy*: the records are a copy, so records that do not fit are not lost,
        and the file has its name only once it is closed. *host_field*: the name of the host is in every record.
        *fd*: the file was created, and is now owned here.
        """
        self._copy = UnfinishedFile(path, replace) if is_copy else None
        self.path = path
        self.bytes_written = 0
        self._lines = 0
        self._compressed = path.endswith(".zst")
        if fd is None:
            fd = create_file(path, replace) if self._copy is None else self._copy.fd
        self._fd = fd
        # With the descriptor of the folder instead of the path, `discard` can only remove this file.
        self._folder_fd = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._taken = threading.Condition(self._lock)
        self._error: OSError | None = None
        self._lost_records = 0
        self._error_reported = False
        self._stop = threading.Event()
        self._last_time = 0.0
        self._encoder = ReadingEncoder(host_field)
        # The first record starts it: a thread keeps the privileges of the moment of its start.
        self._thread: threading.Thread | None = None

    @property
    def records(self) -> int:
        """Records in the file, its header and end not counted."""
        return max(0, self._lines - 1)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copy is not None and kind is not None and not issubclass(kind, SourceError):
            self.discard()
        else:
            self.close("failed" if kind else "")

    def begin(self, records: Iterable[Record]) -> None:
        """Write the header and what held before, at once; if that fails, close, and raise SourceError."""
        try:
            self._put(self._lines_of(records))
        except OSError as error:
            os.close(self._fd)
            os.close(self._folder_fd)
            raise SourceError(f"{self.path}: {error_text(error)}", _ROOM if error.errno in FULL else "") from error

    def last_readings(self) -> list[TableReading]:
        """Return the last reading of each kind, whole."""
        return self._encoder.last_readings()

    def write(self, records: Iterable[Record]) -> None:
        """Add *records*; they are in the file within a second. SourceError if the disk no longer accepts them."""
        lines = self._lines_of(records)
        size = sum(map(len, lines))
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_now_and_then, name="recording-writer", daemon=True)
                self._thread.start()
            self._taken.wait_for(lambda: self._pending_bytes < MAX_PENDING_BYTES or self._error is not None)
            if self._error is None:
                self._pending += lines
                self._pending_bytes += size
            else:
                self._lost_records += len(lines)
        self._report_error()

    def _lines_of(self, records: Iterable[Record]) -> list[bytes]:
        lines = []
        for record in records:
            lines.append(self._encoder.encode(record) + b"\n")
            time = record.started if isinstance(record, Header) else record.time
            self._last_time = max(self._last_time, time)
        return lines

    def close(self, reason: str = "") -> None:
        """Write what is pending and an `End` record with *reason*, and close. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()
        if self._error is not None:
            reason = error_text(self._error)
        end = End(time=self._last_time, records=self.records, reason=reason)
        try:
            # On a full disk room was kept for this. If another program has used it, that is not an error here.
            self._put([self._encoder.encode(end) + b"\n"])
            self._lines -= 1
            os.fdatasync(self._fd)
        except OSError as error:
            self._error = self._error or error
        finally:
            os.close(self._folder_fd)
            if self._copy is None:
                os.close(self._fd)
            else:
                self._copy.publish()
        self._report_error()

    def discard(self) -> None:
        """Close, and remove the file: the recording did not start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._copy is None:
            self.discard_now()
            os.close(self._fd)
        else:
            self._copy.remove()
        os.close(self._folder_fd)

    def discard_now(self) -> None:
        """Remove the file without waiting."""
        with contextlib.suppress(OSError):
            name = os.path.basename(self.path)
            found = os.stat(name, dir_fd=self._folder_fd, follow_symlinks=False)
            if os.path.samestat(found, os.fstat(self._fd)):
                os.unlink(name, dir_fd=self._folder_fd)

    def abandon(self) -> None:
        """Leave the file as it is, cut after the last whole record. For the end of the process: it does not wait.

        From then on, what another thread writes is discarded.
        """
        fd = os.dup(self._fd)
        null_fd = open_null()
        os.dup2(null_fd, self._fd)
        os.close(null_fd)
        # A write that has already begun is complete when this returns.
        os.ftruncate(fd, self.bytes_written)
        os.close(fd)

    def _report_error(self) -> None:
        if self._error is None or self._error_reported:
            return
        self._error_reported = True
        lost = self._lost_records - (self._lines == 0)  # the header does not count
        raise SourceError(
            f"{self.path}: {error_text(self._error)} after {counted(self.records, 'record', whole=True)}; "
            + (f"{counted(lost, 'later record', whole=True)} lost, " if lost and self._copy is None else "")
            + ("what is in it can be replayed" if self.records else "there is nothing in it to replay"),
            _ROOM if self._error.errno in FULL else "",
        ) from self._error

    def _flush_now_and_then(self) -> None:
        due = time.monotonic() + FLUSH_S
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = time.monotonic() + FLUSH_S
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            if self._error is not None:
                return
            lines, self._pending, self._pending_bytes = self._pending, [], 0
            self._taken.notify_all()
        if not lines:
            return
        before = self._lines
        try:
            self._put(lines)
            os.fdatasync(self._fd)
        except OSError as error:
            with self._lock:
                self._error = error
                self._lost_records += len(lines) - (self._lines - before) + len(self._pending)
                self._pending, self._pending_bytes = [], 0
                self._taken.notify_all()

    def _put(self, lines: list[bytes]) -> None:
        if not self._compressed:
            self._put_whole(lines)
            return
        begin = size = 0
        for end, line in enumerate(lines, start=1):
            size += len(line)
            if size >= _FRAME_BYTES or end == len(lines):
                self._put_whole(lines[begin:end])
                begin, size = end, 0

    def _put_whole(self, lines: list[bytes], spare_bytes: int = 0) -> None:
        """Write *lines*, as one frame in a compressed file. If not all fit, write as many as fit, and raise OSError.

        At least *spare_bytes* are kept free behind them.
        """
        data = b"".join(lines)
        if self._compressed:
            data = zstd_frames.pack(data, len(lines))
        rest = memoryview(data + bytes(spare_bytes))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            # Half a frame or half a line is useless: cut the file after the last whole one.
            self._end_file_at(self.bytes_written)
            if error.errno not in FULL or len(lines) == 1:
                raise
        else:
            self.bytes_written += len(data)
            self._lines += len(lines)
            if spare_bytes:
                self._end_file_at(self.bytes_written)
            return
        middle = len(lines) // 2
        self._put_whole(lines[:middle], _END_BYTES)
        self._put_whole(lines[middle:], _END_BYTES)

    def _end_file_at(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)


def home() -> str:
    """Return the home folder of the user behind sudo, or of the current user."""
    from ebpftop.lifecycle.invoker import invoker

    user, folder = invoker(), os.path.expanduser("~")
    try:
        # After we became the user behind sudo, HOME may still be root's.
        if user is None and os.stat(folder).st_uid == os.geteuid():
            return folder
        return pwd.getpwuid(os.geteuid() if user is None else user.uid).pw_dir
    except (KeyError, OSError):
        return folder


def fallback_folder() -> str:
    """Return the folder to use if the current folder is not writable: the home folder, else one where all may write.

    After root was given up, the user may be nobody, whose home does not exist.
    """
    places = (home(), os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp")
    return next((place for place in places if os.path.isabs(place) and _is_writable(place)), places[0])


def _is_writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def writable_folder() -> str | None:
    """Return the current folder; None if it was deleted, or if we may not write there.

    Under sudo we have become the user behind it, who may have started us in any folder.
    """
    try:
        folder = os.getcwd()
    except OSError:
        return None
    return folder if _is_writable(folder) else None


def expand_home(path: str) -> str:
    """Return *path* with a leading ~ expanded as in a shell of the user behind sudo."""
    if path == "~" or path.startswith("~/"):
        return home() + path[1:]
    return os.path.expanduser(path)
