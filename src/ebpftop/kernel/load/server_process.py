"""The process that compiles: see server.py. server_parent.py forks it, with a jail and few rights."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import re
import select
import signal
import socket
import time
from contextlib import suppress
from functools import cache
from typing import Literal, NamedTuple, NoReturn, TypeAlias

import msgspec

from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load import child, limits
from ebpftop.kernel.load.built import Built, CodeRequest, CompileRequest, ShownCode
from ebpftop.kernel.load.code import KernelNames, kernel_names, listing
from ebpftop.kernel.load.code import read as read_code
from ebpftop.kernel.load.headers import KernelFacts, headers_for
from ebpftop.kernel.load.jail import Jail
from ebpftop.kernel.load.map_guard import MapGuard
from ebpftop.kernel.load.maps import too_large
from ebpftop.kernel.load.native_code import NoDisassembler, native
from ebpftop.kernel.load.server_messages import ABANDON, NUMBER, read_memory, write_memory
from ebpftop.kernel.stub_headers import headers as stub_headers
from ebpftop.lifecycle import helpers

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # include/uapi/linux/prctl.h
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)
_SAID = re.compile(r"\berror\b|^LLVM ERROR: ", re.MULTILINE)
_OUTPUT_MAX = 256 << 10

_libc = ctypes.CDLL(None)

_End: TypeAlias = Literal["done", "late", "abandoned", "gone"]
"""How a child ended, or was ended. "gone": ebpftop was."""


def be_the_server(requests: socket.socket, jail: Jail, symbols_fd: int | None) -> NoReturn:
    """Answer requests until ebpftop has ended."""
    try:
        _libc.prctl(_PR_SET_NAME, helpers.COMPILERS[1], 0, 0, 0)
        jail.empty()  # one that was killed may have left something
        _serve(requests, limits.MemoryCgroups(), jail, symbols_fd)
    finally:
        os._exit(0)


def _serve(requests: socket.socket, cgroups: limits.MemoryCgroups, jail: Jail, symbols_fd: int | None) -> None:
    cpu_s = limits.cpu_seconds(warm_up().cpu_s)  # while ebpftop starts
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    while True:
        waiting.poll()  # not in recv(2): see helpers.receive
        message, fds, _, _ = socket.recv_fds(requests, 64, 2)
        if not message:
            return
        if not fds:  # a nudge, or what is done by now is to be abandoned
            continue
        (number,) = NUMBER.unpack(message)
        content = read_memory(fds[0])
        os.close(fds[0])
        if len(fds) > 1:
            _show_code(requests, number, content, fds[1], kernel_names(symbols_fd), 2 * cpu_s)
            os.close(fds[1])
            continue
        try:
            request = msgspec.msgpack.decode(content, type=CompileRequest)
            if not _compile(requests, number, request, cgroups, jail, warm_up().facts, cpu_s):
                return
        except Exception as error:  # noqa: BLE001  # whatever it is: somebody waits for the reason
            _answer(requests, number, Built(error=f"{type(error).__name__}: {error}", stage="limit"), [])


class Warm(NamedTuple):
    """What a child needs."""

    facts: KernelFacts | None
    """None if the kernel does not describe itself."""
    cpu_s: float
    """How much CPU time it took to come to that: what the speed of a machine is measured by."""


@cache
def warm_up() -> Warm:
    """Import and read what a child needs, once, and for the children of this process too."""
    started_s = time.process_time()
    facts = _read_facts()
    gc.freeze()  # a child that collects would copy it
    return Warm(facts, time.process_time() - started_s)


def _read_facts() -> KernelFacts | None:
    try:
        from ebpftop.kernel import bcc_compiler  # noqa: F401  # loads LLVM: children do not wait for it

        facts = KernelFacts.read()
        headers_for("struct task_struct;", facts)  # what it finds is kept: every child would search anew
    except (ImportError, BtfError, OSError):
        return None
    return facts


def _compile(
    requests: socket.socket,
    number: int,
    request: CompileRequest,
    cgroups: limits.MemoryCgroups,
    jail: Jail,
    facts: KernelFacts | None,
    cpu_s: int,
) -> bool:
    """Let a child compile, and answer if it did not; return False if ebpftop has ended."""
    memory = limits.memory_bytes(request.map_bytes_max)
    cgroup = cgroups.make(str(os.getpid()), memory)
    output_fd = os.memfd_create("ebpftop-output", os.MFD_CLOEXEC)
    pid = helpers.fork_worker()
    if pid == 0:
        _be_the_child(requests, number, request, cgroup, jail, output_fd, facts, cpu_s)
    try:
        end = _wait(pid, requests, number, 2 * cpu_s)
        status = os.waitpid(pid, 0)[1]
        if status and end == "abandoned":
            _answer(requests, number, Built(error="abandoned", stage="limit"), [])
        elif status and end != "gone":
            too_little = memory if cgroup is not None and cgroup.had_to_kill() else None
            output = _read_output(output_fd)
            error = limits.reason(status, output, too_little, cpu_s, late=end == "late")
            # LLVM ends its process for some errors of the source, such as too large a stack, and says so; and BCC
            # reads on behind an error of clang's, and may crash where nothing is (a map that was not declared).
            crashed = os.WIFEXITED(status) or os.WTERMSIG(status) in _CRASHES
            is_known = too_little is None and end != "late" and crashed and _SAID.search(output) is not None
            stage = "clang" if is_known else "limit"
            _answer(requests, number, Built(error=error, stage=stage, output=output), [])
        return end != "gone"
    finally:
        os.close(output_fd)
        jail.empty()
        if cgroup is not None:
            cgroup.remove()


def _wait(pid: int, requests: socket.socket, number: int, most_s: int) -> _End:
    """Wait for the end of a child; end it if it is late, or abandoned, or if ebpftop has ended."""
    until_s = time.monotonic() + most_s
    pidfd = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        waiting.register(requests, select.POLLIN)
        while (left_s := until_s - time.monotonic()) > 0:
            ready = {fd for fd, _ in waiting.poll(left_s * 1000)}
            if pidfd in ready:
                return "done"
            if not ready:
                continue
            message = requests.recv(64, socket.MSG_PEEK)
            if not message or message == ABANDON + NUMBER.pack(number):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return "abandoned" if message else "gone"
            if len(message) == NUMBER.size:  # the next request: the child has answered, and is on its way out
                waiting.modify(requests, 0)
            else:
                requests.recv(64)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return "late"
    finally:
        os.close(pidfd)


def _be_the_child(
    requests: socket.socket,
    number: int,
    request: CompileRequest,
    cgroup: limits.MemoryCgroup | None,
    jail: Jail,
    output_fd: int,
    facts: KernelFacts | None,
    cpu_s: int,
) -> NoReturn:
    status = 1
    try:
        _end_with_parent()
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        for standard in (1, 2):
            os.dup2(output_fd, standard)
        if cgroup is not None:
            with suppress(OSError):
                cgroup.join()
        limits.restrict(request.map_bytes_max, cpu_s)
        headers = stub_headers() if facts is None else _headers(request, facts)
        fds_fd = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        tree = jail.enter(lambda folder: child.write_tree(folder, headers, request.includes))
        _end_with_parent()  # a change of the user resets it
        guard = MapGuard(lambda: child.compile_source(request, tree, fds_fd), request.map_bytes_max)
        built, fds = guard.call()
        built = msgspec.structs.replace(built, speed=cpu_s / limits.CPU_S)
        built = _explained(built, _read_output(output_fd), guard.refused, request.map_bytes_max)
        _answer(requests, number, built, fds)
        status = 0
    except Exception as error:  # noqa: BLE001  # whatever it is: somebody waits for the reason
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _headers(request: CompileRequest, facts: KernelFacts) -> dict[str, str]:
    text = "\n".join((request.text, *request.includes.values()))
    return headers_for(text, facts, own=request.includes.keys())


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _explained(built: Built, output: str, refused: tuple[str, int] | None, bytes_max: int) -> Built:
    """Return *built* with the *output* of the compiler, and with why a map was not made: *refused* for its size."""
    built = msgspec.structs.replace(built, output=output)
    found = child.failed_map(output.encode())
    if not built.error or found is None:
        return built
    name, why = found
    error, remedy = f"the kernel refused to make the map {name}: {why}", ""
    if refused is not None:
        error, remedy = too_large(name, refused[1], bytes_max)
    elif why in map(os.strerror, (errno.ENOMEM, errno.E2BIG, errno.EPERM)):
        error, remedy = f"the map {name} is too large: {why}", "give it fewer entries, or smaller ones"
    elif why == os.strerror(errno.EINVAL):
        remedy = "see its number of entries (at least one), and how large its keys and values are"
    return msgspec.structs.replace(built, stage="map", map=name, error=error, remedy=remedy)


def _read_output(fd: int) -> str:
    return os.pread(fd, _OUTPUT_MAX, 0).decode("utf-8", "replace")


def _answer(requests: socket.socket, number: int, built: Built | ShownCode, map_fds: list[int]) -> None:
    fd = write_memory(msgspec.msgpack.encode(built))
    with suppress(BrokenPipeError):
        socket.send_fds(requests, [NUMBER.pack(number)], [fd, *map_fds])
    os.close(fd)


# ---- the code of programs ----


def _show_code(
    requests: socket.socket, number: int, content: bytes, program_fd: int, names: KernelNames, most_s: int
) -> None:
    """Answer with the code of a program in words. LLVM does it, so a child that may fail."""
    pid = helpers.fork_worker()
    if pid == 0:
        status = 1
        try:
            _end_with_parent()
            _answer(requests, number, _in_words(content, program_fd, names), [])
            status = 0
        finally:
            os._exit(status)
    end = _wait(pid, requests, number, most_s)
    if os.waitpid(pid, 0)[1] and end != "gone":
        error = "it took too long" if end == "late" else "the disassembler failed"
        _answer(requests, number, ShownCode(error=error), [])


def _in_words(content: bytes, program_fd: int, names: KernelNames) -> ShownCode:
    """Return the code of a program, for a request as it was sent."""
    request = msgspec.msgpack.decode(content, type=CodeRequest)
    try:
        found = listing(read_code(program_fd, request.file, request.btf), names, native, request.maps)
    except (OSError, NoDisassembler) as error:
        return ShownCode(error=str(error))
    return ShownCode(found.xlated, found.native, found.arch)
