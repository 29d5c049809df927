"""What only root may do while ebpftop runs, in a process of its own that does nothing else.

ebpftop becomes the user behind sudo once its programs are attached (kernel/capabilities.py). After that it still needs
seven things that only root may do: write in tracefs, for the trace instance that comes and goes with its probe; enable
the run statistics of BPF programs (CAP_SYS_ADMIN); list the BPF programs of the machine, where their code is
(CAP_SYS_ADMIN and CAP_SYSLOG), their maps and links, and which processes hold them; read which system call a thread
is in (CAP_SYS_PTRACE, and CAP_DAC_READ_SEARCH to open the file), and what it waits for there (kernel/waiting.py);
read what container engines keep, for the names of containers (CAP_DAC_READ_SEARCH); and open for reading what names the
functions of a process and of the kernel (--stacks). A child that was forked before does them. Its requests name only
files of the instance; programs, maps, cgroups, processes, threads, mappings and containers by their numbers. It ends
when ebpftop has ended. The guard removes what is then left in tracefs (lifecycle/guard.py).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from ebpftop.kernel import bpf_holders, bpf_objects, bpf_programs, bpf_syscall, capabilities, process_files
from ebpftop.kernel.bpf_holders import Round
from ebpftop.kernel.bpf_objects import FACTS_MAX, Counts, LinkFacts, MapFacts, ProgramFacts
from ebpftop.kernel.bpf_programs import Code, Listing
from ebpftop.kernel.container_names import ContainerNames, is_container_id
from ebpftop.kernel.waiting import ASKED_MAX, KINDS, Question, Wait, WaitReader
from ebpftop.lifecycle import helpers
from ebpftop.lifecycle.guard import END_SIGNALS, close_all_but
from ebpftop.lifecycle.priority import stand_back

KEPT = {
    capabilities.Cap.SYS_ADMIN,
    capabilities.Cap.SYS_PTRACE,
    capabilities.Cap.DAC_READ_SEARCH,
    capabilities.Cap.SYSLOG,
}
"""The capabilities of the child."""

# All that ebpftop writes to. Others in an instance can fill the kernel's memory or slow down every function of it.
_FILES = frozenset({"trace_clock", "buffer_size_kb", "events/bpf_trace/bpf_trace_printk/enable"})
_REPLY = struct.Struct("=i")  # errno, 0 if done
_REQUEST_MAX = 4096
_ANSWER_MAX = 1 << 16
_LAST_ID = struct.Struct("=I")
_CODE = struct.Struct("=QIIQ16s")  # bpf_programs.Code
_COUNTS = struct.Struct("=IQQQ")  # bpf_objects.Counts
CGROUPS_MAX = 128
CONTAINERS_MAX = 32
THREADS_MAX = 200
"""Threads of one `calls`: pids have seven digits at most, and /proc/PID/syscall is a line of 160 bytes at most."""

NOT_READABLE = b"?"
WAITS_S = 0.05
"""So long at most `waits` waits for an answer, which takes a millisecond if no program holds it up."""

_PATIENCE_S = 5.0
_PR_SET_NAME = 15  # include/uapi/linux/prctl.h

_libc = ctypes.CDLL(None)


class RootWork:
    """The work itself, in this process. All methods raise OSError."""

    def __init__(self, instance: Path) -> None:
        """*instance* is the folder in tracefs that will be our trace instance."""
        self.instance = instance
        self._waits = WaitReader()
        self._containers = ContainerNames()

    def make_instance(self) -> None:
        """Make our trace instance."""
        self.instance.mkdir(exist_ok=True)

    def write(self, file: str, text: str) -> None:
        """Write *text* to *file* of our trace instance, one of three."""
        if file not in _FILES:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), file)
        (self.instance / file).write_text(text)

    def remove_instance(self) -> None:
        """Remove it."""
        self.instance.rmdir()

    def enable_stats(self) -> int:
        """Return a descriptor; until it is closed, the kernel measures how long BPF programs run."""
        return bpf_syscall.enable_stats()

    def programs(self, than: int) -> Listing:
        """Return the BPF programs whose id is higher than *than*, and where their code is."""
        return bpf_programs.newer(than)

    def counts(self, than: int) -> list[Counts]:
        """Return the totals of programs whose id is higher than *than*: see `bpf_objects.counts`."""
        return bpf_objects.counts(than)

    def program_facts(self, ids: Sequence[int]) -> list[ProgramFacts]:
        """Return what does not change of at most `FACTS_MAX` programs."""
        return bpf_objects.programs(ids)

    def map_facts(self, ids: Sequence[int]) -> list[MapFacts]:
        """Return what the kernel tells of at most `FACTS_MAX` maps."""
        return bpf_objects.maps(ids)

    def link_facts(self, than: int) -> list[LinkFacts]:
        """Return links whose id is higher than *than*: see `bpf_objects.links`."""
        return bpf_objects.links(than)

    def cgroup_programs(self, attach_type: int, ids: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Return what is attached to at most `CGROUPS_MAX` cgroups: see `bpf_objects.attached_to_cgroups`."""
        return bpf_objects.attached_to_cgroups(attach_type, ids)

    def holders(self, after: int) -> Round:
        """Return which processes after *after* hold programs: see `bpf_holders.holders`."""
        return bpf_holders.holders(after)

    def container_names(self, containers: Sequence[tuple[str, int | None]]) -> list[str | None]:
        """Return what engines call at most `CONTAINERS_MAX` containers: see `ContainerNames.name`."""
        return [self._containers.name(id, uid) for id, uid in containers]

    def calls(self, threads: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return /proc/PID/task/TID/syscall (proc(5)) of at most `THREADS_MAX` threads, each a pid and a tid.

        Empty for a thread that has ended, `NOT_READABLE` for one that may not be read.
        """
        return [_call(pid, tid) for pid, tid in threads]

    def waits(self, asked: Sequence[Question]) -> tuple[list[Wait | None], float] | None:
        """Return what at most `ASKED_MAX` threads wait for, and the CPU time of all such answers so far in seconds.

        None if that cannot be known soon: see `WaitReader.ask`.
        """
        answers = self._waits.ask(asked, WAITS_S)
        return None if answers is None else (answers, self._waits.spent_s)

    def mappings(self, pid: int) -> bytes:
        """Return /proc/PID/maps: see `process_files.mappings`."""
        return process_files.mappings(pid)

    def mapped_file(self, pid: int, begin: int, end: int) -> int:
        """Return a descriptor of a file that a process has mapped: see `process_files.mapped_file`."""
        return process_files.mapped_file(pid, begin, end)

    def perf_map(self, pid: int) -> int:
        """Return a descriptor of the perf map of a process: see `process_files.perf_map`."""
        return process_files.perf_map(pid)

    def kernel_symbols(self) -> int:
        """Return a descriptor of /proc/kallsyms."""
        return process_files.kernel_symbols()

    def close(self) -> None:
        """Do nothing: there is no child to end."""


def _call(pid: int, tid: int) -> bytes:
    try:
        fd = os.open(f"/proc/{pid:d}/task/{tid:d}/syscall", os.O_RDONLY)
    except PermissionError:
        return NOT_READABLE
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return NOT_READABLE if os.path.exists(f"/proc/{pid:d}/task/{tid:d}") else b""
        raise
    try:
        return os.read(fd, _REQUEST_MAX).rstrip(b"\n")
    except PermissionError:
        return NOT_READABLE
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EAGAIN):
            return b""
        raise
    finally:
        os.close(fd)


def _be_the_child(instance: Path, requests: socket.socket) -> NoReturn:
    """Answer requests until the parent has ended. It keeps no file of the parent open."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)  # it is the parent's
        # A signal to all of ebpftop ends the parent, and then we end too.
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_IGN)
        fd = requests.fileno()
        null_fd = helpers.open_null()
        for standard in (0, 1, 2):
            os.dup2(null_fd, standard)
        close_all_but({fd})
        _libc.prctl(_PR_SET_NAME, b"ebpftop-root", 0, 0, 0)
        stand_back()
        capabilities.keep_only(KEPT, forked=True)
        _answer(RootWork(instance), requests)
        status = 0
    finally:
        os._exit(status)


def _answer(work: RootWork, requests: socket.socket) -> None:
    while request := helpers.receive(requests, _REQUEST_MAX):
        code, fds, answer = 0, [], b""
        try:
            match request.split(b"\0"):
                case [b"make"]:
                    work.make_instance()
                case [b"write", file, text]:
                    work.write(file.decode("ascii"), text.decode("ascii"))
                case [b"remove"]:
                    work.remove_instance()
                case [b"stats"]:
                    fds = [work.enable_stats()]
                case [b"programs", than]:
                    last_id, codes = work.programs(int(than))
                    answer = _LAST_ID.pack(last_id) + b"".join(_CODE.pack(*code) for code in codes)
                case [b"counts", than]:
                    answer = b"".join(_COUNTS.pack(*one) for one in work.counts(int(than)))
                case [b"program-facts", *ids] if len(ids) <= FACTS_MAX:
                    answer = _encode(work.program_facts(_numbers(ids)))
                case [b"map-facts", *ids] if len(ids) <= FACTS_MAX:
                    answer = _encode(work.map_facts(_numbers(ids)))
                case [b"link-facts", than]:
                    answer = _encode(work.link_facts(int(than)))
                case [b"cgroup-programs", kind, *ids] if len(ids) <= CGROUPS_MAX:
                    answer = _encode(work.cgroup_programs(int(kind), _numbers(ids)))
                case [b"holders", after]:
                    fds = [_in_memory(_encode(work.holders(int(after))))]
                case [b"container-names", *containers] if len(containers) <= CONTAINERS_MAX:
                    answer = _encode(work.container_names([_container(one) for one in containers]))
                case [b"calls", *threads] if len(threads) <= THREADS_MAX:
                    answer = b"\n".join(work.calls([_thread(thread) for thread in threads]))
                case [b"waits", *asked] if len(asked) <= ASKED_MAX:
                    fds = [_in_memory(_encode(work.waits([_question(one) for one in asked])))]
                case [b"mappings", pid]:
                    fds = [_in_memory(work.mappings(int(pid)))]
                case [b"mapped-file", pid, begin, end]:
                    fds = [work.mapped_file(int(pid), int(begin), int(end))]
                case [b"perf-map", pid]:
                    fds = [work.perf_map(int(pid))]
                case [b"kernel-symbols"]:
                    fds = [work.kernel_symbols()]
                case _:
                    code = errno.EINVAL
        except OSError as error:
            code = error.errno or errno.EIO
        except (ValueError, struct.error):  # not ASCII, or not a number that an id may be
            code = errno.EINVAL
        try:
            socket.send_fds(requests, [_REPLY.pack(code), answer], fds)
        except BrokenPipeError:
            break
        finally:
            for fd in fds:
                os.close(fd)


def _numbers(texts: Sequence[bytes]) -> list[int]:
    return [int(text) for text in texts]


_encode = msgspec.msgpack.Encoder().encode


def _in_memory(answer: bytes) -> int:
    """Return a descriptor of a file that has *answer*, however long that is, and exists nowhere else."""
    fd = os.memfd_create("ebpftop-answer", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(answer)
    return fd


def _thread(text: bytes) -> tuple[int, int]:
    pid, _, tid = text.partition(b"/")
    return int(pid), int(tid)


def _question(text: bytes) -> Question:
    pid, tid, nr, kind, argument = map(int, text.split(b"/"))
    if not (0 <= kind < len(KINDS) and 0 <= argument < 6):
        raise ValueError(kind, argument)
    return Question(pid, tid, nr, KINDS[kind], argument)


def _container(text: bytes) -> tuple[str, int | None]:
    id, _, uid = text.decode("ascii").partition("/")
    if not is_container_id(id):
        raise ValueError(id)
    return id, int(uid) if uid else None


class RootHelper(RootWork):
    """The same in a child process that keeps root's rights while we drop them. Any thread may call it.

    Make it early: the child is a fork, and it inherits only the thread that calls.
    """

    def __init__(self, instance: Path) -> None:
        super().__init__(instance)
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.helper_pid: int | None = helpers.fork(self._socket, theirs)
        if self.helper_pid == 0:
            _be_the_child(instance, theirs)
        theirs.close()
        self._socket.settimeout(_PATIENCE_S)

    def make_instance(self) -> None:
        self._ask(b"make")

    def write(self, file: str, text: str) -> None:
        self._ask(b"write", file.encode(), text.encode())

    def remove_instance(self) -> None:
        self._ask(b"remove")

    def enable_stats(self) -> int:
        (fd,), _ = self._ask(b"stats")
        return fd

    def programs(self, than: int) -> Listing:
        _, answer = self._ask(b"programs", b"%d" % than)
        (last_id,) = _LAST_ID.unpack_from(answer)
        found = (Code._make(one) for one in _CODE.iter_unpack(answer[_LAST_ID.size :]))
        return Listing(last_id, [code._replace(name=code.name.rstrip(b"\0")) for code in found])

    def counts(self, than: int) -> list[Counts]:
        _, answer = self._ask(b"counts", b"%d" % than)
        return [Counts._make(one) for one in _COUNTS.iter_unpack(answer)]

    def program_facts(self, ids: Sequence[int]) -> list[ProgramFacts]:
        _, answer = self._ask(b"program-facts", *(b"%d" % number for number in ids))
        return msgspec.msgpack.decode(answer, type=list[ProgramFacts])

    def map_facts(self, ids: Sequence[int]) -> list[MapFacts]:
        _, answer = self._ask(b"map-facts", *(b"%d" % number for number in ids))
        return msgspec.msgpack.decode(answer, type=list[MapFacts])

    def link_facts(self, than: int) -> list[LinkFacts]:
        _, answer = self._ask(b"link-facts", b"%d" % than)
        return msgspec.msgpack.decode(answer, type=list[LinkFacts])

    def cgroup_programs(self, attach_type: int, ids: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        _, answer = self._ask(b"cgroup-programs", b"%d" % attach_type, *(b"%d" % number for number in ids))
        return msgspec.msgpack.decode(answer, type=list[tuple[int, tuple[int, ...]]])

    def holders(self, after: int) -> Round:
        (fd,), _ = self._ask(b"holders", b"%d" % after)
        with open(fd, "rb") as file:
            file.seek(0)
            return msgspec.msgpack.decode(file.read(), type=Round)

    def container_names(self, containers: Sequence[tuple[str, int | None]]) -> list[str | None]:
        asked = (f"{id}/{'' if uid is None else uid}".encode("ascii") for id, uid in containers)
        _, answer = self._ask(b"container-names", *asked)
        return msgspec.msgpack.decode(answer, type=list[str | None])

    def calls(self, threads: Sequence[tuple[int, int]]) -> list[bytes]:
        if not threads:
            return []
        _, answer = self._ask(b"calls", *(b"%d/%d" % thread for thread in threads))
        return answer.split(b"\n")

    def waits(self, asked: Sequence[Question]) -> tuple[list[Wait | None], float] | None:
        questions = (
            b"%d/%d/%d/%d/%d" % (one.pid, one.tid, one.nr, KINDS.index(one.kind), one.argument) for one in asked
        )
        (fd,), _ = self._ask(b"waits", *questions)
        with open(fd, "rb") as file:
            file.seek(0)
            return msgspec.msgpack.decode(file.read(), type=tuple[list[Wait | None], float] | None)

    def mappings(self, pid: int) -> bytes:
        (fd,), _ = self._ask(b"mappings", b"%d" % pid)
        with open(fd, "rb") as file:
            file.seek(0)
            return file.read()

    def mapped_file(self, pid: int, begin: int, end: int) -> int:
        (fd,), _ = self._ask(b"mapped-file", b"%d" % pid, b"%d" % begin, b"%d" % end)
        return fd

    def perf_map(self, pid: int) -> int:
        (fd,), _ = self._ask(b"perf-map", b"%d" % pid)
        return fd

    def kernel_symbols(self) -> int:
        (fd,), _ = self._ask(b"kernel-symbols")
        return fd

    def close(self) -> None:
        """End the child, and wait for it."""
        with self._lock:
            self._socket.close()
            if self.helper_pid:
                helpers.reap(self.helper_pid)
                self.helper_pid = None

    def _ask(self, *request: bytes) -> tuple[list[int], bytes]:
        """Return the descriptors and the bytes of the answer."""
        with self._lock:
            try:
                self._socket.send(b"\0".join(request))
                reply, fds, _, _ = socket.recv_fds(self._socket, _REPLY.size + _ANSWER_MAX, 1)
            except TimeoutError:
                # A late answer would be mistaken for the answer to the next request.
                self._socket.close()
                raise
        if len(reply) < _REPLY.size:
            raise BrokenPipeError(errno.EPIPE, "the process that keeps root's rights has ended")
        (code,) = _REPLY.unpack_from(reply)
        if code:
            raise OSError(code, os.strerror(code))
        return fds, reply[_REPLY.size :]
