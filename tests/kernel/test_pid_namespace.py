"""ebpftop in a pid namespace: its own numbers mean other processes to the kernel, and to ebpftop elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ebpftop.kernel import tracefs
from ebpftop.lifecycle import leftovers
from ebpftop.lifecycle.leftovers import Owner

_IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
# The next process of the namespace has the number that is asked for (proc(5), ns_last_pid).
_AS_NUMBER = """
import os, pathlib, sys
number, command = int(sys.argv[1]), sys.argv[2:]
pathlib.Path('/proc/sys/kernel/ns_last_pid').write_text(str(number - 1))
if (pid := os.fork()) == 0:
    os.execv(command[0], command)
assert pid == number
os.waitpid(pid, 0)
"""
_STREAM = """
import os, sys
from ebpftop.__main__ import main
sys.argv = ['ebpftop', 'stream', '--probes', 'users', '--duration', '2']
main()
"""


def test_it_hides_nobody_and_says_that_it_is_shown_itself() -> None:
    done = subprocess.run(
        [*_IN_A_NAMESPACE, sys.executable, "-c", _STREAM], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert b"ebpftop itself is shown too" in done.stderr
    assert b"--pid=host" in done.stderr
    assert json.loads(done.stdout.splitlines()[0])["kind"] == "header"


def test_what_ebpftop_of_another_namespace_made_in_tracefs_is_left_alone() -> None:
    """Its pid is nobody's in a namespace that has a handful of processes."""
    place = tracefs.mount_privately()
    assert place is not None
    instance = tracefs.instance_path(place)
    instance.mkdir()
    code = f"""
from pathlib import Path
from ebpftop.lifecycle import leftovers
from ebpftop.kernel import tracefs
from ebpftop.lifecycle.leftovers import Owner
tracefs.remove_leftovers(Path({str(place)!r}))
"""
    try:
        subprocess.run([*_IN_A_NAMESPACE, sys.executable, "-c", code], check=True, timeout=60)
        assert instance.exists()
    finally:
        instance.rmdir()


def test_what_somebody_reads_of_another_is_not_taken_for_removed() -> None:
    place = tracefs.mount_privately()
    assert place is not None
    fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        owner = Owner(4321, 1)  # there is no such pid namespace
        (place / "instances" / owner.instance).mkdir()
        with (place / "instances" / owner.instance / "trace_pipe").open("rb"):
            assert not leftovers.remove(fd, owner)
            assert owner in leftovers.owners(fd)
        assert leftovers.remove(fd, owner)
        assert owner not in leftovers.owners(fd)
    finally:
        os.close(fd)


@contextmanager
def streaming(number: int, probe: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ebpftop stream` as process *number* of a pid namespace of its own, once its probe is attached."""
    command = [sys.executable, "-m", "ebpftop", "stream", "--probes", probe, "--duration", "30"]
    with subprocess.Popen(
        [*_IN_A_NAMESPACE, sys.executable, "-c", _AS_NUMBER, str(number), *command], stdout=subprocess.PIPE
    ) as first:
        try:
            records_until(first, lambda record: record["kind"] == "probe")
            yield first
        finally:
            for pid in below(first.pid):  # the namespace's first process ends all of it
                os.kill(pid, signal.SIGKILL)


def records_until(stream: subprocess.Popen[bytes], last: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read records up to the one of which *last* is true, which is returned."""
    assert stream.stdout is not None
    for line in stream.stdout:
        if last(record := json.loads(line)):
            return cast("dict[str, Any]", record)
    raise AssertionError("the stream has ended")


def below(pid: int) -> list[int]:
    """Return the child processes of *pid*."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_stranger_who_has_the_number_of_ebpftop_is_shown() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read line; exec /bin/true stranger"], stdin=subprocess.PIPE) as stranger:
        with streaming(stranger.pid, "execs") as stream:
            stranger.communicate(b"\n")
            shown = records_until(stream, lambda record: "stranger" in record.get("argv", ()))
        assert shown["pid"] == stranger.pid


def test_two_of_the_same_number_in_two_namespaces_have_a_trace_instance_each() -> None:
    """The one that is killed with its guard leaves it, and the next start elsewhere removes that one alone."""
    place = tracefs.mount_privately()
    assert place is not None
    fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        number = 4321

        def named() -> set[Owner]:
            return {owner for owner in leftovers.owners(fd) if owner.pid == number}

        with streaming(number, "trace"):
            (living,) = named()
            with streaming(number, "trace"):
                (killed,) = named() - {living}
            tracefs.remove_leftovers(place)
            assert named() == {living}
        assert living.pid_namespace != killed.pid_namespace
        until_s = time.monotonic() + 20
        while named():  # the kernel has ended all of the namespace by now, or is about to
            tracefs.remove_leftovers(place)
            assert time.monotonic() < until_s
    finally:
        os.close(fd)
