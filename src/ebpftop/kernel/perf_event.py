"""perf_event_open(2): programs at tracepoints and kprobes, and the buffer of a CPU that programs write to."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
from pathlib import Path

from ebpftop.kernel.barrier import fence, shared_words

_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[platform.machine()]
# include/uapi/linux/perf_event.h
_TYPE_SOFTWARE, _TYPE_TRACEPOINT = 1, 2
_BPF_OUTPUT = 10
_SAMPLE_RAW = 1 << 10
_FD_CLOEXEC = 8
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408
# The part of struct perf_event_attr that is used: type, size, config, sample_period, sample_type, read_format, flags,
# wakeup_events, bp_type, config1 (of a kprobe: the address of its function's name), config2.
_ATTR = struct.Struct("=IIQQQQQIIQQ40x")

_KPROBES = Path("/sys/bus/event_source/devices/kprobe")
KPROBE_TYPE = _KPROBES / "type"

_ONLINE = Path("/sys/devices/system/cpu/online")

_libc = ctypes.CDLL(None, use_errno=True)


def online_cpus() -> list[int]:
    """Return the CPUs that are online: "0-3,6" (Documentation/admin-guide/cputopology.rst)."""
    found: list[int] = []
    for part in _ONLINE.read_text().strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _open(kind: int, config: int, cpu: int, *, sample_type: int = 0, wakeup_events: int = 1, config1: int = 0) -> int:
    attr = ctypes.create_string_buffer(
        _ATTR.pack(kind, _ATTR.size, config, 1, sample_type, 0, 0, wakeup_events, 0, config1, 0), _ATTR.size
    )
    fd = int(_libc.syscall(_SYS_PERF_EVENT_OPEN, attr, -1, cpu, -1, ctypes.c_ulong(_FD_CLOEXEC)))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def _with_program(fd: int, program_fd: int) -> int:
    """Let the program run at each event of *fd*, on every CPU; return *fd*, which is closed if that is refused."""
    try:
        fcntl.ioctl(fd, _IOC_SET_BPF, program_fd)
        fcntl.ioctl(fd, _IOC_ENABLE, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def attach_tracepoint(program_fd: int, tracefs: Path | None, name: str) -> int:
    """Attach a program to the tracepoint "category:name"; return the link's descriptor. Raises OSError."""
    if tracefs is None:
        raise FileNotFoundError(errno.ENOENT, "tracefs is not mounted")
    number = int((tracefs / "events" / name.replace(":", "/") / "id").read_text())
    return _with_program(_open(_TYPE_TRACEPOINT, number, online_cpus()[0]), program_fd)


def attach_kprobe(program_fd: int, function: str, *, returns: bool) -> int:
    """Attach a program to the entry of a kernel function, or to its return; return the link's descriptor.

    Raises OSError. Nothing has a name in tracefs: the kprobe ends with its descriptor (Linux 4.17).
    """
    kind = int(KPROBE_TYPE.read_text())
    bit = int((_KPROBES / "format/retprobe").read_text().strip().removeprefix("config:")) if returns else 0
    name = ctypes.create_string_buffer(function.encode())
    return _with_program(_open(kind, int(returns) << bit, online_cpus()[0], config1=ctypes.addressof(name)), program_fd)


class CpuBuffer:
    """The buffer that programs on one CPU write to, mapped. The kernel wakes nobody: read it on a timer."""

    _HEADER = struct.Struct("=IHH")  # struct perf_event_header: type, misc, size
    _SAMPLE = 9  # PERF_RECORD_SAMPLE: a u32 with the size of the data follows
    _DATA_HEAD, _DATA_TAIL = 1024 // 8, 1032 // 8  # struct perf_event_mmap_page, in words

    def __init__(self, cpu: int, pages: int) -> None:
        """*pages*: a power of two. Raises OSError."""
        self._size = pages * mmap.PAGESIZE
        self.fullest = 0
        """The most bytes that ever waited."""
        self._map: mmap.mmap | None = None
        self.fd = _open(_TYPE_SOFTWARE, _BPF_OUTPUT, cpu, sample_type=_SAMPLE_RAW, wakeup_events=1 << 20)
        """For the map that leads programs to it."""
        try:
            self._map = mmap.mmap(self.fd, mmap.PAGESIZE + self._size)
            fcntl.ioctl(self.fd, _IOC_ENABLE, 0)
        except OSError:
            self.close()
            raise

    def read(self) -> list[bytes]:
        """Return what was written since the last call, oldest first."""
        buffer = self._map
        assert buffer is not None
        with shared_words(buffer) as words:
            head, tail = words[self._DATA_HEAD], words[self._DATA_TAIL]
        self.fullest = max(self.fullest, head - tail)
        fence()
        data = self._between(buffer, tail, head)
        found, at = [], 0
        while at < len(data):
            kind, _, size = self._HEADER.unpack_from(data, at)
            if size < self._HEADER.size:  # never; it would not end
                break
            if kind == self._SAMPLE:
                (length,) = struct.unpack_from("=I", data, at + self._HEADER.size)
                start = at + self._HEADER.size + 4
                found.append(data[start : start + length])
            at += size
        fence()
        with shared_words(buffer) as words:
            words[self._DATA_TAIL] = head
        return found

    def _between(self, buffer: mmap.mmap, tail: int, head: int) -> bytes:
        begin, length = tail % self._size, head - tail
        first = min(length, self._size - begin)
        at = mmap.PAGESIZE + begin
        return buffer[at : at + first] + buffer[mmap.PAGESIZE : mmap.PAGESIZE + length - first]

    def close(self) -> None:
        """Unmap and close it. Safe to call twice."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
