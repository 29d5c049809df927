"""Traced system calls as command lines of ebpftop, strace, bpftrace, with conditions where these can express them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ebpftop.core.syscall_records import Abi
from ebpftop.models.subject import Subject
from ebpftop.syscalls.errno_names import error_name
from ebpftop.syscalls.tracing import Condition, parse_condition

_STREAM = ("sudo", "ebpftop", "stream", "--probes", "syscalls", "--trace")
_PERSONALITIES: dict[Abi, str] = {"i386": "@32", "x32": "@x32", "arm": "@32"}  # strace(1), "Filtering"

Line = tuple[str, str, str]
"""A tool, what the line does, the line."""


def traced_lines(s: Subject) -> Iterator[Line]:
    """Yield the lines that trace what a row is about: a system call, on its conditions, or a running process."""
    if s.call:
        conditions = [one for one in map(parse_condition, s.conditions) if one is not None]
        items = ",".join(f"{s.call}:{one}" for one in conditions) or s.call
        yield "ebpftop", "each of these calls, with arguments", shlex.join((*_STREAM, items))
        for condition in conditions or [Condition()]:
            yield from _strace(s, condition)
            yield from _bpftrace(s, condition)
    elif s.pid is not None and s.running:
        yield "ebpftop", "its calls, and its children's", shlex.join((*_STREAM, f"all:pid={s.pid}"))


def _strace(s: Subject, condition: Condition) -> Iterator[Line]:
    """Yield the line of strace, which knows neither errors one by one nor times, and no patterns of paths."""
    path = condition.path
    if condition.error is not None or condition.slower_ns is not None or (path is not None and "*" in path):
        return
    words = ["strace", "-f", "-e", f"trace={s.call}{_PERSONALITIES.get(s.abi, '') if s.abi else ''}"]
    words += ["-Z"] if condition.failed else []
    words += ["-P", path] if path is not None else []
    if condition.pid is not None:
        yield "strace", f"those of process {condition.pid}", shlex.join(["sudo", *words, "-p", str(condition.pid)])
    else:
        yield "strace", "those of a shell, and of what is started there", shlex.join([*words, "--", "sh"])


def _bpftrace(s: Subject, condition: Condition) -> Iterator[Line]:
    """Yield the line of bpftrace: it has no paths here, and of a process not what descends from it."""
    if s.nr is None or condition == Condition() or condition.path is not None:
        return
    tests = [f"pid == {condition.pid}"] if condition.pid is not None else []
    tests += ["args->ret < 0"] if condition.failed else []
    if condition.error is not None:
        tests.append(f"args->ret == -{condition.error}")
    prints = r'printf("%s %d %d\n", comm, pid, args->ret);'
    about = f"each of these calls: {condition}"
    if condition.error is not None:
        about += f" ({error_name(condition.error)} is {condition.error})"
    if condition.slower_ns is None:
        when = " && ".join([f"args->id == {s.nr}", *tests])
        program = f"tracepoint:raw_syscalls:sys_exit /{when}/ {{ {prints} }}"
    else:
        when = " && ".join([f"nsecs - @s[tid] > {condition.slower_ns}", *tests])
        program = (
            f"tracepoint:raw_syscalls:sys_enter /args->id == {s.nr}/ {{ @s[tid] = nsecs; }} "
            f"tracepoint:raw_syscalls:sys_exit /@s[tid]/ {{ if ({when}) {{ {prints} }} delete(@s[tid]); }}"
        )
    yield "bpftrace", about, f"sudo bpftrace -e {shlex.quote(program)}"
