"""Threads that wait for children of their process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ebpftop.kernel.waiting_task import (
    AWAITED_MAX,
    Wait,
    WaitingTask,
    children_of,
    in_namespace,
    named,
    read,
    signed,
    status_words,
)

_P_ALL, _P_PID, _P_PGID, _P_PIDFD = range(4)  # include/uapi/linux/wait.h


def child(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    return _children_by(process, signed(registers[argument]))


def _children_by(process: WaitingTask, pid: int) -> Wait:
    """Return which children are waited for, as wait4(2) has it: one, all (-1), or those of a process group."""
    children = children_of(process.pid)
    if pid > 0:
        found = in_namespace(process, ((child, f"/proc/{child:d}") for child in children), pid)
        return Wait(awaited=named([found])) if found is not None else Wait()
    if pid != -1:
        key = b"NSpgid:"
        group = int(status_words(process.task, key)[-1]) if pid == 0 else -pid
        depth = len(status_words(process.task, key))
        children = [child for child in children if _is_in_group(child, depth, group)]
    return Wait(awaited=named(children), more=max(0, len(children) - AWAITED_MAX))


def _is_in_group(pid: int, depth: int, group: int) -> bool:
    with suppress(OSError):
        groups = status_words(f"/proc/{pid:d}", b"NSpgid:")
        return len(groups) >= depth and int(groups[depth - 1]) == group
    return False


def waitid(process: WaitingTask, registers: Sequence[int], _argument: int) -> Wait:
    which, number = signed(registers[0]), signed(registers[1])
    if which == _P_PIDFD:
        lines = read(f"{process.task}/fdinfo/{number:d}", 1024).splitlines()
        pid = next((int(line.split()[1]) for line in lines if line.startswith(b"Pid:")), 0)
        return Wait(fd=number, awaited=named([pid])) if pid > 0 else Wait()
    return _children_by(process, {_P_ALL: -1, _P_PID: number, _P_PGID: -number}[which]) if which <= _P_PGID else Wait()


def vfork(process: WaitingTask, _registers: Sequence[int], _argument: int) -> Wait:
    """Return the child that has the memory of a thread until it runs a program or ends: vfork(2), posix_spawn(3).

    It is the newest one of the thread, which makes no other meanwhile; adopted ones have memory of their own.
    """
    ours = read(f"{process.task}/statm", 256)
    for child in reversed(read(f"{process.task}/children", 1 << 16).split()):
        with suppress(OSError):
            if read(f"/proc/{int(child):d}/statm", 256) == ours:
                return Wait(awaited=named([int(child)]))
    return Wait()
