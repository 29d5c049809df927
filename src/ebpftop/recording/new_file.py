"""New files: created for their owner only, never through a link; and those that have their name only when whole."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat

from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.process import process

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def error_text(error: OSError) -> str:
    return error.strerror or str(error)


_NUMBERS = itertools.count(1)
"""One process may write several files at a time, in one thread or in more."""


def create_file(path: str, replace: bool, told: str = "") -> int:
    """Return a descriptor of the new file *path*, readable by its owner only: command lines contain secrets.

    If it cannot be created, the file is told as *told*.

    SourceError if it exists (and not *replace*), is a link, or cannot be created.

    It is created with our current rights: under sudo those of the user behind it (lifecycle/invoker.py). It is never
    created through a link, and *path* is never a device or a pipe.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if replace:
            _remove_old(path)
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        raise _exists(told or path) from None
    except PermissionError as error:
        raise SourceError(
            f"cannot create {told or path}: {error_text(error)}",
            f"files are written with the rights of user {os.geteuid()}: name a folder where that user may write",
        ) from error
    except OSError as error:
        raise SourceError(f"cannot create {told or path}: {error_text(error)}") from error
    return fd


class UnfinishedFile:
    """A new file that gets its name when it is whole. If the process ends before, it is removed, which is said.

    SourceError if *path* exists (and not *replace*), is a link, or cannot be created.
    """

    def __init__(self, path: str, replace: bool) -> None:
        self._path = path
        self._replace = replace
        folder, self._name = os.path.split(path)
        if replace:
            _check_regular(path)
        elif os.path.lexists(path):
            raise _exists(path)
        self._part = f".ebpftop-{os.getpid()}-{next(_NUMBERS)}.part"
        self.fd = create_file(os.path.join(folder, self._part), replace=False, told=path)
        self._folder_fd = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._at_last = contextlib.ExitStack()
        self._at_last.enter_context(process.undone_at_last(self._undo))

    def publish(self) -> None:
        """Close it, and give it its name. SourceError if there is such a file by now."""
        folder = self._folder_fd
        try:
            if self._replace:
                _check_regular(self._path)
                os.rename(self._part, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                self._name_anew()
        except FileExistsError:
            raise _exists(self._path) from None
        except OSError as error:
            raise SourceError(f"cannot create {self._path}: {error_text(error)}") from error
        finally:
            self.remove()

    def remove(self) -> None:
        """Close it, and remove what has no name yet."""
        self._at_last.close()
        with contextlib.suppress(OSError):
            os.unlink(self._part, dir_fd=self._folder_fd)
        os.close(self.fd)
        os.close(self._folder_fd)

    def _name_anew(self) -> None:
        folder = self._folder_fd
        try:
            os.link(self._part, self._name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            # A file system without hard links, as that of a memory stick.
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            if os.path.lexists(self._path):
                raise FileExistsError from error
            os.rename(self._part, self._name, src_dir_fd=folder, dst_dir_fd=folder)

    def _undo(self) -> str:
        with contextlib.suppress(OSError):
            os.unlink(self._part, dir_fd=self._folder_fd)
        return f"{printable(self._path)} was not saved: the end came before it was whole"


def _exists(path: str) -> SourceError:
    return SourceError(f"{path} exists", "give another name, or --force to replace it")


def _check_regular(path: str) -> None:
    """Raise SourceError if there is something else than a file at *path*."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is not a regular file", "give another name")


def _remove_old(path: str) -> None:
    _check_regular(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
