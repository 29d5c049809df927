"""`ebpftop run` on the running kernel: nothing of a command is missed, and it ends as the command does."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.unseen import PREEMPTIBLE_SINCE
from tests.kernel.support import at_some_moment, compile_c, needs_root
from tests.kernel.test_live import Terminal
from tests.kernel.test_probes import assert_gone, programs_of

pytestmark = needs_root

RUN = (sys.executable, "-m", "ebpftop", "run")
PATIENCE_S = 300.0  # emulated guests


def summary_of(tmp_path: Path, *command: str, options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    """Return the exit status of a run and its summary."""
    file = tmp_path / "summary.json"
    ran = subprocess.run([*RUN, *options, "--json", file, "--", *command], timeout=PATIENCE_S, check=False)
    return ran.returncode, json.loads(file.read_text())


def whole_summary_of(tmp_path: Path, *command: str) -> tuple[int, dict[str, Any]]:
    """Run a command until nothing of it was lost: from 7.3 on, programs at sys_enter and sys_exit may be preempted.

    What is missed then is told. Before, nothing may be.
    """
    for _ in range(10):
        status, summary = summary_of(tmp_path, *command)
        if not summary["lost"]:
            return status, summary
        assert kernel_version() >= PREEMPTIBLE_SINCE
        assert {row["where"] for row in summary["lost"]} == {"recursion"}
    raise AssertionError("something was lost each time")


def programs(rows: list[dict[str, Any]]) -> list[tuple[str, int, list[Any]]]:
    return [(row["program"], row["count"], programs(row["children"])) for row in rows]


@pytest.mark.guest
@pytest.mark.oldest
def test_every_program_of_a_tree_is_counted_from_the_first_instruction_to_the_end(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; (/bin/false); /nowhere/x; exit 7"
    status, s = whole_summary_of(tmp_path, "/bin/sh", "-c", script)
    assert status == s["command"]["status"] == 7
    assert programs(s["tree"]) == [("sh", 1, [("true", 50, []), ("false", 1, [])])]
    assert (s["started"], s["running"], s["bad_ends"]) == (52, 0, 2)
    assert [(f["file"], f["error"]) for f in s["exec_failures"]] in ([("/nowhere/x", "ENOENT")], [])
    assert ("/nowhere/x", "exec") in [(row["path"], row["by"]) for row in s["not_found"]] or not s["exec_failures"]
    calls = {call["name"]: call for call in s["calls"]}
    assert calls["execve"]["count"] == 52 + len(s["exec_failures"])


WORK = r"""
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  for (int i = 0; i < 20; i++) {
    if (fork() == 0) {  /* a process that is no program, and lives for microseconds */
      for (int j = 0; j < 10; j++) getppid();
      open("/nowhere/at/all", O_RDONLY);
      _exit(0);
    }
    wait(NULL);
  }
  return 0;
}
"""


def counted_by_strace(said: Path, *command: str | Path) -> dict[str, tuple[int, int]]:
    """Return how often a command made each call that returned, and how often that failed."""
    subprocess.run(["strace", "-f", "-c", "-o", said, *command], check=True, stdout=subprocess.DEVNULL)
    counts: dict[str, tuple[int, int]] = {}
    for line in said.read_text().splitlines():
        if found := re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)", line):
            counts[found[3]] = (int(found[1]), int(found[2] or 0))
    del counts["total"]
    return counts


def test_calls_are_counted_as_strace_counts_them(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "work", WORK)
    expected = counted_by_strace(tmp_path / "strace", program)
    status, s = whole_summary_of(tmp_path, str(program))
    assert status == 0
    counted = {call["name"]: (call["count"], call["errors"]) for call in s["calls"]}
    # strace counts calls that return; these do not.
    assert counted.pop("exit_group")[0] == 21
    assert counted == expected
    assert s["not_found"][0] == {"path": "/nowhere/at/all", "by": "open", "comm": "work", "count": 20}


def test_a_seccomp_profile_has_the_calls_that_strace_sees(tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "ls -l / & cat /etc/passwd; wait; exit 0")
    expected = set(counted_by_strace(tmp_path / "strace", *command))
    file = tmp_path / "profile.json"
    for _ in range(10):
        ran = subprocess.run(
            [*RUN, "--seccomp", file, "--", *command], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        made = json.loads(file.read_text())["syscalls"][0]
        if "Nothing was lost" in made["comment"]:
            break
        assert kernel_version() >= PREEMPTIBLE_SINCE
    # It does not return, and strace counts what does.
    expected.add("exit_group")
    # `wait` of the shell waits for a signal if a child has not ended by then, which may come at any moment.
    assert set(made["names"]) ^ expected <= {"rt_sigreturn", "rt_sigsuspend"}
    assert "root:" in ran.stdout, "the command has stdout"
    assert f"seccomp profile of {len(made['names'])} system calls: {file}" in ran.stderr
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        (["nosuchcommand"], 127, "nosuchcommand: No such file or directory"),
        (["/nowhere/x"], 127, "/nowhere/x: No such file or directory"),
        (["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        (["sh", "-c", "kill -KILL $$"], 137, "was ended by SIGKILL"),
        (["sh", "-c", "exit 3"], 3, "exited 3"),
    ],
)
def test_its_exit_status_is_the_commands(command: list[str], status: int, says: str) -> None:
    ran = subprocess.run([*RUN, "--", *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert says in ran.stderr


def test_the_command_gets_what_ebpftop_was_given(tmp_path: Path) -> None:
    script = "cat; ulimit -n; ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status"
    script += "; readlink /proc/self/ns/mnt"
    alone = subprocess.run(["sh", "-c", script], input="typed\n", capture_output=True, text=True, check=True)
    run = [*RUN, "--json", str(tmp_path / "s"), "--", "sh", "-c", script]
    ran = subprocess.run(run, input="typed\n", capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert ran.stdout == alone.stdout
    assert ran.stderr == ""


def test_a_script_without_an_interpreter_is_run_by_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "args $*"\n')
    script.chmod(0o755)
    ran = subprocess.run([*RUN, "--", script, "a", "b"], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert ran.stdout == "args a b\n"


def test_what_outlives_the_command_is_counted_and_runs_on(tmp_path: Path) -> None:
    stays = f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 600' </dev/null >/dev/null 2>&1"
    status, s = summary_of(tmp_path, "sh", "-c", f"{stays} & until test -s {tmp_path}/pid; do :; done")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (status, s["running"]) == (0, 1)
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


LOOP = 'trap "echo got; exit 9" INT TERM; echo ready; while :; do sleep 0.05; done'


def begin(*command: str) -> subprocess.Popen[str]:
    """Start a run whose command says that it is ready."""
    child = subprocess.Popen(
        [*RUN, "--", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, restore_signals=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_command_decides(number: signal.Signals) -> None:
    child = begin("sh", "-c", LOOP)
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out) == (9, "got\n")
    assert "exited 9" in err


def test_a_command_that_ignores_signals_is_waited_for() -> None:
    child = begin("sh", "-c", "trap '' INT; echo ready; sleep 3; exit 5")
    for _ in range(3):
        child.send_signal(signal.SIGINT)
    assert child.wait(PATIENCE_S) == 5
    child.communicate()


def test_a_command_that_is_ended_by_the_signal_gives_its_status() -> None:
    child = begin("sh", "-c", "echo ready; exec sleep 600")
    child.send_signal(signal.SIGTERM)
    assert child.wait(PATIENCE_S) == 143
    child.communicate()


COUNTS = """
import signal, sys, time
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(1))
print("ready", flush=True)
until_s = time.monotonic() + 3
while time.monotonic() < until_s:
    time.sleep(0.01)
print("got", len(came))
sys.exit(4)
"""


def test_ctrl_c_reaches_the_command_once() -> None:
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*RUN, "--summary", "--", sys.executable, "-c", COUNTS])
    said = b""

    def read_until(text: bytes) -> None:
        nonlocal said
        with suppress(OSError):  # EIO: it has ended
            while text not in said:
                said += os.read(fd, 4096)
        assert text in said, said

    try:
        read_until(b"ready")
        os.write(fd, b"\x03")
        read_until(b"got 1")
        read_until(b"exited 4")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    finally:
        os.close(fd)


@pytest.fixture
def screen() -> Iterator[Callable[..., Terminal]]:
    """Open a run in a terminal of 120 by 35."""
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(*words, command="run"))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_on_a_terminal_it_is_the_screen_with_the_commands_output(screen: Callable[..., Terminal]) -> None:
    terminal = screen("--", "sh", "-c", r"printf 'pri\033[31mnted\033[0m \033]0;evil\007in it\n'; exit 7")
    terminal.wait_for(b"printed in it")
    terminal.wait_for(b"ended, exit 7 after")
    programs = programs_of(terminal.pid)
    assert programs
    terminal.press(b"q")
    assert terminal.wait() == 7
    assert_gone(programs)


def test_q_asks_before_it_ends_a_command_and_ebpftop_leaves_with_its_status(screen: Callable[..., Terminal]) -> None:
    terminal = screen("--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    terminal.wait_for(b"ready")
    terminal.press(b"q")
    terminal.wait_for(b"is running")
    terminal.press(b"\r")
    assert terminal.wait() == 9


def test_a_signal_to_the_screen_is_the_commands(screen: Callable[..., Terminal]) -> None:
    terminal = screen("--", "sh", "-c", LOOP)
    terminal.wait_for(b"ready")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == 9


def test_a_command_survives_being_left_running_and_ctrl_c_reaches_it(
    screen: Callable[..., Terminal], tmp_path: Path
) -> None:
    script = f"trap 'echo got >{tmp_path}/int' INT; echo ready; for i in 1 2 3 4 5 6; do sleep 1; echo $i || exit; done"
    terminal = screen("--", "sh", "-c", f"{script}; echo whole >{tmp_path}/end")
    terminal.wait_for(b"ready")
    terminal.press(b"\x03")
    assert at_some_moment((tmp_path / "int").exists, PATIENCE_S)
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert not (tmp_path / "end").exists()
    assert at_some_moment((tmp_path / "end").exists, PATIENCE_S)


def test_a_terminal_that_is_gone_ends_the_command(screen: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = screen(
        "--", "sh", "-c", f"trap 'echo got >{tmp_path}/hup; exit' HUP; echo ready; while :; do sleep 0.05; done"
    )
    terminal.wait_for(b"ready")
    terminal.hang_up()
    terminal.wait()
    assert at_some_moment((tmp_path / "hup").exists, PATIENCE_S)


def test_a_record_that_matches_ends_the_command(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    command = ["sh", "-c", "/bin/false; exec sleep 600"]
    ran = subprocess.run(
        [*RUN, "--when", "exit.code == 1", "--when-exit", "6", "--json", file, "--", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    summary = json.loads(file.read_text())
    assert (ran.returncode, summary["command"]["signal"], summary["bad_ends"]) == (6, "SIGTERM", 2)
    assert "--when exit.code == 1" in ran.stderr


def test_environment_and_traced_calls_are_in_the_json(tmp_path: Path) -> None:
    options = ("--env", "HOME", "--trace", "openat")
    status, s = summary_of(tmp_path, "cat", "/etc/hostname", options=options)
    assert (status, s["tree"][0]["env"]) == (0, {"HOME": os.environ["HOME"]})
    assert any("/etc/hostname" in " ".join(call["args"]) for call in s["traced"])
    assert s["traced_count"] == len(s["traced"])


def test_its_time_is_not_less_than_what_it_used(tmp_path: Path) -> None:
    _, s = summary_of(tmp_path, "/bin/true")
    command, (row,) = s["command"], s["tree"]
    # To become the command, and to end, the kernel takes some microseconds more than from one record to the other.
    assert 0 < command["user_s"] + command["system_s"] < command["wall_s"] + 0.001
    assert row["user_s"] + row["system_s"] < command["wall_s"] + 0.001


def test_a_run_that_is_killed_leaves_the_command_and_nothing_in_the_kernel() -> None:
    child = begin("sh", "-c", "echo ready; sleep 1; echo went on")
    held = programs_of(child.pid)
    assert held
    child.kill()
    assert child.stdout is not None
    assert child.stdout.read() == "went on\n"
    assert child.wait() == -signal.SIGKILL
    child.communicate()
    assert_gone(held)


def test_a_command_never_begins_if_ebpftop_ends_before() -> None:
    child = subprocess.Popen(
        [*RUN, "--", "sh", "-c", "echo began"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # The guard, and the process that waits to be the command.
    assert at_some_moment(lambda: len(_children(child.pid).split()) >= 2, PATIENCE_S)
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert (out, child.returncode) == ("", 143)


def _children(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return ""


def test_json_on_stdout_comes_behind_what_the_command_wrote() -> None:
    ran = subprocess.run(
        [*RUN, "--json", "-", "--", "echo", "first"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    first, _, rest = ran.stdout.partition("\n")
    assert (first, ran.stderr) == ("first", "")
    assert json.loads(rest)["command"]["argv"] == ["echo", "first"]


def test_a_file_that_cannot_be_written_fails_before_the_command_begins(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*RUN, "--json", tmp_path, "--", "echo", "ran"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "is not a regular file" in ran.stderr
