"""Sick machines: what is closed, full, missing, too small or damaged is one line with its remedy, and nothing hangs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Probe
from ebpftop.core.source import SourceError
from ebpftop.filters.spec import Filter
from ebpftop.kernel import build_cache, compiler
from ebpftop.kernel.compiled import Compiled
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import needs_root
from tests.unit.recording_samples import play
from tests.unit.test_stdio import EBPFTOP, assert_one_safe_line, run, run_in_terminal

pytestmark = needs_root

# A stream that needs the least time, of what the test itself does.
SHORT = ("--probes", "execs", "--pid", str(os.getpid()), "--duration", "0.2")


def run_after(first: str, *arguments: str | bytes, timeout_s: float = 100) -> tuple[int, bytes, bytes]:
    """Run ebpftop in a mount table of its own, after the shell's command *first*; return status, stdout, stderr."""
    script = f'mount --make-rprivate /\n{first}\nexec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *EBPFTOP, *arguments],
        check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_without_dev_its_helpers_start_and_the_trace_log_has_its_instance() -> None:
    first = "mount -t tmpfs none /dev"
    status, out, err = run_after(first, "stream", "--probes", "trace", "--duration", "0.2")
    assert (status, err) == (0, b"")
    (probe,) = [record for line in out.splitlines() if (record := msgspec.json.decode(line))["kind"] == "probe"]
    assert probe["state"] == "on"
    (lines,) = [attempt for attempt in probe["attempts"] if attempt["via"] == "lines: instance"]
    assert lines["reason"] is None


# ---- descriptors ----


@pytest.mark.parametrize(
    ("redirected", "expected"),
    [(">&-", 1), ("2>&-", 0), ("<&-", 0), ("<&- 2>&-", 0), ("<&- >&- 2>&-", 1), ("1</dev/null", 1), ("2>/dev/full", 0)],
)
def test_a_stream_with_closed_descriptors_streams_or_says_why_it_does_not(redirected: str, expected: int) -> None:
    status, out, err = run("stream", *SHORT, redirected=redirected)
    assert status == expected
    assert bool(out) == (expected == 0)
    if expected and "2>" not in redirected:
        assert_one_safe_line(err, "stdout is closed", "ebpftop record FILE")
    else:
        assert err == b""


@pytest.mark.parametrize("redirected", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_no_file_that_is_opened_gets_the_number_of_a_closed_one(tmp_path: Path, redirected: str) -> None:
    path = tmp_path / "r.jsonl"
    assert run("record", str(path), *SHORT, redirected=redirected)[0] == 0
    records, source = play(path)
    assert any(isinstance(record, Probe) for record in records)
    assert source.damage.report() == []


@pytest.mark.parametrize("arguments", [("check",), ("check", "--json"), ("stream", *SHORT)])
def test_a_full_disk_behind_stdout_is_one_line(arguments: tuple[str, ...]) -> None:
    status, _, err = run(*arguments, redirected=">/dev/full")
    assert status == 1
    assert_one_safe_line(err, "stdout: No space left on device; make room")


# ---- file systems ----

COMMANDS = [("stream", *SHORT), ("record", "{folder}/r.jsonl", *SHORT), ("check",)]


@pytest.mark.parametrize("command", [*COMMANDS, ("serve",)], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("hidden", "words"),
    [(("/proc",), "/proc is not mounted"), (("/sys",), "/sys is not mounted"), (("/sys", "/proc"), "/proc is not")],
)
def test_without_proc_or_sys_the_line_says_how_to_mount_it(
    tmp_path: Path, command: tuple[str, ...], hidden: tuple[str, ...], words: str
) -> None:
    first = "\n".join(f"mount -t tmpfs none {place}" for place in hidden)
    arguments = [argument.format(folder=tmp_path) for argument in command]
    status, out, err = run_after(first, *arguments)
    assert (status, out) == (1, b"")
    assert_one_safe_line(err, words, "; mount -t ")
    assert list(tmp_path.iterdir()) == []


_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp", "/run", "/dev/shm")
_CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [*COMMANDS, ("live",)], ids=lambda command: command[0])
def test_root_of_a_user_namespace_is_told_to_be_none_outside_it(command: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-U", "-r", *EBPFTOP, *(part.format(folder=tmp_path) for part in command)],
        check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert done.returncode == 3
    assert_one_safe_line(done.stderr, "root of a user namespace", "on the host as root")
    assert not list(tmp_path.iterdir())


def test_where_no_thread_can_start_since_the_next_child_begins_a_namespace_the_line_says_so() -> None:
    done = subprocess.run(
        ["unshare", "-p", *EBPFTOP, "stream", *SHORT],
        check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1
    assert_one_safe_line(done.stderr, "PID namespace", "unshare --fork")


def cover(place: str, options: str) -> str:
    """Return the commands that put an own file system over *place*; a checkout below it stays."""
    commands = [f"mount -t tmpfs none {place}"]
    if Path(place) in _CHECKOUT.parents:
        kept = shlex.quote(str(_CHECKOUT))
        again = [f"mkdir -p {kept}", f"mount -c --bind /proc/$$/fd/8 {kept}", "exec 8<&-"]
        commands = [f"exec 8<{kept}", *commands, *again]
    return "\n".join([*commands, f"mount -o remount,{options} {place}\n"])


def temporary(options: str) -> str:
    """Return the commands that put an own file system over every place for temporary files."""
    return "".join(cover(place, options) for place in _TEMPORARY if Path(place).is_dir())


def test_root_needs_no_place_for_temporary_files() -> None:
    status, out, err = run_after(temporary("ro") + "cd /proc; export EBPFTOP_CACHE=", "stream", *SHORT)
    assert (status, err) == (0, b"")
    assert out


def test_without_a_place_for_temporary_files_the_line_says_what_to_set() -> None:
    less = temporary("ro") + 'cd /proc; export EBPFTOP_CACHE=; set -- setpriv --bounding-set -sys_admin "$@"'
    status, out, err = run_after(less, "stream", "--probes", "users", *SHORT)
    assert (status, out) == (1, b"")
    assert_one_safe_line(err, "folder for temporary files", "TMPDIR=FOLDER")


def test_where_only_the_usual_place_is_full_another_one_does() -> None:
    full = "size=4k,nr_inodes=$(df --output=iused /tmp | tail -n 1 | tr -d ' ')"
    first = f"{cover('/tmp', full)}export EBPFTOP_CACHE= TMPDIR=/tmp"
    status, out, err = run_after(first, "stream", *SHORT)
    assert (status, err) == (0, b"")
    assert out


def test_it_runs_in_a_chroot(tmp_path: Path) -> None:
    first = f"umount -q /sys/kernel/tracing /sys/kernel/debug\nmount --rbind / {tmp_path}"
    status, out, err = run_after(f'{first}\ncd {tmp_path}; set -- chroot {tmp_path} "$@"', "stream", *SHORT)
    assert (status, err) == (0, b"")
    assert out


def test_whatever_fails_at_the_start_leaves_no_empty_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    program = (
        "from ebpftop.__main__ import main; from ebpftop.sources.live import KernelSource; "
        "KernelSource.__init__ = lambda *_, **__: 1 / 0; main()"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path / "crash")}
    (tmp_path / "crash").mkdir()
    done = subprocess.run([sys.executable, "-c", program, "record", path], check=False, capture_output=True, env=env)
    assert done.returncode == 1
    assert_one_safe_line(done.stderr, "ZeroDivisionError")
    assert not path.exists()


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_where_nothing_can_be_kept_it_starts_all_the_same(tmp_path: Path, options: str) -> None:
    first = f"mount -t tmpfs -o {options} none {tmp_path}\nexport EBPFTOP_CACHE={tmp_path}"
    status, out, err = run_after(first, "stream", *SHORT)
    assert (status, err) == (0, b"")
    assert out


# ---- limits ----


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("ulimit -v 500000", ("680 MiB of address space", "ulimit -v 696320")),
        ("ulimit -v 600000", ("680 MiB of address space", "ulimit -v 696320")),
        ("ulimit -d 200000", ("400 MiB of memory", "ulimit -d 409600")),
        ("ulimit -n 64", ("open files, and the limit is 64", "ulimit -n ")),
        ("ulimit -n 24", ("open files, and the limit is 24", "ulimit -n ")),
    ],
)
def test_the_screen_does_not_open_where_it_would_break(limit: str, words: tuple[str, ...]) -> None:
    status, said = run_in_terminal("live", first=limit)
    assert status == 1
    assert_one_safe_line(said, "the screen needs ", *words)


@pytest.mark.parametrize("files", [16, 32, 64, 128])
def test_too_few_files_are_told_before_anything_is_attached(files: int) -> None:
    status, out, err = run_after(f"ulimit -n {files}", "stream", *SHORT)
    assert (status, out) == (1, b"")
    assert_one_safe_line(err, f"the limit is {files}; raise it (ulimit -n ")


def test_a_soft_limit_on_files_is_no_limit() -> None:
    status, out, err = run_after("ulimit -Sn 20", "stream", *SHORT)
    assert (status, err) == (0, b"")
    assert out


@pytest.mark.parametrize("limit", ["ulimit -v 524288; ulimit -d 143360; ulimit -n 256", "ulimit -s 100000000"])
def test_what_the_lines_ask_for_is_enough(limit: str) -> None:
    """Also where everything has to be compiled, by the thread whose stack must be neither small nor huge."""
    status, out, err = run_after(f"{limit}\nexport EBPFTOP_CACHE=", "stream", "--duration", "0.2")
    assert (status, err) == (0, b"")
    assert out


@contextmanager
def few_pids(count: int) -> Iterator[Path]:
    """A cgroup in which there may be *count* threads."""
    v1 = Path("/sys/fs/cgroup/pids")
    group = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / f"ebpftop-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "pids.max").write_text(str(count))
        yield group
    finally:
        until_s = time.monotonic() + 30
        while (group / "cgroup.procs").read_text():  # the guard ends a moment later
            assert time.monotonic() < until_s
            time.sleep(0.05)
        group.rmdir()


@pytest.mark.parametrize("count", [3, 9, 15])
def test_where_pids_are_short_the_line_says_what_to_raise(count: int) -> None:
    with few_pids(count) as group:
        status, said = run_in_terminal("live", first=f"echo $$ > {group}/cgroup.procs")
    assert status == 1
    assert_one_safe_line(said, "the screen needs 24 threads", "pids.max")


@pytest.mark.parametrize(
    ("command", "words"),
    [("live", "the screen needs 24 threads"), ("stream", "watching the kernel needs 16"), ("check", "watching the")],
)
def test_where_the_user_behind_sudo_may_have_few_threads_the_line_says_so(command: str, words: str) -> None:
    first = "export SUDO_UID=54321 SUDO_GID=54321; ulimit -u 9"
    status, said = run_in_terminal(command, first=first)
    assert status == 1
    assert_one_safe_line(said, words, "ulimit -u")


# ---- what cannot be attached ----

NO_USERS = (
    "from ebpftop.probes.users import UsersProbe; UsersProbe.ladders = lambda _: {}; "
    "from ebpftop.__main__ import main; main()"
)
"""ebpftop, if the probe *users* does not say what it can be attached by, and so finds out late."""


def run_without_users(*arguments: str) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-c", NO_USERS, *arguments, "--attach", "users=nothing"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


def test_an_attach_option_that_does_not_exist_is_wrong_usage_before_the_screen_opens() -> None:
    status, said = run_in_terminal("live", "--attach", "execs=nonsense")
    assert status == 2
    assert_one_safe_line(said, "--attach execs=nonsense: execs is attached by raw_tracepoint, tracepoint;")


def test_a_stream_to_which_nothing_can_be_attached_fails() -> None:
    status, out, err = run_without_users("stream", "--probes", "users")
    assert status == 1
    assert_one_safe_line(err, "users is not attached: ", "; run `ebpftop check`")
    records = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [record["state"] for record in records if record["kind"] == "probe"] == ["failed"]


def test_a_recording_of_nothing_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    status, _, err = run_without_users("record", str(path), "--probes", "users")
    assert status == 1
    assert_one_safe_line(err, "users is not attached: ")
    assert not path.exists()


def test_one_of_two_probes_is_enough_and_the_other_is_told() -> None:
    status, out, err = run_without_users("stream", "--probes", "execs,users", *SHORT[2:])
    assert status == 0
    assert_one_safe_line(err, "users is not attached: ")
    assert b'"execs"' in out


# ---- what was kept ----


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBPFTOP_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def watch_once() -> list[str]:
    """Start all probes, run a program, and return what is wrong."""
    compiler._made_here.clear()  # as in another process
    source = KernelSource(Options(filter=Filter(pids=(os.getpid(),))))
    try:
        subprocess.run(["/bin/true", "seen"], check=True)
        records = [record for batch in source.read_all() for record in batch.records]
    finally:
        source.close()
    wrong = [f"{record.probe}: {record.reason}" for record in records if isinstance(record, Probe) and record.reason]
    if not any(isinstance(record, Exec) and record.argv == ("/bin/true", "seen") for record in records):
        wrong.append("an exec was not seen")
    return wrong


def _nonsense(kept: Compiled) -> Compiled:
    return msgspec.structs.replace(kept, programs=dict.fromkeys(kept.programs, b"\xff" * 64))


FORGED: dict[str, Callable[[Compiled], object]] = {
    "nonsense": _nonsense,
    "impossible maps": lambda kept: msgspec.structs.replace(
        kept, maps=tuple(msgspec.structs.replace(spec, key_size=0, value_size=0) for spec in kept.maps)
    ),
}


@pytest.mark.parametrize("content", FORGED)
def test_a_kept_program_with_a_right_checksum_and_a_wrong_content_is_compiled_anew(folder: Path, content: str) -> None:
    assert watch_once() == []
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    programs = {name: kept for name in whole if (kept := build_cache.find(name, Compiled)) is not None}
    assert len(programs) == 5
    for name, kept in programs.items():
        build_cache.store(name, FORGED[content](kept))
    with suppress(SourceError):  # where it is the filter's programs, it has to be started once more, and says so
        watch_once()
    assert watch_once() == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_kept_offsets_that_are_none_are_read_anew(folder: Path) -> None:
    assert watch_once() == []
    (name,) = [path.name for path in folder.iterdir() if build_cache.find(path.name, dict[str, int | str]) is not None]
    whole = (folder / name).read_bytes()
    build_cache.store(name, {"OFF_TASK_TGID": 8})
    assert watch_once() == []
    assert (folder / name).read_bytes() == whole


def test_pipes_in_place_of_all_that_was_kept_hold_nothing_up(folder: Path) -> None:
    assert watch_once() == []
    names = [path.name for path in folder.iterdir()]
    for name in names:
        (folder / name).unlink()
        os.mkfifo(folder / name)
    status, out, err = run("stream", "--duration", "0.2")
    assert (status, err) == (0, b"")
    assert out
    assert all((folder / name).is_file() for name in names)


# ---- who users are ----

NSS = """
#include <nss.h>
#include <unistd.h>
enum nss_status _nss_hang_getpwuid_r() { sleep(100000); return NSS_STATUS_NOTFOUND; }
enum nss_status _nss_hang_getpwnam_r() { sleep(100000); return NSS_STATUS_NOTFOUND; }
"""


@pytest.fixture
def hanging_users(tmp_path: Path) -> str:
    """The commands after which every question for a user hangs."""
    (tmp_path / "nss.c").write_text(NSS)
    library = tmp_path / "libnss_hang.so.2"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", library, tmp_path / "nss.c"], check=True)
    (tmp_path / "nsswitch.conf").write_text("passwd: hang files\n")
    return f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf\nexport LD_LIBRARY_PATH={tmp_path}"


def test_users_that_nobody_names_hold_up_neither_start_nor_end(hanging_users: str) -> None:
    status, out, err = run_after(hanging_users, "stream", "--duration", "0.2")
    assert (status, err) == (0, b"")
    assert b'"uid":0,"user":null' in out


def test_a_user_that_nobody_finds_is_told(hanging_users: str) -> None:
    status, out, err = run_after(hanging_users, "stream", "--uid", "somebody")
    assert (status, out) == (1, b"")
    assert_one_safe_line(err, "who 'somebody' is", "number of the uid")
