"""The child that keeps root's rights: what it keeps of them, and how it reads requests and answers them."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from ebpftop.kernel import capabilities
from ebpftop.kernel.bpf_objects import FACTS_MAX
from ebpftop.kernel.container_names import is_container_id
from ebpftop.kernel.root_work import CGROUPS_MAX, CONTAINERS_MAX, THREADS_MAX, RootWork
from ebpftop.kernel.waiting import ASKED_MAX, KINDS, Question
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

# How the answers lie in the bytes of a message. A request is its name and its arguments, with a NUL between each.
REPLY = struct.Struct("=i")  # errno, 0 if done
LAST_ID = struct.Struct("=I")
CODE = struct.Struct("=QIIQ16s")  # bpf_programs.Code
COUNTS = struct.Struct("=IQQQ")  # bpf_objects.Counts
ANSWER_MAX = 1 << 16
_REQUEST_MAX = 4096
_PR_SET_NAME = 15  # include/uapi/linux/prctl.h

_libc = ctypes.CDLL(None)


def be_the_child(instance: Path, requests: socket.socket) -> NoReturn:
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
                    answer = LAST_ID.pack(last_id) + b"".join(CODE.pack(*code) for code in codes)
                case [b"counts", than]:
                    answer = b"".join(COUNTS.pack(*one) for one in work.counts(int(than)))
                case [b"program-facts", *ids] if len(ids) <= FACTS_MAX:
                    answer = _encode(work.program_facts(_numbers(ids)))
                case [b"program-fd", number]:
                    fds = [work.program_fd(int(number))]
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
            socket.send_fds(requests, [REPLY.pack(code), answer], fds)
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
    pid, tid, nr, kind, argument, enter_ns = map(int, text.split(b"/"))
    if not (0 <= kind < len(KINDS) and 0 <= argument < 6):
        raise ValueError(kind, argument)
    return Question(pid, tid, nr, KINDS[kind], argument, enter_ns)


def _container(text: bytes) -> tuple[str, int | None]:
    id, _, uid = text.decode("ascii").partition("/")
    if not is_container_id(id):
        raise ValueError(id)
    return id, int(uid) if uid else None
