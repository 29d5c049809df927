"""Programs into the kernel by bpf(2), with their types and the lines of their source, which BCC's own way may drop."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.load.deadline import Deadline, Ended
from ebpftop.kernel.load.loading import ProgramFacts
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO

_PROG_LOAD, _BTF_LOAD = 5, 18
# union bpf_attr, include/uapi/linux/bpf.h: prog_type, insn_cnt, insns, license, log_level, log_size, log_buf,
# kern_version, prog_flags, prog_name, prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size, func_info,
# func_info_cnt, line_info_rec_size, line_info, line_info_cnt, attach_btf_id.
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
_BTF = struct.Struct("=QQIII")  # btf, btf_log_buf, btf_size, btf_log_size, btf_log_level
_TRIES = 5  # the verifier ends with EAGAIN if a signal is pending
_STATS_LOG, _FULL_LOG, _PATH_LOG = 4, 2, 1  # BPF_LOG_STATS, BPF_LOG_LEVEL2 and 1: include/linux/bpf_verifier.h
_STATS_BYTES, _LOG_BYTES = 4096, 16 << 20
_NAME_MAX = 15
_WALKED = "processed "  # print_verification_stats: at the end of its walk, also of one that led to an error
_TOO_LARGE = "program is too large. Processed"

# struct bpf_prog_info: id at 4, tag at 8, jited_prog_len at 16, xlated_prog_len, run_time_ns at 192, run_cnt,
# recursion_misses, verified_insns (Linux 5.16).
_FACTS = struct.Struct("=4xI8sII168xQQQI")

TYPES: Mapping[str, int] = {
    "kprobe": 2,
    "kretprobe": 2,
    "uprobe": 2,
    "uretprobe": 2,
    "tracepoint": 5,
    "perf": 7,
    "raw_tracepoint": bpf_syscall.TYPE_RAW_TRACEPOINT,
    "fentry": bpf_syscall.TYPE_TRACING,
    "fexit": bpf_syscall.TYPE_TRACING,
    "tp_btf": bpf_syscall.TYPE_TRACING,
    "lsm": 29,
}
"""enum bpf_prog_type by the kind of the place where a program is attached."""
ATTACH_TYPES: Mapping[str, int] = {"tp_btf": 23, "fentry": bpf_syscall.TRACE_FENTRY, "fexit": 25, "lsm": 27}
"""enum bpf_attach_type, of those that the kernel wants to know before it verifies."""


class Program(NamedTuple):
    """A program to load: instructions with descriptors of maps, and what belongs to them."""

    name: str
    code: bytes
    functions: bytes
    lines: bytes
    license: str
    version: int


class Refused(NamedTuple):
    """The kernel did not load a program."""

    code: int
    """The error number."""
    log: str
    """What the verifier wrote."""


class Accepted(NamedTuple):
    """A loaded program."""

    fd: int
    log: str


def load_btf(blob: bytes) -> int | None:
    """Return the descriptor of *blob* in the kernel; None if the kernel does not accept it."""
    buffer = ctypes.create_string_buffer(blob, len(blob))
    try:
        return bpf_syscall.bpf(_BTF_LOAD, _BTF.pack(ctypes.addressof(buffer), 0, len(blob), 0, 0))
    except OSError:
        return None


def load(program: Program, kind: str, attach_id: int, btf_fd: int | None, deadline: Deadline) -> Accepted | Refused:
    """Load *program* for places of *kind*; *attach_id* is the BTF type id of the kernel function of a tracing program.

    If the kernel refuses it because of what it does not understand in its types, it is loaded without them. Raises
    Ended if the kernel has not decided before the *deadline*.
    """
    first: _Refusal | None = None
    for btf in (btf_fd, None) if btf_fd is not None else (None,):
        if first is not None and _WALKED in first.log:
            break  # its types were understood
        for _ in range(_TRIES):
            try:
                fd, log = _load(program, kind, attach_id, btf, (_STATS_LOG, _STATS_BYTES), deadline)
            except _Refusal as error:
                if error.errno != errno.EAGAIN:
                    first = first or error
                    break
                deadline.check()
            else:
                return Accepted(fd, log)
    if first is None:
        return Refused(errno.EAGAIN, "")
    if _TOO_LARGE in first.log:  # to write down a million instructions takes longer than to walk them
        return Refused(first.errno or errno.EINVAL, first.log)
    return Refused(first.errno or errno.EINVAL, _why(program, kind, attach_id, btf_fd, deadline) or first.log)


def _why(program: Program, kind: str, attach_id: int, btf_fd: int | None, deadline: Deadline) -> str:
    """Return what the verifier writes about a program that it refuses; nothing if there is no time for that.

    Its second level has the registers of each instruction. Kernels before 6.4 give up if that is longer than the
    buffer; then the first level, which has only the path to the error.
    """
    for level in (_FULL_LOG, _PATH_LOG):
        try:
            fd, log = _load(program, kind, attach_id, btf_fd, (level, _LOG_BYTES), deadline)
        except Ended:
            break
        except _Refusal as error:
            if error.errno == errno.EAGAIN:
                break
            if error.errno != errno.ENOSPC:
                return error.log
        else:  # it works now
            os.close(fd)
            return log
    return ""


class _Refusal(OSError):
    """The verifier's no, with its log."""

    log = ""


def _load(
    program: Program, kind: str, attach_id: int, btf_fd: int | None, logs: tuple[int, int], deadline: Deadline
) -> tuple[int, str]:
    """Load it, with a log of a level and a size; return the descriptor and the log. Raises _Refusal, Ended."""
    level, log_bytes = logs
    insns, license_name, functions, lines = (
        ctypes.create_string_buffer(data, len(data) + 1)
        for data in (program.code, program.license.encode(), program.functions, program.lines)
    )
    log = ctypes.create_string_buffer(log_bytes)
    has_types = btf_fd is not None and bool(program.functions)
    attr = _LOAD.pack(
        TYPES[kind],
        len(program.code) // 8,
        ctypes.addressof(insns),
        ctypes.addressof(license_name),
        level,
        len(log),
        ctypes.addressof(log),
        program.version,
        0,
        program.name.encode()[:_NAME_MAX],
        0,
        ATTACH_TYPES.get(kind, 0),
        btf_fd if has_types and btf_fd is not None else 0,
        FUNCTION_INFO.size if has_types else 0,
        ctypes.addressof(functions) if has_types else 0,
        len(program.functions) // FUNCTION_INFO.size if has_types else 0,
        LINE_INFO.size if has_types else 0,
        ctypes.addressof(lines) if has_types else 0,
        len(program.lines) // LINE_INFO.size if has_types else 0,
        attach_id,
    )
    try:
        with deadline.in_kernel():
            fd = bpf_syscall.bpf(_PROG_LOAD, attr)
    except OSError as error:
        refusal = _Refusal(error.errno, error.strerror)
        refusal.log = log.value.decode("utf-8", "replace")
        raise refusal from error
    return fd, log.value.decode("utf-8", "replace")


def facts(fd: int) -> ProgramFacts:
    """Return what the kernel says about a program; raises OSError."""
    number, tag, jited, xlated, run_ns, runs, misses, verified = _FACTS.unpack_from(bpf_syscall.info(fd))
    return ProgramFacts(number, tag.hex(), xlated, jited, verified or None, runs, run_ns, misses)
