"""Write a recording that a crash shortens by a second at most, and a full disk by what does not fit."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from ebpftop.core.records import End, Header, Record, encode
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.helpers import open_null
from ebpftop.recording import zstd_frames

FLUSH_S = 0.5
# A disk that stalls holds up the writer at this point; what the kernel side then drops, it counts as lost.
MAX_PENDING_BYTES = 16 << 20
# A reader unpacks whole frames to find a moment in one: half a megabyte takes it less than a millisecond.
_FRAME_BYTES = 512 << 10
# Left free on a disk that fills up, for the `End` record: it tells a later reader why the recording ended.
_END_BYTES = 512


class RecordingWriter:
    """A new file of records, JSON Lines, or zstd frames of them where the name ends in ``.zst``.

    A thread of its own writes what is pending every half second as whole lines (and whole frames), and asks the disk to
    keep it, so that a sick disk delays this thread and not the kernel's buffers. An error of the disk comes out of the
    next `write` or of `close`, as SourceError, once.
    """

    def __init__(self, path: str, *, replace: bool = False, is_copy: bool = False) -> None:
        """Create *path*; SourceError where it exists (and not *replace*), is a link, or cannot be created.

        The first record written has to be the header. What does not fit into a copy is not lost: *is_copy*.
        """
        self._is_copy = is_copy
        self.path = path
        self.bytes_written = 0
        self._lines = 0
        self._compressed = path.endswith(".zst")
        self._fd = create_file(path, replace)
        # By its folder and not by its path, what is removed again can only be this file.
        self._folder_fd = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._taken = threading.Condition(self._lock)
        self._error: OSError | None = None
        self._lost_records = 0
        self._told = False
        self._stop = threading.Event()
        self._last_time = 0.0
        # Started by the first record: a thread has the privileges of the moment at which it was started.
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
        self.close("failed" if kind else "")

    def write(self, records: Iterable[Record]) -> None:
        """Add *records*; they are in the file within a second. SourceError where the disk no longer takes them."""
        lines = []
        for record in records:
            lines.append(encode(record) + b"\n")
            time = record.started if isinstance(record, Header) else record.time
            self._last_time = max(self._last_time, time)
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
        self._tell()

    def close(self, reason: str = "") -> None:
        """Write what is pending and an `End` record with *reason*, and close. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()
        if self._error is not None:
            reason = _say(self._error)
        end = End(time=self._last_time, records=self.records, reason=reason)
        try:
            # On a full disk room was left for this, which somebody else may have taken: no error if so.
            self._put([encode(end) + b"\n"])
            self._lines -= 1
            os.fdatasync(self._fd)
        except OSError as error:
            self._error = self._error or error
        finally:
            os.close(self._fd)
            os.close(self._folder_fd)
        self._tell()

    def discard(self) -> None:
        """Close, and remove the file again: nothing came of it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.discard_now()
        os.close(self._fd)
        os.close(self._folder_fd)

    def discard_now(self) -> None:
        """Remove the file, and wait for nobody."""
        with contextlib.suppress(OSError):
            name = os.path.basename(self.path)
            found = os.stat(name, dir_fd=self._folder_fd, follow_symlinks=False)
            if os.path.samestat(found, os.fstat(self._fd)):
                os.unlink(name, dir_fd=self._folder_fd)

    def abandon(self) -> None:
        """Leave the file as it is, cut after the last whole record. For the end of the process: nothing is waited for.

        From then on, what another thread writes goes nowhere.
        """
        fd = os.dup(self._fd)
        null_fd = open_null()
        os.dup2(null_fd, self._fd)
        os.close(null_fd)
        # A write that has begun is over when this returns.
        os.ftruncate(fd, self.bytes_written)
        os.close(fd)

    def _tell(self) -> None:
        if self._error is None or self._told:
            return
        self._told = True
        lost = self._lost_records - (self._lines == 0)  # the header is none
        raise SourceError(
            f"{self.path}: {_say(self._error)} after {_counted(self.records, 'record')}; "
            + (f"{_counted(lost, 'later record')} lost, " if lost and not self._is_copy else "")
            + ("what is in it can be replayed" if self.records else "there is nothing in it to replay"),
            "make room or record elsewhere" if self._error.errno in _FULL else "",
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
        """Write *lines*, as one frame if frames are written; if they do not all fit, as many as do, and raise OSError.

        So many *spare_bytes* are free behind them.
        """
        data = b"".join(lines)
        if self._compressed:
            data = zstd_frames.pack(data, len(lines))
        rest = memoryview(data + bytes(spare_bytes))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            # Half a frame or half a line is no use to anybody: end the file where the last whole one ended.
            self._end_file_at(self.bytes_written)
            if error.errno not in _FULL or len(lines) == 1:
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


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _say(error: OSError) -> str:
    return error.strerror or str(error)


def create_file(path: str, replace: bool) -> int:
    """Return a descriptor of the new file *path*, readable by its owner only: command lines carry secrets.

    SourceError where it exists (and not *replace*), is a link, or cannot be created.

    It is made with the rights that we have: under sudo those of the user behind it (lifecycle/invoker.py). The name
    is never followed through a link, and never a device or a pipe.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if replace:
            _remove_old(path)
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        raise SourceError(f"{path} exists", "give another name, or --force to replace it") from None
    except PermissionError as error:
        raise SourceError(
            f"cannot create {path}: {_say(error)}",
            f"files are written with the rights of user {os.geteuid()}: name a folder where that user may write",
        ) from error
    except OSError as error:
        raise SourceError(f"cannot create {path}: {_say(error)}") from error
    return fd


def home() -> str:
    """Return the home folder of the user behind sudo, or of the one who runs this."""
    from ebpftop.lifecycle.invoker import invoker

    user, folder = invoker(), os.path.expanduser("~")
    try:
        # Once we are the user behind sudo, HOME may still be root's.
        if user is None and os.stat(folder).st_uid == os.geteuid():
            return folder
        return pwd.getpwuid(os.geteuid() if user is None else user.uid).pw_dir
    except (KeyError, OSError):
        return folder


def other_folder() -> str:
    """Return where to save instead of in the folder that relative paths begin at: at home, else where all may write.

    Who gave up being root is nobody, whose home does not exist.
    """
    places = (home(), os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp")
    return next((place for place in places if os.path.isabs(place) and _is_writable(place)), places[0])


def _is_writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def writable_folder() -> str | None:
    """Return the folder that relative paths begin at; None if it was deleted, or if we may not write there.

    Under sudo we have become the user behind it, who may have started us anywhere.
    """
    try:
        folder = os.getcwd()
    except OSError:
        return None
    return folder if _is_writable(folder) else None


def expand_home(path: str) -> str:
    """Return *path* with a leading ~ replaced as a shell of the user behind sudo does."""
    if path == "~" or path.startswith("~/"):
        return home() + path[1:]
    return os.path.expanduser(path)


def _remove_old(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is no regular file", "give another name")
    os.unlink(path)


def _counted(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"
