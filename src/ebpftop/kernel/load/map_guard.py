"""How large maps may be: decided before the kernel makes them.

BCC makes the maps of a file while it compiles, and one of them may take all memory of the machine. So the thread that
compiles has a seccomp filter that lets another thread of the process decide about each (seccomp_unotify(2), Linux 5.5).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import select
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.load.maps import memory_bytes

# The architecture of include/uapi/linux/audit.h; the numbers of seccomp(2) and bpf(2).
_ARCH, _SYS_SECCOMP, _SYS_BPF = {
    "x86_64": (0xC000003E, 317, 321),
    "aarch64": (0xC00000B7, 277, 280),
}[platform.machine()]
# include/uapi/linux/seccomp.h
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_CONTINUE = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; struct seccomp_data: nr, arch, instruction, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, val, error, flags
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_MAP_CREATE = 0
_MAP = struct.Struct("=5I")  # union bpf_attr: map_type, key_size, value_size, max_entries, map_flags
_NAME_AT, _NAME_BYTES = 28, 16

# Classic BPF (Documentation/networking/filter.rst): load a word of seccomp_data, jump if equal, return.
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_PROGRAM = (
    (_LOAD, 0, 0, 4),
    (_EQUAL, 0, 5, _ARCH),
    (_LOAD, 0, 0, 0),
    (_EQUAL, 0, 3, _SYS_BPF),
    (_LOAD, 0, 0, 16),
    (_EQUAL, 0, 1, _MAP_CREATE),
    (_RETURN, 0, 0, _RET_USER_NOTIF),
    (_RETURN, 0, 0, _RET_ALLOW),
)
_INSTRUCTION = struct.Struct("=HBBI")

_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


class MapGuard(Generic[_Result]):
    """Calls something in a thread whose maps may take so much memory and no more."""

    def __init__(self, work: Callable[[], _Result], bytes_max: int) -> None:
        """*bytes_max* is for all maps together."""
        self._work = work
        self._left = bytes_max
        self._listener: int | None = None
        self._result: _Result | None = None
        self._error: BaseException | None = None
        self.refused: tuple[str, int] | None = None
        """Name and size of the first map that was refused. The kernel cuts names to 15 bytes."""

    def call(self) -> _Result:
        """Return what the work returns; raises what it raises. If the kernel has no such filters, all maps are made."""
        started_fd, wake_fd = os.pipe()
        thread = threading.Thread(target=self._run, args=(wake_fd,), name="compiles", daemon=True)
        thread.start()
        try:
            os.read(started_fd, 1)
            if self._listener is not None:
                self._decide(self._listener, started_fd)
            thread.join()
        finally:
            for fd in (started_fd, wake_fd, self._listener):
                if fd is not None:
                    os.close(fd)
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # it is set unless there was an error

    def _run(self, wake_fd: int) -> None:
        try:
            self._listener = _listen()
            os.write(wake_fd, b".")
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001  # raised by `call`
            self._error = error
        os.write(wake_fd, b".")

    def _decide(self, listener: int, done_fd: int) -> None:
        """Answer for each map until the work is done."""
        waiting = select.poll()
        for fd in (listener, done_fd):
            waiting.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in waiting.poll()}
            if done_fd in ready:
                return
            notification = ctypes.create_string_buffer(_NOTIFICATION.size)
            if _libc.ioctl(listener, ctypes.c_ulong(_RECEIVE), notification) != 0:
                continue  # it was interrupted, or the thread has ended
            number, *_, _command, address, size, _, _, _ = _NOTIFICATION.unpack(notification.raw)
            # The memory of that thread is ours. It waits, so nobody changes it.
            allowed = self._is_allowed(ctypes.string_at(address, min(size, _NAME_AT + _NAME_BYTES)))
            answer = _RESPONSE.pack(number, 0, 0 if allowed else -errno.E2BIG, _CONTINUE if allowed else 0)
            _libc.ioctl(listener, ctypes.c_ulong(_SEND), ctypes.create_string_buffer(answer, len(answer)))

    def _is_allowed(self, attr: bytes) -> bool:
        kind, key_size, value_size, entries, flags = _MAP.unpack(attr[: _MAP.size].ljust(_MAP.size, b"\0"))
        size = memory_bytes(MapInfo(kind, key_size, value_size, entries, flags))
        if size > self._left:
            name = attr[_NAME_AT : _NAME_AT + _NAME_BYTES].split(b"\0")[0].decode("utf-8", "replace")
            self.refused = self.refused or (name, size)
            return False
        self._left -= size
        return True


def _listen() -> int | None:
    """Set the filter for this thread; return the descriptor of its notifications, None if the kernel refuses."""
    code = b"".join(_INSTRUCTION.pack(*one) for one in _PROGRAM)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("=H6xQ", len(_PROGRAM), ctypes.addressof(buffer)))
    with suppress(OSError):
        fd = int(_libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, program))
        return fd if fd >= 0 else None
    return None
