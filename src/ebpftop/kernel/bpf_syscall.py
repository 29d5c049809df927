"""bpf(2): maps and programs made, links opened, statistics of programs, facts about maps, and whether fentry works.

BCC only compiles. It has functions for some of this too, but they are in the library that links LLVM: 60 MB of memory
in every process that uses one of them. This interface of the kernel is stable (include/uapi/linux/bpf.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
from contextlib import suppress
from functools import cache
from typing import NamedTuple

_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_ARRAY_MAP = 2  # BPF_MAP_TYPE_ARRAY
_MAP_CREATE, _PROG_LOAD, _GET_INFO_BY_FD, _RAW_TRACEPOINT_OPEN, _ENABLE_STATS = 0, 5, 15, 17, 32
_RUN_TIME_OFFSET = 192  # struct bpf_prog_info, include/uapi/linux/bpf.h: run_time_ns, run_cnt, recursion_misses
_INFO_SIZE = 256
ATTR_SIZE = 128
"""More than what any command here reads of union bpf_attr."""

# The parts of union bpf_attr. To make a map: map_type, key_size, value_size, max_entries, map_flags, inner_map_fd,
# numa_node, map_name. To load a program: prog_type, insn_cnt, insns, license, log_level, log_size, log_buf,
# kern_version, prog_flags, prog_name, prog_ifindex, expected_attach_type, then 36 bytes about its own BTF, and
# attach_btf_id. To open a raw tracepoint: name, prog_fd.
_CREATE = struct.Struct("=7I16sIIII")
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQII16x")
_FUNCTION_BYTES, _LINE_BYTES = 8, 16  # struct bpf_func_info, struct bpf_line_info
_OPEN = struct.Struct("=QI")
_NAME_MAX = 15
_LOG_STATS = 4  # BPF_LOG_STATS, include/linux/bpf_verifier.h
_LOG_BYTES = 1 << 20
_TRIES = 5  # the verifier ends with EAGAIN if a signal is pending
TYPE_RAW_TRACEPOINT, TYPE_TRACING, TRACE_FENTRY = 17, 26, 24
RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit

_libc = ctypes.CDLL(None, use_errno=True)


class Runs(NamedTuple):
    """Totals of one program; run time and count grow only while statistics are on."""

    run_time_ns: int
    run_count: int
    recursion_misses: int


def bpf(command: int, attr: bytes) -> int:
    """Call bpf(2); raises OSError."""
    attr = attr.ljust(ATTR_SIZE, b"\0")
    done = call(command, ctypes.c_char_p(attr), len(attr))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bpf(2): {os.strerror(code)}")
    return done


def next_id(command: int, than: int) -> int:
    """Return the id after *than* by *command* (BPF_PROG_GET_NEXT_ID and its like).

    Raises FileNotFoundError after the last one, OSError.
    """
    attr = ctypes.create_string_buffer(struct.pack("=I", than), ATTR_SIZE)
    if call(command, attr, ATTR_SIZE) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(struct.unpack_from("=I", attr.raw, 4)[0])


def call(command: int, attr: ctypes.c_char_p | ctypes.Array[ctypes.c_char], size: int) -> int:
    """Call bpf(2) with *size* bytes of *attr*, which the kernel may change; below 0 if it failed, errno says why."""
    return int(_libc.syscall(_SYS_BPF, command, attr, size))


@cache
def lift_memory_limit() -> None:
    """Let the kernel lock as much memory as maps need: before Linux 5.11, they count against RLIMIT_MEMLOCK."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def create_map(name: str, info: MapInfo, types: tuple[int, int, int] = (0, 0, 0)) -> int:
    """Make a map like *info*; return its descriptor. Raises OSError.

    *types*: descriptor of the BTF, and the ids of the types of key and value there.
    """
    lift_memory_limit()
    kind, key_size, value_size, entries, flags = info
    return bpf(_MAP_CREATE, _CREATE.pack(kind, key_size, value_size, entries, flags, 0, 0, _short(name), 0, *types))


def is_forbidden() -> bool:
    """Return whether bpf(2) is refused to us though we have the capabilities: by seccomp, or by a security module."""
    try:
        os.close(create_map("allowed", MapInfo(_ARRAY_MAP, 4, 4, 1, 0)))
    except PermissionError:
        return True
    except OSError:  # what uses it says more of it
        return False
    return False


def _short(name: str) -> bytes:
    return name.encode()[:_NAME_MAX]


class Program(NamedTuple):
    """What the kernel loads. *attach_type* and *attach_id* (a BTF type id) are those of a tracing program, or 0."""

    type: int
    name: str
    code: bytes
    license: str
    kernel_version: int
    attach_type: int = 0
    attach_id: int = 0
    btf_fd: int = 0
    functions: bytes = b""
    lines: bytes = b""


def load_program(program: Program) -> int:
    """Load *program*; return its descriptor. Raises OSError; what the verifier says then is written to descriptor 2."""
    for _ in range(_TRIES):
        try:
            return _load(program, None)
        except OSError as error:
            failure = error
        if failure.errno != errno.EAGAIN:
            break
    log = ctypes.create_string_buffer(_LOG_BYTES)
    try:
        return _load(program, log)  # it may work now
    except OSError as error:
        with suppress(OSError):
            os.write(2, b"%s: %s\n%s\n" % (program.name.encode(), str(error).encode(), log.value))
        raise failure from None


def verifier_says(program: Program) -> str:
    """Return what the verifier says of *program* in a few lines: it is loaded for that, and gone again.

    Raises OSError.
    """
    log = ctypes.create_string_buffer(_LOG_BYTES)
    os.close(_load(program, log, _LOG_STATS))
    return log.value.decode("utf-8", "replace").strip()


def _load(program: Program, log: ctypes.Array[ctypes.c_char] | None, level: int = 1) -> int:
    insns, license_name, functions, lines = (
        ctypes.create_string_buffer(data)
        for data in (program.code, program.license.encode(), program.functions, program.lines)
    )
    typed = bool(program.btf_fd)
    attr = _LOAD.pack(
        program.type,
        len(program.code) // 8,
        ctypes.addressof(insns),
        ctypes.addressof(license_name),
        *((0, 0, 0) if log is None else (level, len(log), ctypes.addressof(log))),
        program.kernel_version,
        0,
        _short(program.name),
        0,
        program.attach_type,
        program.btf_fd,
        _FUNCTION_BYTES if typed else 0,
        ctypes.addressof(functions) if typed else 0,
        len(program.functions) // _FUNCTION_BYTES,
        _LINE_BYTES if typed else 0,
        ctypes.addressof(lines) if typed else 0,
        len(program.lines) // _LINE_BYTES,
        program.attach_id,
    )
    return bpf(_PROG_LOAD, attr)


def open_raw_tracepoint(program_fd: int, name: str | None) -> int:
    """Attach a program to the raw tracepoint *name*, or a tracing program (None) to its function; return the link.

    Raises OSError. The program is detached when the link's descriptor is closed.
    """
    text = None if name is None else ctypes.create_string_buffer(name.encode())
    return bpf(_RAW_TRACEPOINT_OPEN, _OPEN.pack(0 if text is None else ctypes.addressof(text), program_fd))


class MapInfo(NamedTuple):
    """Type and sizes (in bytes) of a map: the first members of struct bpf_map_info, without `id`."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


def map_info(map_fd: int) -> MapInfo:
    """Return what the kernel reports about a map; raises OSError."""
    kind, _id, *rest = struct.unpack_from("=6I", info(map_fd))
    return MapInfo(kind, *rest)


def info(fd: int, request: bytes = b"") -> bytes:
    """Return what the kernel reports about a map or a program; raises OSError.

    *request* is what the kernel finds in its place: where to write what is longer.
    """
    reply = ctypes.create_string_buffer(request, _INFO_SIZE)
    bpf(_GET_INFO_BY_FD, struct.pack("=IIQ", fd, _INFO_SIZE, ctypes.addressof(reply)))
    return reply.raw


class InfoBuffer:
    """Asks the same as `info` of one object after the other, into the same memory."""

    def __init__(self) -> None:
        self._reply = (ctypes.c_char * _INFO_SIZE)()
        self._attr = ctypes.create_string_buffer(ATTR_SIZE)

    def of(self, fd: int) -> ctypes.Array[ctypes.c_char]:
        """Return what the kernel reports, until it is called again; raises OSError."""
        ctypes.memset(self._reply, 0, _INFO_SIZE)
        struct.pack_into("=IIQ", self._attr, 0, fd, _INFO_SIZE, ctypes.addressof(self._reply))
        if call(_GET_INFO_BY_FD, self._attr, ATTR_SIZE) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return self._reply


def runs(program_fd: int) -> Runs:
    """Return the totals of a program; zeros if the kernel is too old to keep them."""
    try:
        reply = info(program_fd)
    except OSError:
        return Runs(0, 0, 0)
    return Runs(*struct.unpack_from("=QQQ", reply, _RUN_TIME_OFFSET))


def enable_stats() -> int:
    """Enable run statistics for all programs until the returned descriptor is closed.

    Raises OSError: it is new in Linux 5.8, and needs CAP_SYS_ADMIN.
    """
    return bpf(_ENABLE_STATS, struct.pack("=I", 0))


def close_stats(fd: int) -> None:
    """Disable them again, unless another process still uses them."""
    os.close(fd)


def fentry_refusal(function_id: int | None) -> str | None:
    """Return why this kernel refuses fentry programs, None if it accepts them. A program that does nothing is loaded.

    *function_id* is the BTF type id of the kernel function that it would belong to, None if there is no BTF.
    """
    if function_id is None:
        return "this kernel has no BTF that describes its functions"
    program = Program(TYPE_TRACING, "", RETURN_ZERO, "GPL", 0, TRACE_FENTRY, function_id)
    try:
        os.close(_load(program, None))
    except OSError as error:
        return refusal(error.errno)
    return None


def accepts_cast(cast_id: int, task_id: int) -> bool:
    """Return whether this kernel accepts programs that call bpf_rdonly_cast: not without its JIT. One is loaded.

    *cast_id* and *task_id* are the BTF type ids of that function and of struct task_struct.
    """
    code = (
        struct.pack("=BBhi", 0x85, 0, 0, 158)  # r0 = bpf_get_current_task_btf()
        + struct.pack("=BBhi", 0xBF, 0x01, 0, 0)  # r1 = r0
        + struct.pack("=BBhi", 0xB7, 0x02, 0, task_id)  # r2 = task_id
        + struct.pack("=BBhi", 0x85, 0x20, 0, cast_id)  # call it: BPF_PSEUDO_KFUNC_CALL
        + RETURN_ZERO
    )
    try:
        os.close(_load(Program(TYPE_RAW_TRACEPOINT, "", code, "GPL", 0), None))
    except OSError:
        return False
    return True


def accepts_percpu(variable_id: int) -> bool:
    """Return whether this kernel lets programs read its per-CPU variable with this BTF type id. One is loaded."""
    code = (
        struct.pack("=BBhi", 0x18, 0x31, 0, variable_id)  # r1 = the variable: BPF_PSEUDO_BTF_ID
        + struct.pack("=BBhi", 0, 0, 0, 0)
        + struct.pack("=BBhi", 0x85, 0, 0, 154)  # r0 = bpf_this_cpu_ptr(r1)
        + RETURN_ZERO
    )
    try:
        os.close(_load(Program(TYPE_RAW_TRACEPOINT, "", code, "GPL", 0), None))
    except OSError:
        return False
    return True


def refusal(code: int | None) -> str:
    """Return the message for a program that the kernel refused to load, with the reason from the error number."""
    return f"the kernel refused to load it: {os.strerror(code or 0)} ({errno.errorcode.get(code or 0, code)})"
