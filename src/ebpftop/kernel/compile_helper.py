"""The compiler in a process of its own: LLVM and clang, 60 MB of memory, are never in ebpftop itself.

A child that was forked while ebpftop was root, and had one thread, waits for requests. It may do what ebpftop may do
once its programs are attached, no more. With the first request it imports bcc. When the start is over, a helper that
was needed ends, and with it the memory; one that was not needed waits for probes that are attached later. If there is
no helper (without root, or after it has ended), the process that asks compiles by itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import struct
import threading
from contextlib import suppress
from typing import NoReturn

import msgspec

from ebpftop.kernel import bpf_syscall, capabilities
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.mount_namespace import lay_over
from ebpftop.kernel.stub_headers import KALLSYMS, KALLSYMS_PLACE, header_tree, keep_tree
from ebpftop.lifecycle import helpers
from ebpftop.lifecycle.guard import END_SIGNALS, close_all_but
from ebpftop.lifecycle.invoker import invoker
from ebpftop.lifecycle.priority import stand_back

_LENGTH = struct.Struct("=I")
_NUDGE_MS = 500
_PR_SET_NAME = 15  # include/uapi/linux/prctl.h


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A source to compile with *flags* and our own headers; or with the kernel's headers, for its errors (None)."""

    source: str
    flags: list[str] | None
    parameters: dict[str, int]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An encoded `compiled.Compiled`; or None, and what was wrong."""

    compiled: bytes | None
    error: str


def compile_here(request: Request) -> Answer:
    """Compile in this process. Whatever goes wrong is in the answer: somebody waits for it."""
    try:
        from ebpftop.kernel import bcc_compiler  # only here, for it loads LLVM

        if request.flags is None:
            return Answer(None, bcc_compiler.errors_with_headers(request.source))
        made = bcc_compiler.compile_source(request.source, request.flags, request.parameters)
    except ImportError as error:
        return Answer(None, f"bcc cannot be imported: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # BCC raises Exception itself
        return Answer(None, str(error) or repr(error))
    return Answer(msgspec.msgpack.encode(made), "")


class CompileHelper:
    """The child. Any thread may ask it; it compiles one source after the other."""

    def __init__(self, tree_fd: int) -> None:
        """Fork it; *tree_fd* is that of `stub_headers.keep_tree`. Call it before there are threads. Raises OSError."""
        self._lock = threading.Lock()
        self._was_asked = self._is_closed = False
        self._socket, theirs = socket.socketpair()
        self.helper_pid: int | None = helpers.fork(self._socket, theirs)
        if self.helper_pid == 0:
            _be_the_child(theirs, tree_fd)
        theirs.close()

    def ask(self, request: Request) -> Answer | None:
        """Return the answer; None if the helper has ended. Raises LoadError if it was closed."""
        with self._lock:
            self._was_asked = True
            try:
                _send(self._socket, msgspec.msgpack.encode(request))
                self._keep_it_running()
                answer = _receive(self._socket)
            except OSError:
                answer = b""
        if self._is_closed:
            raise LoadError("ebpftop ends")
        return msgspec.msgpack.decode(answer, type=Answer) if answer else None

    def _keep_it_running(self) -> None:
        """Return when there is an answer, or when the helper has ended.

        A message continues it if it was stopped (`helpers.fork`), so it gets an empty one while it works.
        """
        answers = select.poll()
        answers.register(self._socket, select.POLLIN)
        while not answers.poll(_NUDGE_MS):
            _send(self._socket, b"")

    def rest(self) -> None:
        """Let the helper end if it was needed: it has LLVM in its memory."""
        with self._lock:
            if self._was_asked:
                # Not waited for: nobody else gets its pid, which is one of those that ebpftop hides.
                self._socket.close()

    def close(self) -> None:
        """End the child, at once, and wait for it. Safe to call twice."""
        self._is_closed = True
        if self.helper_pid:  # without the lock: another thread may wait for an answer
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.helper_pid, signal.SIGKILL)
        with self._lock:
            self._socket.close()
            if self.helper_pid:
                helpers.reap(self.helper_pid)
                self.helper_pid = None


# The helper that `start` started, if it did.
_started: list[CompileHelper] = []


def start() -> None:
    """Start the helper, if we are root. Call it before there are threads."""
    tree_fd = keep_tree()
    if tree_fd is not None and not _started:
        _started.append(CompileHelper(tree_fd))


def ask(request: Request) -> Answer:
    """Return what the compiler makes of *request*."""
    for helper in _started:
        if (answer := helper.ask(request)) is not None:
            return answer
    return compile_here(request)


def rest() -> None:
    """All that is attached for now is attached."""
    for helper in _started:
        helper.rest()


def close() -> None:
    """End the helper. Safe to call twice, and without one."""
    while _started:
        _started.pop().close()


def _send(channel: socket.socket, data: bytes) -> None:
    channel.sendall(_LENGTH.pack(len(data)) + data)


def _receive(channel: socket.socket) -> bytes:
    """Return the next message that is not empty; nothing if the other end was closed."""
    while head := _exactly(channel, _LENGTH.size):
        (size,) = _LENGTH.unpack(head)
        if size:
            return _exactly(channel, size)
    return b""


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = helpers.receive(channel, size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _be_the_child(requests: socket.socket, tree_fd: int) -> NoReturn:
    """Answer requests until the parent has ended. It keeps no file of the parent open, but what clang writes to."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)  # it is the parent's
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_IGN)
        null_fd = helpers.open_null()
        os.dup2(null_fd, 0)
        close_all_but({requests.fileno(), tree_fd})
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"ebpftop-compile", 0, 0, 0)
        stand_back()
        bpf_syscall.lift_memory_limit()
        with header_tree() as tree:
            lay_over(KALLSYMS_PLACE, tree.folder / KALLSYMS)
        capabilities.keep_only(capabilities.to_compile(), invoker(), forked=True)
        while data := _receive(requests):
            # In a thread: the end of the parent is noticed while it compiles.
            threading.Thread(target=_answer, args=(requests, data), daemon=True).start()
    finally:
        os._exit(0)


def _answer(channel: socket.socket, data: bytes) -> None:
    answer = compile_here(msgspec.msgpack.decode(data, type=Request))
    with suppress(OSError):
        _send(channel, msgspec.msgpack.encode(answer))
