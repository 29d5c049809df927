"""perf_event_open(2): programs at tracepoints and kprobes, and the buffer of a CPU that programs write to."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from ebpftop.kernel.barrier import fence, shared_words

_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[platform.machine()]
# include/uapi/linux/perf_event.h
TYPE_HARDWARE, TYPE_SOFTWARE, _TYPE_TRACEPOINT = 0, 1, 2
_BPF_OUTPUT = 10
_SAMPLE_TIME, _SAMPLE_RAW = 1 << 2, 1 << 10
_BY_FREQUENCY, _USE_CLOCK = 1 << 10, 1 << 25  # bits of the flags
_FD_CLOEXEC = 8
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408
# The part of struct perf_event_attr that is used: type, size, config, sample_period, sample_type, read_format, flags,
# wakeup_events, bp_type, config1 (of a kprobe: the address of its function's name; of a uprobe: of its file's), config2
# (of a uprobe: the offset in the file), clockid.
_ATTR = struct.Struct("=IIQQQQQIIQQ20xi16x")

SOFTWARE: Mapping[str, int] = {
    "cpu-clock": 0,
    "task-clock": 1,
    "page-faults": 2,
    "context-switches": 3,
    "cpu-migrations": 4,
    "minor-faults": 5,
    "major-faults": 6,
    "alignment-faults": 7,
    "emulation-faults": 8,
}
"""enum perf_sw_ids, as perf-list(1) names them."""
HARDWARE: Mapping[str, int] = {
    "cycles": 0,
    "cpu-cycles": 0,
    "instructions": 1,
    "cache-references": 2,
    "cache-misses": 3,
    "branches": 4,
    "branch-instructions": 4,
    "branch-misses": 5,
    "bus-cycles": 6,
    "ref-cycles": 9,
}
"""enum perf_hw_id; some have two names there."""

_DEVICES = Path("/sys/bus/event_source/devices")
KPROBE_TYPE = _DEVICES / "kprobe/type"
UPROBE_TYPE = _DEVICES / "uprobe/type"

_ONLINE = Path("/sys/devices/system/cpu/online")

_libc = ctypes.CDLL(None, use_errno=True)


def online_cpus() -> list[int]:
    """Return the CPUs that are online: "0-3,6" (Documentation/admin-guide/cputopology.rst)."""
    found: list[int] = []
    for part in _ONLINE.read_text().strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _open(
    kind: int,
    config: int,
    cpu: int,
    *,
    period: int = 1,
    sample_type: int = 0,
    flags: int = 0,
    wakeup_events: int = 1,
    config1: int = 0,
    config2: int = 0,
) -> int:
    clock = time.CLOCK_MONOTONIC if flags & _USE_CLOCK else 0
    attr = ctypes.create_string_buffer(
        _ATTR.pack(kind, _ATTR.size, config, period, sample_type, 0, flags, wakeup_events, 0, config1, config2, clock),
        _ATTR.size,
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
    kind, config = _probe("kprobe", returns=returns)
    name = ctypes.create_string_buffer(function.encode())
    return _with_program(_open(kind, config, online_cpus()[0], config1=ctypes.addressof(name)), program_fd)


def attach_uprobe(program_fd: int, file: str, offset: int, *, returns: bool) -> int:
    """Attach a program to what lies at *offset* bytes of *file*, in every process, or to the return from there.

    Return the link's descriptor, with which it ends (Linux 4.17). Raises OSError.
    """
    kind, config = _probe("uprobe", returns=returns)
    name = ctypes.create_string_buffer(os.fsencode(file))
    opened = _open(kind, config, online_cpus()[0], config1=ctypes.addressof(name), config2=offset)
    return _with_program(opened, program_fd)


def _probe(device: str, *, returns: bool) -> tuple[int, int]:
    """Return the type of kprobes or uprobes, and the configuration that says whether a function returns."""
    folder = _DEVICES / device
    bit = int((folder / "format/retprobe").read_text().strip().removeprefix("config:")) if returns else 0
    return int((folder / "type").read_text()), int(returns) << bit


def attach_sampling(program_fd: int, kind: int, event: int, period: int, by_frequency: bool) -> list[int]:
    """Let a program run at every *period*th *event* of each CPU, or so many times a second; return the descriptors.

    *kind* is TYPE_SOFTWARE or TYPE_HARDWARE. Raises OSError.
    """
    fds: list[int] = []
    try:
        for cpu in online_cpus():
            opened = _open(kind, event, cpu, period=period, flags=_BY_FREQUENCY if by_frequency else 0)
            fds.append(_with_program(opened, program_fd))
    except OSError:
        for fd in fds:
            os.close(fd)
        raise
    return fds


class CpuBuffer:
    """The buffer that programs on one CPU write to, mapped. The kernel wakes nobody: read it on a timer."""

    _HEADER = struct.Struct("=IHH")  # struct perf_event_header: type, misc, size
    _LOST, _SAMPLE = 2, 9  # PERF_RECORD_LOST: two u64; PERF_RECORD_SAMPLE: a u32 with the size of the data follows
    _DATA_HEAD, _DATA_TAIL = 1024 // 8, 1032 // 8  # struct perf_event_mmap_page, in words

    def __init__(self, cpu: int, pages: int, *, timed: bool = False) -> None:
        """*pages*: a power of two. *timed*: keep when each event was written, for `read_timed`. Raises OSError."""
        self._size = pages * mmap.PAGESIZE
        self._time_bytes = 8 if timed else 0
        self.fullest = 0
        """The most bytes that ever waited."""
        self.lost = 0
        """How many events the kernel says there was no room for. It says so with the next that fits."""
        self._map: mmap.mmap | None = None
        self.fd = _open(
            TYPE_SOFTWARE,
            _BPF_OUTPUT,
            cpu,
            sample_type=_SAMPLE_RAW | (_SAMPLE_TIME if timed else 0),
            flags=_USE_CLOCK if timed else 0,
            wakeup_events=1 << 20,
        )
        """For the map that leads programs to it."""
        try:
            self._map = mmap.mmap(self.fd, mmap.PAGESIZE + self._size)
            fcntl.ioctl(self.fd, _IOC_ENABLE, 0)
        except OSError:
            self.close()
            raise

    def read(self) -> list[bytes]:
        """Return what was written since the last call, oldest first."""
        data = self._copy()
        return [data[start : start + length] for start, length in self._samples(data)]

    def read_timed(self) -> list[tuple[int, bytes]]:
        """Return the same with the time of each, CLOCK_MONOTONIC in ns."""
        data = self._copy()
        time_at = struct.Struct("=Q4x").unpack_from
        return [(time_at(data, start - 12)[0], data[start : start + length]) for start, length in self._samples(data)]

    def _copy(self) -> bytes:
        """Return what was written since the last call, and give the room for it back."""
        buffer = self._map
        assert buffer is not None
        with shared_words(buffer) as words:
            head, tail = words[self._DATA_HEAD], words[self._DATA_TAIL]
        self.fullest = max(self.fullest, head - tail)
        fence()
        data = self._between(buffer, tail, head)
        fence()
        with shared_words(buffer) as words:
            words[self._DATA_TAIL] = head
        return data

    def _samples(self, data: bytes) -> list[tuple[int, int]]:
        """Return where each event in *data* begins, and how long it is."""
        found, at = [], 0
        before = self._HEADER.size + self._time_bytes
        while at < len(data):
            kind, _, size = self._HEADER.unpack_from(data, at)
            if size < self._HEADER.size:  # never; it would not end
                break
            if kind == self._SAMPLE:
                (length,) = struct.unpack_from("=I", data, at + before)
                found.append((at + before + 4, length))
            elif kind == self._LOST:
                self.lost += struct.unpack_from("=QQ", data, at + self._HEADER.size)[1]
            at += size
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
