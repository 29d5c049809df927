"""What ebpftop keeps of root's privileges, and whose files it writes: asked of the kernel, for each thread."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ebpftop.kernel.capabilities import Cap
from ebpftop.kernel.root_child import KEPT
from ebpftop.lifecycle.invoker import nobody
from tests.kernel.privilege_program import threads
from tests.kernel.support import Stream, needs_root, of

pytestmark = needs_root

EBPFTOP = (sys.executable, "-m", "ebpftop")
UID, GID = 12345, 12346
SUDO = {"SUDO_UID": str(UID), "SUDO_GID": str(GID)}
NONE = "0" * 16
WATCHING = f"{1 << Cap.BPF | 1 << Cap.PERFMON | 1 << Cap.DAC_READ_SEARCH:016x}"


def four(number: int) -> str:
    """Return an id as proc_pid_status(5) shows it: real, effective, saved, of the file system."""
    return " ".join([str(number)] * 4)


def kept(caps: str, uid: int, gid: int, groups: str = "") -> dict[str, str]:
    """Return what every thread is to have."""
    return {
        "Uid": four(uid), "Gid": four(gid), "Groups": groups, "NoNewPrivs": "1",
        "CapPrm": caps, "CapEff": caps, "CapInh": NONE, "CapBnd": NONE, "CapAmb": NONE,
    }  # fmt: skip


KILL = f"{1 << 5:016x}"
GUARD = f"{1 << 5 | 1 << Cap.SETUID | 1 << Cap.SETGID:016x}"
AS_USER = kept(WATCHING, UID, GID, str(GID))
AS_ROOT = kept(WATCHING, 0, 0, " ".join(map(str, os.getgroups())))


def children_of(pid: int) -> dict[str, int]:
    """Return the child processes of *pid* by name."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in children}


def assert_only(wanted: Mapping[str, str], pid: int) -> None:
    """Fail where a thread of *pid* has more. Threads come and go, so it is asked for a while.

    The thread that waits for the end needs no capability at all.
    """
    none = {**wanted, "CapPrm": NONE, "CapEff": NONE}
    for _ in range(20):
        found = threads(pid)
        assert found
        assert all(thread in (wanted, none) for thread in found), found
        assert wanted in found
        time.sleep(0.02)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, with one in it where UID may write."""
    with tempfile.TemporaryDirectory(prefix="ebpftop-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "theirs").mkdir()
        os.chown(folder / "theirs", UID, GID)
        yield folder


class Terminal:
    """`ebpftop ARGUMENTS` in a terminal."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str], stdin_fd: int | None = None, program: Sequence[str] = EBPFTOP
    ) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            if stdin_fd is not None:
                os.dup2(stdin_fd, 0)
            os.execvpe(program[0], [*program, *arguments], {**os.environ, "TERM": "xterm-256color", **env})
        self.said = b""

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, text: bytes, timeout_s: float = 60.0) -> None:
        """Wait until *text* is drawn; what was drawn before the last call does not count."""
        until_s = time.monotonic() + timeout_s
        while text not in self.said:
            assert time.monotonic() < until_s, self.said[-2000:]
            self.read(0.1)
        self.said = self.said.partition(text)[2]

    def read(self, seconds: float) -> None:
        """Take what is drawn, as a terminal does."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left_s)[0]:
                with suppress(OSError):  # EIO: the program has ended
                    self.said += os.read(self._fd, 1 << 16)

    def wait_for_file(self, folder: Path, pattern: str) -> None:
        """Wait until *folder* has a file whose name matches *pattern*."""
        until_s = time.monotonic() + 20
        while not list(folder.glob(pattern)):
            assert time.monotonic() < until_s, self.said
            self.read(0.1)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


@contextmanager
def terminal(
    *arguments: str, env: Mapping[str, str] = SUDO, stdin_fd: int | None = None, program: Sequence[str] = EBPFTOP
) -> Iterator[Terminal]:
    opened = Terminal(*arguments, env=env, stdin_fd=stdin_fd, program=program)
    try:
        yield opened
    finally:
        opened.close()


# ---- watching ----


def use_everything(*give_up: str, env: Mapping[str, str], program: str = "privilege_program") -> dict[str, object]:
    """Return what tests/kernel/privilege_program.py, or another *program* of that folder, found."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.kernel.{program}", *give_up],
        check=True, stdout=subprocess.PIPE, env={**os.environ, **env},
    )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("env", "wanted"), [(SUDO, AS_USER), ({}, AS_ROOT)], ids=["sudo", "root"])
def test_everything_works_with_what_is_kept(env: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    found = use_everything(env=env)
    assert isinstance(found["worked"], dict)
    assert len(found["worked"]) == 25
    assert [name for name, worked in found["worked"].items() if not worked] == []
    assert isinstance(found["threads"], list)
    assert all(thread == wanted for thread in found["threads"]), found["threads"]
    assert not found["left"]


@pytest.mark.parametrize(("cap", "lost"), [("BPF", "users"), ("PERFMON", "users"), ("DAC_READ_SEARCH", "trace")])
def test_nothing_is_kept_that_is_not_needed(cap: str, lost: str) -> None:
    worked = use_everything(cap, env=SUDO)["worked"]
    assert isinstance(worked, dict)
    assert not worked[f"toggle {lost}"]


def test_what_is_compiled_later_cannot_be_changed_by_the_user_behind_sudo() -> None:
    found = use_everything(env=SUDO, program="compiling_late")
    assert found["programs"]
    assert isinstance(found["files"], int)
    assert found["files"] > 10
    assert found["writable"] == []
    # BCC changes its directory while it compiles. Relative names of files to save must not begin there.
    assert found["folders"] == 1


@pytest.mark.parametrize(("env", "wanted"), [(SUDO, AS_USER), ({}, AS_ROOT)], ids=["sudo", "root"])
def test_every_thread_of_the_screen_has_given_up_the_rest(env: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    with terminal("live", env=env) as live:
        live.wait_for(b"Exec log")
        assert_only(wanted, live.pid)
        # It writes in tracefs, enables statistics and reads which calls threads are in, for which it is user 0 and has
        # three capabilities.
        helpers = f"{sum(1 << cap for cap in KEPT):016x}"
        assert_only(kept(helpers, 0, 0, AS_ROOT["Groups"]), children_of(live.pid)["ebpftop-root"])
        guard = threads(children_of(live.pid)["ebpftop-guard"])
        assert [(thread["Uid"], thread["CapPrm"]) for thread in guard] == [(four(0), GUARD if env else KILL)]
        live.press(b"11")
        live.read(0.5)
        assert_only(wanted, live.pid)


@pytest.mark.parametrize(("options", "more"), [("hidepid=2", 1 << Cap.SYS_PTRACE), ("hidepid=0", 0)])
def test_where_proc_hides_processes_what_shows_them_is_kept(options: str, more: int) -> None:
    """It is mounted above the machine's, as in a container."""
    program = ("unshare", "--mount", "sh", "-c", f'mount -t proc -o {options} proc /proc; exec "$@"', "sh", *EBPFTOP)
    with terminal("live", program=program) as live:
        live.wait_for(b"Exec log")
        assert_only(kept(f"{int(WATCHING, 16) | more:016x}", UID, GID, str(GID)), live.pid)


def test_a_recording_belongs_to_the_user_behind_sudo_and_so_do_the_threads(place: Path) -> None:
    path = place / "theirs" / "r.jsonl"
    child = subprocess.Popen([*EBPFTOP, "record", path], stderr=subprocess.PIPE, text=True, env={**os.environ, **SUDO})
    try:
        until_s = time.monotonic() + 60
        while not (path.exists() and b'"kind":"syscalls"' in path.read_bytes()):
            assert time.monotonic() < until_s
            assert child.poll() is None
            time.sleep(0.05)
        assert_only(AS_USER, child.pid)
    finally:
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=30)[1]
    assert child.returncode == 130, said
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (UID, GID, 0o600)


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_recording_is_made_with_no_more_than_the_rights_of_the_user_behind_sudo(
    place: Path, force: Sequence[str]
) -> None:
    roots = place / "roots"
    roots.mkdir()
    (roots / "precious").write_text("precious")
    (place / "theirs" / "link").symlink_to(roots)
    for name in ("precious", "new"):
        done = subprocess.run(
            [*EBPFTOP, "record", *force, place / "theirs/link" / name, "--duration", "0.1"],
            check=False, capture_output=True, text=True, env={**os.environ, **SUDO},
        )  # fmt: skip
        assert done.returncode == 1
        assert f"cannot create {place}/theirs/link/{name}" in done.stderr or "exists" in done.stderr
    assert [path.name for path in roots.iterdir()] == ["precious"]
    assert (roots / "precious").read_text() == "precious"


_FAILS_LATE = """
import os, signal, sys, time
from ebpftop.__main__ import main
from ebpftop.sources.live import KernelSource

folder, how = sys.argv.pop(), sys.argv.pop()

def fail(*_, **__):
    os.chown(folder, 0, 0)  # now its user may remove nothing there
    if how == "asked to end":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    1 / 0

KernelSource.__init__ = fail
main()
"""


@pytest.mark.parametrize("how", ["failed", "asked to end"])
@pytest.mark.parametrize("may", [True, False])
def test_a_recording_of_nothing_is_removed_with_no_more_than_the_rights_of_that_user(
    place: Path, how: str, may: bool
) -> None:
    path = place / "theirs/r.jsonl"
    folder = place / "other" if may else path.parent
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _FAILS_LATE, "record", path, how, folder],
        check=False, capture_output=True, env={**os.environ, **SUDO, "TMPDIR": str(place)},
    )  # fmt: skip
    assert done.returncode == (1 if how == "failed" else 0), done.stderr
    assert path.exists() is not may


@pytest.mark.parametrize("end", ["SIGABRT", "ZeroDivisionError"])
def test_the_log_of_a_crash_is_made_by_the_user_behind_sudo(place: Path, end: str) -> None:
    (place / "roots").mkdir(mode=0o700)
    program = "import sys; from ebpftop.__main__ import main; from ebpftop.sources.live import KernelSource\n"
    program += "main()" if end == "SIGABRT" else "KernelSource.__init__ = lambda *_, **__: 1 / 0; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, "stream", "--probes", "users"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place / "theirs",
        # The first place is root's alone: the user's next one is the working folder.
        env={**os.environ, **SUDO, "TMPDIR": str(place / "roots"), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    if end == "SIGABRT":
        assert '"probe":"users"' in next(line for line in child.stdout if '"kind":"probe"' in line)
        child.send_signal(signal.SIGABRT)
    said = child.communicate(timeout=60)[1]
    log = Path(said.strip().rpartition("log: ")[2])
    assert end in said or "Fatal Python error: Aborted" in said
    found = log.stat()
    log.unlink()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (UID, GID, 0o600)
    assert list((place / "roots").iterdir()) == []


def test_the_trace_instance_goes_when_ebpftop_is_killed() -> None:
    with Stream(probes="trace") as stream:
        helper = children_of(stream.pid)["ebpftop-root"]
        # tracefs may be mounted for ebpftop alone.
        root = Path(f"/proc/{helper}/root")
        instances = root / "sys/kernel/tracing/instances"
        assert (instances / f"ebpftop-{stream.pid}").is_dir()
        keep_fd = os.open(instances, os.O_PATH)
        stream.signal(signal.SIGKILL)
        until_s = time.monotonic() + 10
        while f"ebpftop-{stream.pid}" in os.listdir(f"/proc/self/fd/{keep_fd}"):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        os.close(keep_fd)
        while Path(f"/proc/{helper}").exists():
            assert time.monotonic() < until_s
            time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether *pid* has not ended, be it waited for or not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("env", [SUDO, {}], ids=["sudo", "root"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", ["ebpftop-root", "ebpftop-guard", "ebpftop-compile"])
def test_a_helper_that_somebody_stopped_ends_with_ebpftop(
    name: str, number: signal.Signals, env: Mapping[str, str]
) -> None:
    with terminal("live", env=env) as live:
        live.wait_for(b"Exec log")
        helpers = children_of(live.pid)
        root = Path(f"/proc/{helpers['ebpftop-root']}/root")  # tracefs may be mounted for ebpftop alone
        keep_fd = os.open(root / "sys/kernel/tracing/instances", os.O_PATH)
        os.kill(helpers[name], signal.SIGSTOP)
        try:
            os.kill(live.pid, number)
            until_s = time.monotonic() + 20
            while any(map(runs, helpers.values())):
                assert time.monotonic() < until_s
                time.sleep(0.02)
            assert f"ebpftop-{live.pid}" not in os.listdir(f"/proc/self/fd/{keep_fd}")
        finally:
            os.close(keep_fd)
            for helper in helpers.values():
                with suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGCONT)


def test_every_helper_of_ebpftop_is_hidden_with_it() -> None:
    with Stream("--interval", "0.2", probes="execs,syscalls") as stream:
        helpers = children_of(stream.pid)
        assert helpers.keys() == {"ebpftop-guard", "ebpftop-root", "ebpftop-compile"}
        # Each signal wakes the guard; ebpftop-root is asked for the statistics now and then.
        for _ in range(10):
            stream.signal(signal.SIGCONT)
            time.sleep(0.1)
        stream.wait_for(lambda lines: len(of("cost", lines)) >= 2)
        lines = stream.stop()
    readings = of("syscalls", lines)
    calling = {call["pid"] for line in readings for call in line["processes"]}
    waiting = {call["pid"] for line in readings for call in line["in_flight"]}
    assert calling
    assert not (calling | waiting) & {stream.pid, *helpers.values()}
    for pid in helpers.values():
        assert not of("process", lines, pid=pid)


# ---- replay and demo ----


def recording(folder: Path) -> Path:
    """Return a short recording that root alone may read."""
    path = folder / "r.jsonl"
    done = subprocess.run(
        [*EBPFTOP, "stream", "--duration", "1", "--probes", "execs"], check=True, capture_output=True
    )  # fmt: skip
    path.write_bytes(done.stdout)
    path.chmod(0o600)
    return path


NOBODY = nobody()


@pytest.mark.parametrize(
    ("env", "wanted"),
    [(SUDO, kept(NONE, UID, GID, str(GID))), ({}, kept(NONE, NOBODY.uid, NOBODY.gid))],
    ids=["sudo", "root"],
)
def test_replay_gives_up_root_before_a_byte_is_read(env: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    theirs, ours = os.pipe()
    with terminal("replay", "-", env=env, stdin_fd=theirs) as replay:
        os.close(theirs)
        until_s = time.monotonic() + 30
        while threads(replay.pid)[0]["NoNewPrivs"] == "0":
            assert time.monotonic() < until_s
            time.sleep(0.05)
        time.sleep(0.3)  # the last step of giving up
        assert_only(wanted, replay.pid)
        os.write(
            ours, b'{"kind":"header","schema":1,"version":"0","host":"far","kernel":"6","abi":"x86_64","started":1}\n'
        )
        replay.wait_for(b"far")
        assert_only(wanted, replay.pid)
        os.close(ours)


def test_replay_reads_what_root_may_read_and_saves_where_the_user_may_write(place: Path) -> None:
    path = recording(place)
    with terminal("replay", str(path)) as replay:
        replay.wait_for(b"Exec log")
        assert_only(kept(NONE, UID, GID, str(GID)), replay.pid)
        for target in (place / "no.jsonl", place / "theirs/yes.jsonl"):
            replay.said = b""
            replay.press(b"\x13")
            replay.wait_for(b"the history, ")
            replay.read(0.3)
            for keys in (b"\x15", str(target).encode(), b"\r"):  # Ctrl-U empties the line
                replay.press(keys)
                replay.read(0.3)
            replay.read(1)
            replay.press(b"\x1b")
            replay.read(0.5)
        replay.wait_for_file(place / "theirs", "yes.jsonl")
    assert not (place / "no.jsonl").exists()
    found = (place / "theirs/yes.jsonl").stat()
    assert (found.st_uid, found.st_gid) == (UID, GID)


def test_where_the_user_may_not_write_the_home_folder_is_offered(place: Path) -> None:
    path, home = recording(place), place / "theirs"
    program = ("env", "-C", str(place), "PYTHONPATH=" + os.pathsep.join(sys.path), *EBPFTOP)
    with terminal("replay", str(path), env={**SUDO, "HOME": str(home)}, program=program) as replay:
        replay.wait_for(b"Exec log")
        replay.press(b"\x13")
        replay.wait_for(b"You may not write in")
        replay.read(0.3)
        replay.press(b"\r")
        replay.wait_for_file(home, "ebpftop-*.jsonl.zst")


def test_nobody_who_has_no_home_is_offered_a_folder_that_is_there(place: Path) -> None:
    everybodys = place / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    program = ("env", "-C", str(place), "PYTHONPATH=" + os.pathsep.join(sys.path), *EBPFTOP)
    nobody = dict.fromkeys(SUDO, "")
    with terminal("demo", env={**nobody, "TMPDIR": str(everybodys)}, program=program) as demo:
        demo.wait_for(b"Exec log")
        demo.press(b"E")
        demo.wait_for(b"You may not write in")
        demo.read(0.3)
        demo.press(b"\r")
        demo.wait_for_file(everybodys, "ebpftop-*.csv")


def test_demo_gives_up_root() -> None:
    with terminal("demo") as demo:
        demo.wait_for(b"Exec log")
        assert_only(kept(NONE, UID, GID, str(GID)), demo.pid)


def test_programs_that_nobody_may_read_cost_a_capability_to_read_and_not_the_user(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    program = (
        "import sys; from pathlib import Path; from ebpftop.kernel.capabilities import give_up_root; "
        "give_up_root(Path(sys.argv[1])); print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, place / "closed"], check=True, capture_output=True, text=True,
        env={**os.environ, **SUDO},
    )  # fmt: skip
    lines = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert lines["Uid"].split() == [str(UID)] * 4
    assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 1 << Cap.DAC_READ_SEARCH


@pytest.mark.parametrize(
    ("env", "wanted"),
    [(SUDO, kept(NONE, UID, GID, str(GID))), ({}, kept(NONE, NOBODY.uid, NOBODY.gid))],
    ids=["sudo", "root"],
)
def test_a_recording_is_shown_without_proc_and_sys(env: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    mount = 'for place in /proc /sys; do mount -t tmpfs none $place; done; exec "$@"'
    with terminal("demo", env=env, program=("unshare", "--mount", "sh", "-c", mount, "sh", *EBPFTOP)) as demo:
        demo.wait_for(b"Exec log")
        assert_only(wanted, demo.pid)


_WITHOUT_BPF = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
program = b"".join(struct.pack("=HBBI", *one) for one in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000),  # bpf(2): EPERM
))
kept = ctypes.create_string_buffer(program)
profile = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(kept))
assert ctypes.CDLL(None).prctl(22, 2, profile, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execv(sys.executable, [sys.executable, "-m", "ebpftop", *sys.argv[1:]])
"""


@pytest.mark.parametrize("arguments", [("stream", "--duration", "1"), ("check",), ("serve", "--listen", "127.0.0.1:0")])
def test_a_seccomp_profile_that_forbids_bpf_is_named(arguments: tuple[str, ...]) -> None:
    """As that of podman 4: it allows bpf(2) to CAP_SYS_ADMIN alone."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_BPF, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 3, done
    assert done.stderr.count("\n") == 1
    assert "bpf(2) is forbidden to this process, by a seccomp profile" in done.stderr
