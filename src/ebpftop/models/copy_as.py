"""A row or a filter as command lines: of ebpftop, bpftrace, strace, jq.

Names are chosen by programs, and may hold anything: each line is quoted for a shell, and what is a program in another
language (bpftrace, jq) is quoted for that first. A name that is escaped in the records (`ebpftop.core.escape`), or that
a language cannot hold, is left out, never guessed.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ebpftop.filters.spec import COMM_BYTES, Filter, comm_bytes
from ebpftop.filters.stack import container_level, group_level
from ebpftop.models.copy_traced import traced_lines
from ebpftop.models.shell_line import shell_line
from ebpftop.models.subject import Subject

_PRINTS_EXEC = r'{ printf("%d %s\n", pid, str(args->filename)); }'
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})").search
_EXEC = "tracepoint:sched:sched_process_exec"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A line for a shell: the tool, what it does, the line itself; `shown` stands for one that is too long to show."""

    tool: str
    about: str
    text: str
    shown: str = ""


def command_lines(subject: Subject | None, wanted: Filter, probes: Sequence[str] = ()) -> list[CommandLine]:
    """Return lines that show the same as a row, and as a filter; *probes* are those that a stream must name."""
    lines = [*_of_subject(subject, wanted, probes)] if subject is not None else []
    if wanted:
        options = shlex.join(wanted.options)
        lines.append(CommandLine("ebpftop", "what the filter shows", f"sudo ebpftop {options}"))
        lines.append(CommandLine("ebpftop", "the same as records", f"sudo ebpftop stream {options}"))
    return lines


def _of_subject(subject: Subject, wanted: Filter, probes: Sequence[str]) -> Iterator[CommandLine]:
    s = subject
    if s.bpf is not None:
        yield from _of_bpf(s.bpf)
        return
    chosen = _filter_of(s)
    if s.kind == "exec" and is_exact(s.argv):
        unlike = f", but of its {' and '.join(s.parts)} only a part is known" if s.parts else ""
        yield CommandLine("command", f"run it again{unlike}", shell_line(s.argv))
        if (there := _there(s)) is not None:
            yield CommandLine("command", "run it again where it ran", there)
    if chosen:
        options = wanted.combined(chosen).options
        yield CommandLine("ebpftop", "this alone, in every pane", shlex.join(["sudo", "ebpftop", *options]))
    for tool, about, text in traced_lines(s):
        yield CommandLine(tool, about, text)
    if s.call:
        traced = shlex.join(["sudo", "ebpftop", "stream", *_named(("syscalls",)), "--trace", s.call])
        yield CommandLine("jq", "those that failed", f"{traced} | {_jq(_calls_condition(s))}")
    elif (condition := _condition(s)) is not None:
        options = wanted.combined(chosen).options if chosen else wanted.options
        stream = shlex.join(["sudo", "ebpftop", "stream", *_named(probes), *options])
        yield CommandLine("jq", "the records of it", f"{stream} | {_jq(condition)}")
    yield from _bpftrace(s)
    yield from _strace(s)


def _of_bpf(number: int) -> Iterator[CommandLine]:
    """Yield the lines that are about the eBPF program of an id."""
    yield CommandLine("bpftool", "what the kernel says of it", f"sudo bpftool prog show id {number}")
    yield CommandLine("bpftool", "its instructions", f"sudo bpftool prog dump xlated id {number}")
    stream = shlex.join(["sudo", "ebpftop", "stream", *_named(("programs",))])
    wanted = shlex.quote(f'select(.kind == "programs") | .rows[] | select(.id == {number})')
    yield CommandLine("jq", "what it does, each second", f"{stream} | jq -c {wanted}")


def _there(s: Subject) -> str | None:
    """Return the line that runs a program again in its directory, below its root directory."""
    if s.cwd is None or not is_exact((s.cwd, s.root or "", s.program)):
        return None
    words = [s.program, *s.argv[1:]]
    variables = [f"{name}={value}" for name, value in s.env if is_exact((name, value))]
    if variables:  # without a PATH it is not all of the environment, but what was asked for
        words = ["env", *(("-i",) if any(name == "PATH" for name, _ in s.env) else ()), *variables, *words]
    line = f"cd {shlex.quote(s.cwd)} && {shell_line(words)}"
    return line if s.root is None else shlex.join(["sudo", "chroot", s.root, "sh", "-c", line])


def _filter_of(s: Subject) -> Filter:
    """Return the narrowest filter that goes on to mean the same: of a program its name, not a pid that ends."""
    if s.kind == "user":
        return Filter(uids=(s.uid,)) if s.uid is not None else Filter()
    if s.kind == "group":
        level = container_level(s.container) if s.container else group_level(s.text, s.cgroup or "")
        return level.filter if level is not None else Filter()
    is_option = s.comm == "--"  # argparse drops it, also behind --comm=
    if _is_plain(s.comm) and "*" not in s.comm and not is_option and len(comm_bytes(s.comm)) <= COMM_BYTES:
        return Filter(comms=(s.comm,))
    return Filter(pids=(s.pid,)) if s.pid is not None else Filter()


def _named(probes: Sequence[str]) -> list[str]:
    return ["--probes", ",".join(probes)] if probes else []


# jq.


def _condition(s: Subject) -> str | None:
    parts = [f".kind == {_jq_text(s.kind if s.kind not in ('user', 'group') else 'exec')}"]
    if s.kind == "group":
        if s.container:
            parts.append(f".container == {_jq_text(s.container)}")
        elif s.cgroup:
            parts.append(f"(.cgroup + {_jq_text('/')} | startswith({_jq_text(s.cgroup + '/')}))")
    elif s.kind == "user":
        parts.append(f".uid == {s.uid}")
    elif s.comm:
        parts.append(f"{'.task' if s.kind == 'trace' else '.comm'} == {_jq_text(s.comm)}")
    elif s.pid is not None:
        parts.append(f".pid == {s.pid}")
    if s.error is not None:
        parts.append(f".error == {_jq_text(s.error)}")
    return " and ".join(parts) if len(parts) > 1 else None


def _calls_condition(s: Subject) -> str:
    return f'.kind == "syscall" and .name == {_jq_text(s.call)} and .error != null'


def _jq(condition: str) -> str:
    return f"jq -c {shlex.quote(f'select({condition})')}"


def _jq_text(text: str) -> str:
    # A backslash is doubled, so that none is left to begin jq's interpolation, \(..).
    return json.dumps(text)


# bpftrace.


def _bpftrace(s: Subject) -> Iterator[CommandLine]:
    by = _predicate(s)
    if s.call and s.nr is not None:
        enter = f"tracepoint:raw_syscalls:sys_enter /args->id == {s.nr}/"
        yield _bpf("who makes this call", f"{enter} {{ @[comm] = count(); }}")
        times = "tracepoint:raw_syscalls:sys_exit /@s[tid]/ { @ns = hist(nsecs - @s[tid]); delete(@s[tid]); }"
        yield _bpf("its latency", f"{enter} {{ @s[tid] = nsecs; }} {times}")
        return
    if by is None:
        return
    if s.kind == "exec" and s.error is not None:
        failed = f"tracepoint:syscalls:sys_exit_execve /args->ret < 0 && {by}/"
        yield _bpf("its execve calls that fail", rf'{failed} {{ printf("%d %s %d\n", pid, comm, args->ret); }}')
    elif s.kind in ("exec", "user"):
        yield _bpf("programs that start", f"{_EXEC} /{by}/ {_PRINTS_EXEC}")
    elif s.kind == "open":
        opens = f"tracepoint:syscalls:sys_enter_openat /{by}/"
        yield _bpf("what it opens", rf'{opens} {{ printf("%d %s\n", pid, str(args->filename)); }}')
    yield _bpf("the system calls it makes", f"tracepoint:raw_syscalls:sys_enter /{by}/ {{ @[args->id] = count(); }}")


def _predicate(s: Subject) -> str | None:
    if s.kind == "user":
        return None if s.uid is None else f"uid == {s.uid}"
    if _is_plain(s.comm):
        return f"comm == {_bpftrace_text(s.comm)}"
    return None if s.pid is None else f"pid == {s.pid}"


def _bpf(about: str, program: str) -> CommandLine:
    return CommandLine("bpftrace", about, f"sudo bpftrace -e {shlex.quote(program)}")


def _bpftrace_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# strace.


def _strace(s: Subject) -> Iterator[CommandLine]:
    if s.kind == "exec" and s.pid is not None and s.running:
        yield CommandLine("strace", "its calls, and its children's", f"sudo strace -f -p {s.pid}")
    if s.kind == "exec" and is_exact(s.argv):
        yield CommandLine("strace", "run it again under strace", shlex.join(["strace", "-f", "--", *s.argv]))
    if s.kind in ("exec", "trace", "open") and not s.running and _is_plain(s.comm):
        # A name is a regular expression to pgrep, which shall match all of it.
        found = f'"$(pgrep -d, -x -- {shlex.quote(re.escape(s.comm))})"'
        yield CommandLine("strace", "all that have its name now", f"sudo strace -f -p {found}")


def is_exact(argv: Sequence[str]) -> bool:
    """Return whether *argv* is known, byte by byte: what looks like an escape may stand for a byte, or for itself."""
    return bool(argv) and not any(map(_ESCAPED, argv))


def _is_plain(comm: str) -> bool:
    """Return whether *comm* is the name itself: with a backslash it may stand for bytes that cannot be written."""
    return bool(comm) and "\\" not in comm
