"""What is tried of an ebpftop that is installed."""

from __future__ import annotations

import json

from ebpftop_packages.project import version
from ebpftop_trials.system import System, TrialError
from ebpftop_trials.terminal import show

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp/nobody")

_WHILE = "(while :; do /bin/true of-the-trial; sleep 0.2; done) & work=$!; {} ; status=$?; kill $work; exit $status"
"""Something to see, for as long as a command runs: on a busy machine it may take long to attach."""


def read_the_kernel(system: System, program: str) -> None:
    """Try what attaches programs to this kernel: check, a stream, a recording of it."""
    system.run(program, "--version").must(f"ebpftop {version()}")
    system.run(program, "check").must("execs  works via")
    seen = system.shell(_WHILE.format(f"{program} stream --probes execs,syscalls --duration 3"))
    lines = seen.must().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    if len(records) != len(lines):
        raise TrialError(f"stream wrote something else than records:\n{seen.output[-2000:]}")
    if not any(one["kind"] == "exec" and "of-the-trial" in one["argv"] for one in records):
        raise TrialError(f"stream has no exec of the program that ran:\n{seen.output[-2000:]}")
    if not any(row["count"] for one in records if one["kind"] == "syscalls" for row in one["rows"]):
        raise TrialError("stream has no system calls")
    system.shell(_WHILE.format(f"{program} record /tmp/trial.jsonl.zst --duration 3")).must()
    system.run(program, "convert", "/tmp/trial.jsonl.zst", "--to", "csv").must("of-the-trial")
    system.run(program, "convert", "/tmp/trial.jsonl.zst", "--to", "folded").must("true")
    system.run("chmod", "0644", "/tmp/trial.jsonl.zst").must()
    show(system, *AS_NOBODY, program, "replay", "/tmp/trial.jsonl.zst")


def write_perfetto(system: System, program: str) -> None:
    """Try the conversion whose package is carried: of the recording of `read_the_kernel`."""
    system.run(program, "convert", "/tmp/trial.jsonl.zst", "--to", "perfetto", "-o", "/tmp/trial.pftrace").must()
    if b"of-the-trial" not in (system.root / "tmp/trial.pftrace").read_bytes():
        raise TrialError("the Perfetto trace has no exec of the program that ran")


def play(system: System, program: str) -> None:
    """Try what needs no privilege, as an ordinary user, with and without a locale."""
    for locale in ("C", "C.UTF-8"):
        system.run(*AS_NOBODY, program, "--version", env={"LC_ALL": locale}).must(f"ebpftop {version()}")
        show(system, *AS_NOBODY, program, "demo", env={"LC_ALL": locale})
    show(system, *AS_NOBODY, program, "lesson", "1", "--replay", words=b"1-hello.c")


def complete(system: System) -> None:
    """Try the manual page, and completion in each shell: bash, zsh, fish."""
    system.install("man-db", "zsh", "fish")
    system.run("man", "ebpftop", env={"MANPAGER": "cat", "MANWIDTH": "100"}).must("--print-completion", "EXIT STATUS")
    source = ". /usr/share/bash-completion/completions/ebpftop && complete -p ebpftop"
    system.run("bash", "-c", source).must("ebpftop")
    system.run("zsh", "-c", "autoload -Uz compinit && compinit -u -d /tmp/zcompdump && print $_comps[ebpftop]").must(
        "_ebpftop"
    )
    system.run("fish", "-c", "complete -C 'ebpftop str'", env={"HOME": "/tmp/fish"}).must("stream")


def nothing_is_left(before: set[str], system: System, *, but: frozenset[str] = frozenset()) -> None:
    """Raise TrialError if there is a file or folder that was not there *before*, or one of it is gone."""
    after = system.files()
    left, gone = sorted(after - before - but), sorted(before - after)
    if left or gone:
        raise TrialError(f"after the removal {len(left)} are left: {left[:20]}; {len(gone)} are gone: {gone[:20]}")
