"""What only root may do while ebpftop runs, in a process of its own that does nothing else.

ebpftop becomes the user behind sudo once its programs are attached (kernel/capabilities.py). After that it still
needs seven things that only root may do: write in tracefs, for the trace instance that comes and goes with its probe;
enable the run statistics of BPF programs (CAP_SYS_ADMIN); list the BPF programs of the machine, where their code is
(CAP_SYS_ADMIN and CAP_SYSLOG), their maps and links, and which processes hold them, and open one to show its code;
read which system call a thread is in (CAP_SYS_PTRACE, and CAP_DAC_READ_SEARCH to open the file), and what it waits
for there (kernel/waiting.py); read what container engines keep, for the names of containers (CAP_DAC_READ_SEARCH);
and open for reading what names the functions of a process and of the kernel (--stacks). A child that was forked
before does them. Its requests name only files of the instance; programs, maps, cgroups, processes, threads, mappings
and containers by their numbers. It ends when ebpftop has ended. The guard removes what is then left in tracefs
(lifecycle/guard.py).
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ebpftop.kernel.bpf_holders import Round
from ebpftop.kernel.bpf_objects import Counts, LinkFacts, MapFacts, ProgramFacts
from ebpftop.kernel.bpf_programs import Code, Listing
from ebpftop.kernel.root_child import ANSWER_MAX, CODE, COUNTS, LAST_ID, REPLY, be_the_child
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.waiting import KINDS, Question
from ebpftop.kernel.waiting_task import Wait
from ebpftop.lifecycle import helpers

_PATIENCE_S = 5.0


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
            be_the_child(instance, theirs)
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
        (last_id,) = LAST_ID.unpack_from(answer)
        found = (Code._make(one) for one in CODE.iter_unpack(answer[LAST_ID.size :]))
        return Listing(last_id, [code._replace(name=code.name.rstrip(b"\0")) for code in found])

    def counts(self, than: int) -> list[Counts]:
        _, answer = self._ask(b"counts", b"%d" % than)
        return [Counts._make(one) for one in COUNTS.iter_unpack(answer)]

    def program_facts(self, ids: Sequence[int]) -> list[ProgramFacts]:
        _, answer = self._ask(b"program-facts", *(b"%d" % number for number in ids))
        return msgspec.msgpack.decode(answer, type=list[ProgramFacts])

    def program_fd(self, number: int) -> int:
        (fd,), _ = self._ask(b"program-fd", b"%d" % number)
        return fd

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
            b"%d/%d/%d/%d/%d/%d" % (one.pid, one.tid, one.nr, KINDS.index(one.kind), one.argument, one.enter_ns)
            for one in asked
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
                reply, fds, _, _ = socket.recv_fds(self._socket, REPLY.size + ANSWER_MAX, 1)
            except TimeoutError:
                # A late answer would be mistaken for the answer to the next request.
                self._socket.close()
                raise
        if len(reply) < REPLY.size:
            raise BrokenPipeError(errno.EPIPE, "the process that keeps root's rights has ended")
        (code,) = REPLY.unpack_from(reply)
        if code:
            raise OSError(code, os.strerror(code))
        return fds, reply[REPLY.size :]
