"""What can be watched for on a row, without an expression of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ebpftop.models.subject import Subject

HANGS_S = 10
"""A call hangs if it has not returned after so many seconds."""


@dataclass(frozen=True, slots=True)
class WatchChoice:
    """Something to watch for, in words, and as the expression that it is."""

    words: str
    expression: str


def watch_choices(subject: Subject) -> list[WatchChoice]:
    """Return what can be watched for, the most likely first."""
    return [WatchChoice(words, expression) for words, expression in _choices(subject)]


def quoted(text: str) -> str:
    """Return *text* as an expression has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _choices(s: Subject) -> Iterator[tuple[str, str]]:
    comm = quoted(s.comm)
    if s.bpf is not None:
        name = quoted(s.text)
        its = f"p.id == {s.bpf}"
        yield f"the kernel leaves out runs of {s.text}", f"programs.rows.exists(p, {its} && p.misses > 0)"
        yield f"{s.text} is unloaded", f"!programs.rows.exists(p, {its})"
        yield f"a program named {s.text} is there", f"programs.rows.exists(p, p.name == {name})"
    elif s.kind == "exec":
        if s.error is not None:
            yield f"{s.file} cannot be started", f"exec.file == {quoted(s.file)} && exec.ret < 0"
            yield f"{s.comm} cannot start a program", f"exec.comm == {comm} && exec.ret < 0"
            return
        if s.running and s.pid is not None:
            yield f"this process ends ({s.comm} {s.pid})", f"exit.pid == {s.pid} && exit.comm == {comm}"
        yield f"{s.comm} exits with a status other than 0", f"exit.comm == {comm} && exit.code > 0"
        yield f"{s.comm} is ended by a signal", f"exit.comm == {comm} && exit.signal != null"
        yield f"{s.comm} starts", f"exec.comm == {comm} && exec.ret == 0"
        yield f"{s.comm} runs for more than a minute", f"exit.comm == {comm} && exit.duration_s > 1m"
    elif s.kind == "group" and (s.container or s.cgroup):
        own = f"exec.container == {quoted(s.container)}" if s.container else f"exec.cgroup == {quoted(s.cgroup or '')}"
        yield f"{s.text} starts a program", f"{own} && exec.ret == 0"
        yield f"{s.text} cannot start a program", f"{own} && exec.ret < 0"
    elif s.kind == "user" and s.uid is not None:
        name = s.user or f"uid {s.uid}"
        yield f"a program of {name} exits with a status other than 0", f"exit.uid == {s.uid} && exit.code > 0"
        yield f"a program of {name} is ended by a signal", f"exit.uid == {s.uid} && exit.signal != null"
        yield f"{name} starts a program", f"exec.uid == {s.uid} && exec.ret == 0"
        yield f"{name} cannot start a program", f"exec.uid == {s.uid} && exec.ret < 0"
    elif s.call:
        call = quoted(s.call)
        hangs = f"syscalls.in_flight.exists(c, c.name == {call} && c.ns > {HANGS_S}s)"
        yield f"a {s.call} has not returned after {HANGS_S} s", hangs
        yield f"a {s.call} fails (if it is traced: T)", f"syscall.name == {call} && syscall.error != null"
        yield f"a {s.call} takes more than 100 ms (if it is traced: T)", f"syscall.name == {call} && syscall.ns > 100ms"
    elif s.kind == "trace":
        yield f"{s.comm} prints", f"trace.task == {comm}"
        yield "this is printed again", f"trace.message == {quoted(s.text)}"
    elif s.kind == "open":
        if s.text:
            yield f"{s.text} is opened", f"open.path == {quoted(s.text)}"
            yield f"{s.text} cannot be opened", f"open.path == {quoted(s.text)} && open.ret < 0"
        yield f"{s.comm} cannot open a file", f"open.comm == {comm} && open.ret < 0"
