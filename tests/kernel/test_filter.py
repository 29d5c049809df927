"""The filter, as `ebpftop stream` shows it: what was asked for is there with the right counts, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

import pytest

from ebpftop.kernel.cgroups import hierarchies
from tests import orphans
from tests.kernel.support import Line, Stream, last, needs_root, of
from tests.kernel.workload_context import (
    OTHER_UID,
    WANTED_UID,
    asleep,
    cgroup,
    failing,
    getppids,
    in_child,
    programs,
    set_comm,
    true,
)

pytestmark = needs_root

RUN = f"ebpftop-test-{os.getpid()}"
NAME = f"test{os.getpid()}"  # of at most 15 bytes, and no option
ME = ("--pid", str(os.getpid()))


def words(lines: list[Line]) -> list[str]:
    """Return the last argument of each program that started."""
    return [line["argv"][-1] for line in of("exec", lines, ret=0)]


def parents_of(word: str, lines: Sequence[Line]) -> set[int]:
    """Return who started the programs with *word* as their only argument."""
    return {line["ppid"] for line in of("exec", lines) if line["argv"][1:] == [word]}


def getppid_count(lines: list[Line]) -> int:
    """Return how many calls of getppid were counted."""
    return sum(row["count"] for row in last("syscalls", lines)["rows"] if row["name"] == "getppid")


def test_one_of_two_users_in_all_four_probes() -> None:
    with Stream("--uid", str(WANTED_UID)) as stream:
        for uid, share in ((WANTED_UID, 1), (OTHER_UID, 2)):
            for i in range(3 * share):
                true(f"{uid}-{i}", uid)
            in_child(failing(2 * share), uid=uid)
            in_child(getppids(100 * share), uid=uid)
        stream.wait_for(lambda lines: len(of("trace", lines)) >= 3)
        lines = stream.stop()
    assert words(lines) == [f"{WANTED_UID}-{i}" for i in range(3)]
    assert {line["uid"] for line in of("exec", lines) + of("exit", lines)} == {WANTED_UID}
    assert len([line for line in of("exec", lines) if line["error"] == "ENOENT"]) == 2
    assert [(row["uid"], row["execs"], row["failed"]) for row in last("users", lines)["rows"]] == [(WANTED_UID, 5, 2)]
    assert getppid_count(lines) == 100
    wanted_pids = {line["pid"] for line in of("exec", lines)}
    assert {line["pid"] for line in of("trace", lines)} <= wanted_pids


def test_within_a_kind_any_value_does() -> None:
    with Stream("--uid", str(WANTED_UID), "--uid", str(OTHER_UID), probes="users") as stream:
        for uid in (WANTED_UID, OTHER_UID, OTHER_UID, OTHER_UID + 2):
            true("x", uid)
        rows = last("users", stream.stop())["rows"]
    assert [(row["uid"], row["execs"]) for row in rows] == [(WANTED_UID, 1), (OTHER_UID, 2)]


@pytest.mark.guest
def test_across_kinds_all_must_match() -> None:
    with cgroup(f"{RUN}-a") as inside, Stream(
        "--uid", str(WANTED_UID), "--cgroup", f"/{RUN}-a", "--comm", "wanted*", *ME, probes="syscalls"
    ) as stream:  # fmt: skip
        in_child(getppids(100), uid=WANTED_UID, cgroup=inside, comm="wanted-1")
        in_child(getppids(10), uid=WANTED_UID, cgroup=inside, comm="unwanted")
        in_child(getppids(10), uid=OTHER_UID, cgroup=inside, comm="wanted-1")
        in_child(getppids(10), uid=WANTED_UID, comm="wanted-1")
        assert getppid_count(stream.stop()) == 100


@pytest.mark.guest
@pytest.mark.oldest
def test_what_is_excluded_is_left_out_whatever_else_matches() -> None:
    top = f"/{RUN}-x"
    excluded = (
        "--not-cgroup",
        f"{top}/no",
        "--not-uid",
        str(OTHER_UID),
        "--not-comm",
        "unw*",
        "--not-comm",
        "wanted-2",
    )
    with (
        cgroup(top[1:]) as inside,
        cgroup(f"{RUN}-x/no") as nested,
        Stream("--cgroup", top, *excluded, *ME, probes="syscalls") as stream,
    ):
        in_child(getppids(100), uid=WANTED_UID, cgroup=inside, comm="wanted-1")
        in_child(getppids(10), uid=WANTED_UID, cgroup=nested, comm="wanted-1")
        in_child(getppids(10), uid=OTHER_UID, cgroup=inside, comm="wanted-1")
        for comm in ("unwanted", "wanted-2"):
            in_child(getppids(10), uid=WANTED_UID, cgroup=inside, comm=comm)
        lines = stream.stop()
    assert getppid_count(lines) == 100
    assert set(last("header", lines)["filter"]) == {*ME, "--cgroup", top, *excluded}


def test_a_process_is_excluded_with_all_that_descends_from_it() -> None:
    container = f"{os.getpid():08x}" + "e" * 56
    with (
        subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE) as shell,
        cgroup(f"{RUN}.slice/docker-{container}.scope") as boxed,
        Stream(*ME, "--not-pid", str(shell.pid), "--not-container", container[:12], probes="execs") as stream,
    ):
        shell.communicate(b"/bin/true no; (/bin/true no; /bin/sh -c '/bin/true no; exit 0'); exit 0\n")
        in_child(programs("no"), cgroup=boxed)
        true("seen")
        assert words(stream.stop()) == ["seen"]


@pytest.mark.parametrize("given", ["path", "directory", "without a slash"])
def test_a_cgroup_means_those_below_it_too_and_not_its_sister(given: str) -> None:
    with (
        cgroup(f"{RUN}-b") as inside,
        cgroup(f"{RUN}-b/child/grandchild") as nested,
        cgroup(f"{RUN}-bb") as sister,
        asleep(inside) as ran_inside,
        asleep(nested) as ran_nested,
        asleep(sister),
    ):
        option = {"path": f"/{RUN}-b", "directory": str(inside), "without a slash": f"{RUN}-b/"}[given]
        with Stream("--cgroup", option, probes="execs,users,syscalls") as stream:
            in_child(programs("inside"), cgroup=inside)
            in_child(programs("nested"), cgroup=nested)
            in_child(programs("sister"), cgroup=sister)
            in_child(programs("outside"))
            in_child(getppids(10), cgroup=nested)
            in_child(getppids(100), cgroup=sister)
            lines = stream.stop()
    assert words(lines) == ["inside", "nested"]
    assert {line["cgroup"] for line in of("exec", lines)} == {f"/{RUN}-b", f"/{RUN}-b/child/grandchild"}
    assert {line["pid"] for line in of("process", lines) if line["comm"] == "sleep"} == {ran_inside, ran_nested}
    assert sum(row["execs"] for row in last("users", lines)["rows"]) == 2
    assert getppid_count(lines) == 10


def test_a_container_by_the_beginning_of_its_id() -> None:
    ids = [f"{os.getpid():08x}{i}" + "c" * 55 for i in range(2)]
    with (
        cgroup(f"{RUN}.slice/docker-{ids[0]}.scope/init") as inside,
        cgroup(f"{RUN}.slice/docker-{ids[1]}.scope") as other,
        Stream("--container", ids[0][:12], probes="execs") as stream,
    ):
        in_child(programs("inside"), cgroup=inside)
        in_child(programs("other"), cgroup=other)
        lines = stream.stop()
        ambiguous = subprocess.run(
            [sys.executable, "-m", "ebpftop", "stream", "--container", ids[0][:8]],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    assert words(lines) == ["inside"]
    assert of("exec", lines)[0]["container"] == ids[0][:12]
    assert ambiguous.returncode == 1
    assert "could be any of" in ambiguous.stderr


def test_a_container_in_a_container_and_not_its_conmon() -> None:
    node, inner = (f"{os.getpid():08x}{i}" + "d" * 55 for i in range(2))
    pod = f"{RUN}/docker-{node}.scope/kubelet.slice/kubepods-pod1.slice"
    with (
        cgroup(f"{pod}/crio-{inner}.scope/container") as inside,
        cgroup(f"{pod}/crio-conmon-{inner}.scope") as beside,
        Stream("--container", inner[:12], probes="execs") as stream,
        Stream("--container", node[:12], probes="execs") as of_node,
    ):
        in_child(programs("inside"), cgroup=inside)
        in_child(programs("beside"), cgroup=beside)
        in_child(programs("outside"))
        lines, lines_of_node = stream.stop(), of_node.stop()
    assert [(line["argv"][-1], line["container"]) for line in of("exec", lines)] == [("inside", inner[:12])]
    assert [(line["argv"][-1], line["container"]) for line in of("exec", lines_of_node)] == [
        ("inside", inner[:12]),
        ("beside", node[:12]),
    ]


@pytest.mark.skipif(not any(one.v1 for one in hierarchies()), reason="no cgroup v1 pids controller is mounted here")
def test_a_container_of_an_engine_on_cgroup_v1() -> None:
    ids = [f"{os.getpid():08x}{i}" + "e" * 55 for i in range(2)]
    with (
        cgroup(f"docker/{ids[0]}/nested", v1=True) as inside,
        cgroup(f"docker/{ids[1]}", v1=True) as other,
        Stream("--container", ids[0][:12], probes="execs,users,syscalls") as stream,
        Stream("--cgroup", f"/docker/{ids[1]}", probes="execs") as by_path,
    ):
        before = in_child(programs("inside"), cgroup=inside)
        in_child(programs("other"), cgroup=other)
        in_child(getppids(10), cgroup=inside)
        in_child(getppids(100), cgroup=other)
        in_child(programs("outside"))
        lines, lines_by_path = stream.stop(), by_path.stop()
    assert words(lines) == ["inside"]
    assert of("exec", lines)[0]["container"] == ids[0][:12]
    assert of("exec", lines)[0]["ppid"] == before
    assert sum(row["execs"] for row in last("users", lines)["rows"]) == 1
    assert getppid_count(lines) == 10
    assert words(lines_by_path) == ["other"]


# Reads "go", then has programs run from everywhere in its tree; ends when all of it has ended.
TREE = r"""
import os, sys, threading

def run(word):
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/true", ["/bin/true", word])
    os.waitpid(pid, 0)

go_r, go_w = os.pipe()
done_r, done_w = os.pipe()
if os.fork() == 0:
    os.close(go_w)
    if os.fork() == 0:
        os.read(go_r, 1)
        run("grandchild forked before")
        os._exit(0)
    os.read(go_r, 1)
    run("child forked before")
    if os.fork() == 0:
        if os.fork() == 0:
            run("great-grandchild")
        os._exit(0)
    os._exit(0)
os.close(go_r)
print("ready", flush=True)
sys.stdin.readline()
os.close(go_w)
run("itself")
thread = threading.Thread(target=run, args=("thread",))
thread.start()
thread.join()
if os.fork() == 0:
    me = os.getpid()
    if os.fork() == 0:
        while os.getppid() == me:
            pass
        run("orphan")
        os.read(0, 1)  # until it was told of: whoever only forks is looked up in /proc
        os._exit(0)
    os._exit(0)
if os.fork() == 0:
    command = ["/bin/sh", "-c", "/bin/true 'child of what a thread became'; :"]
    threading.Thread(target=os.execv, args=("/bin/sh", command)).start()
    threading.Event().wait()
os.close(done_w)
os.read(done_r, 1)
"""


@pytest.mark.parametrize("heir", ["init", "the test"])
def test_a_process_and_all_that_descend_from_it(heir: str) -> None:
    tree = subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert tree.stdin is not None
    assert tree.stdout is not None
    assert tree.stdout.readline() == "ready\n"
    with (
        # An orphan is told of with its new parent and what is above, which --pid does not want for that.
        orphans.adopted() if heir == "the test" else nullcontext(),
        Stream("--pid", str(tree.pid), probes="execs,syscalls") as stream,
    ):
        true("stranger")
        in_child(getppids(100))
        tree.stdin.write("go\n")
        tree.stdin.flush()
        stream.wait_for(lambda lines: parents_of("orphan", lines) & {line["pid"] for line in of("process", lines)})
        tree.stdin.close()
        assert tree.wait(60) == 0
        true("stranger")
        lines = stream.stop()
    tree.stdout.close()
    true_words = sorted(line["argv"][1] for line in of("exec", lines, comm="true", ret=0))
    assert true_words == sorted(
        [
            *("itself", "thread", "orphan", "child forked before", "grandchild forked before", "great-grandchild"),
            "child of what a thread became",
        ]
    )
    assert {line["pid"] for line in of("exit", lines)} >= {line["pid"] for line in of("exec", lines, ret=0)}
    (orphan,), (early_orphan,) = (parents_of(word, lines) for word in ("orphan", "great-grandchild"))
    parents = {line["pid"]: line["ppid"] for line in of("process", lines)}
    if heir == "the test":
        assert parents[orphan] == os.getpid()
        for pid in parents:
            with suppress(ChildProcessError):  # no orphan
                os.waitpid(pid, 0)
    # Whoever is wanted is the process, or a child of one that is, or was one before it became another's.
    wanted = {line["pid"] for line in of("process", lines, matched=True)}
    assert not {1, os.getpid()} & wanted
    roots = {pid for pid in wanted if parents[pid] not in wanted}
    assert {tree.pid, orphan} <= roots <= {tree.pid, orphan, early_orphan}
    # Others are told of only where one that is wanted descends from them, so that a tree has its roots.
    above = parents.keys() - wanted
    assert parents[orphan] in above
    assert above <= {line["ppid"] for line in of("process", lines) + of("exec", lines)}


def test_a_command_name_is_the_new_program_s_where_one_starts_and_the_caller_s_where_one_fails() -> None:
    with Stream("--comm", NAME, *ME, probes="execs,users,syscalls") as stream:

        def do() -> None:
            failing(3)()
            programs("x")()
            getppids(50)()

        in_child(do, comm=NAME)
        in_child(failing(5))
        lines = stream.stop()
    assert [line["error"] for line in of("exec", lines)] == ["ENOENT"] * 3
    # Four attempts by that name, the fourth became "true".
    rows = last("users", lines)["rows"]
    assert [(row["execs"], row["failed"], row["last"]) for row in rows] == [(4, 3, "true")]
    assert getppid_count(lines) == 50
    with Stream("--comm", "true", *ME, probes="execs") as stream:
        in_child(programs("x"), comm=NAME)
        lines = stream.stop()
    assert words(lines) == ["x"]
    assert len(of("exit", lines, comm="true", code=0)) == 1


def test_an_exit_goes_by_the_name_of_the_process_and_not_of_its_last_thread() -> None:
    def do() -> None:
        import threading

        main_ended = threading.Event()

        def rename_and_end() -> None:
            set_comm("thread-name")
            main_ended.wait(0.2)
            os._exit(0)

        threading.Thread(target=rename_and_end).start()
        # The first thread ends alone: exit(2), not exit_group(2).
        import ctypes

        ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)

    name = NAME
    with Stream("--comm", name, *ME, probes="execs") as stream:
        pid = in_child(do, comm=name)
        lines = stream.stop()
    assert [line["comm"] for line in of("exit", lines, pid=pid)] == [name]


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("abcdefghijklmno", ["abcdefghijklmno"]),
        ("abcdefghijklmn*", ["abcdefghijklmn", "abcdefghijklmno"]),
        ("abc", []),
        ("ab*", ["abcdefghijklmn", "abcdefghijklmno"]),
        ("é*", ["éa"]),
    ],
)
def test_names_of_fifteen_bytes_whole_and_by_their_beginning(pattern: str, seen: list[str]) -> None:
    names = {"abcdefghijklmno": 1, "abcdefghijklmn": 2, "xabc": 4, "éa": 8}
    with Stream("--comm", pattern, *ME, probes="syscalls") as stream:
        for name, count in names.items():
            in_child(getppids(count), comm=name)
        assert getppid_count(stream.stop()) == sum(names[name] for name in seen)


@pytest.mark.parametrize(("pattern", "seen"), [("ran", {"ran"}), ("ran*", {"ran", "ran-on"})])
def test_who_ran_before_is_told_by_the_same_rules(tmp_path: Path, pattern: str, seen: set[str]) -> None:
    with ExitStack() as stack:
        for name in ("ran", "ran-on", "rat"):
            (tmp_path / name).symlink_to("/bin/sleep")
            stack.callback(stack.enter_context(subprocess.Popen([tmp_path / name, "60"])).kill)
        with Stream("--comm", pattern, *ME, probes="execs") as stream:
            lines = stream.stop()
    assert {line["comm"] for line in of("process", lines)} == seen


def test_overlapping_patterns_each_hold() -> None:
    with Stream("--comm", "abc*", "--comm", "abcd", "--comm", "abcde*", *ME, probes="syscalls") as stream:
        for i, name in enumerate(("ab", "abc", "abcd", "abcdX", "abcdef")):
            in_child(getppids(10**i), comm=name)
        assert getppid_count(stream.stop()) == 11110


def test_what_other_programs_print_is_filtered_by_who_ran_them() -> None:
    """The other program is a handler of a second ebpftop, which prints for everybody; its greeting is not shown."""
    with (
        cgroup(f"{RUN}-t") as inside,
        Stream("--printk", probes="syscalls"),
        Stream("--uid", str(WANTED_UID), "--cgroup", f"/{RUN}-t", probes="trace") as stream,
    ):
        in_child(programs("x", "y"), uid=WANTED_UID)
        in_child(programs("x", "y"), uid=OTHER_UID, cgroup=inside)
        child = os.fork()
        if child == 0:
            (inside / "cgroup.procs").write_text(str(os.getpid()))
            os.setresuid(WANTED_UID, WANTED_UID, WANTED_UID)
            os.execv("/bin/true", ["/bin/true", "wanted"])
        os.waitpid(child, 0)
        stream.wait_for(lambda lines: len(of("trace", lines)) >= 2)
        lines = stream.stop()
    # By each of the two, and by whatever else prints on this machine.
    assert {line["pid"] for line in of("trace", lines)} == {child}
    assert {"Hello World!", "Executing a program"} <= {line["message"] for line in of("trace", lines)}


def test_ebpftop_itself_is_left_out_unless_it_is_asked_for() -> None:
    for option, hidden in (("--hide-self", True), ("--no-hide-self", False)):
        with Stream(option, "--interval", "0.1", probes="syscalls") as stream:
            stream.wait_for(lambda lines: len(of("syscalls", lines)) > 3)
            lines = stream.stop()
        callers = {call["pid"] for call in last("syscalls", lines)["processes"]}
        assert (stream.pid in callers) is not hidden


def test_its_own_cost_is_told() -> None:
    with Stream("--interval", "0.1", probes="syscalls") as stream:
        stream.wait_for(lambda lines: of("cost", lines), 30)
        cost = of("cost", stream.stop())[-1]
    assert cost["user"] > 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--cgroup", "/no/such/cgroup"], 1, "there is no cgroup /no/such/cgroup; see"),
        (["--cgroup", "no/such/../cgroup"], 2, "is not the path of a cgroup"),
        (["--container", "f" * 64], 1, "no cgroup belongs to a container ffff"),
        (["--pid", "4194304"], 1, "there is no process 4194304"),
        (["--uid", "0"] * 65, 1, "--uid was given 65 times; at most 64 values fit"),
        (["--comm", "x" * 16], 2, "the kernel keeps 15 bytes"),
        (["--comm", ""], 2, "cannot be empty"),
        (["--container", "a/b"], 2, "is not a container"),
    ],
)
def test_what_cannot_be_filtered_is_told_in_one_line(arguments: list[str], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ebpftop", "stream", "--duration", "1", *arguments],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == status
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert status == 2 or len(done.stderr.splitlines()) == 1


def test_too_many_cgroups_are_refused() -> None:
    with cgroup(f"{RUN}-many") as parent:
        children = [parent / str(i) for i in range(9)]
        for child in children:
            child.mkdir()
        options = [word for child in children for word in ("--cgroup", str(child))]
        done = subprocess.run(
            [sys.executable, "-m", "ebpftop", "stream", *options], check=False, capture_output=True, text=True
        )
        for child in children:
            child.rmdir()
    assert done.returncode == 1
    assert "9 cgroups; at most 8 fit" in done.stderr


def test_a_container_outside_of_the_cgroup_can_match_nothing() -> None:
    name = f"{os.getpid():08x}" + "d" * 56
    with cgroup(f"{RUN}-x"), cgroup(f"{RUN}-y/docker-{name}.scope"):
        done = subprocess.run(
            [sys.executable, "-m", "ebpftop", "stream", "--cgroup", f"/{RUN}-x", "--container", name],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "nothing would match" in done.stderr


def test_a_recording_holds_only_what_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    child = subprocess.Popen(
        [sys.executable, "-m", "ebpftop", "record", str(file), "--uid", str(WANTED_UID), "--probes", "execs,users"],
        stderr=subprocess.PIPE,
    )
    import json
    import time

    def lines() -> list[Line]:
        whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    until_s = time.monotonic() + 60
    while {line["probe"] for line in of("probe", lines())} < {"execs", "users"}:
        assert time.monotonic() < until_s
        assert child.poll() is None
        time.sleep(0.1)
    true("wanted", WANTED_UID)
    true("other", OTHER_UID)
    time.sleep(0.2)
    child.terminate()
    assert child.wait(30) == 0
    assert child.stderr is not None
    child.stderr.close()
    assert words(lines()) == ["wanted"]
    assert {row["uid"] for reading in of("users", lines()) for row in reading["rows"]} == {
        WANTED_UID
    }  # as they changed


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.parametrize("v1", [False, True], ids=["v2", "v1"])
def test_a_cgroup_that_is_made_again_is_followed_and_one_that_is_gone_is_told(v1: bool) -> None:
    if v1 not in {hierarchy.v1 for hierarchy in hierarchies()}:
        pytest.skip("this hierarchy is not mounted")
    with cgroup(f"{RUN}-parent", v1=v1) as parent:
        inside = parent / "again"
        path = f"/{RUN}-parent/again"
        inside.mkdir()
        with Stream("--cgroup", path, probes="execs,users") as stream:
            for round_ in range(5):
                in_child(programs(f"round-{round_}"), cgroup=inside)
                inside.rmdir()
                inside.mkdir()
            inside.rmdir()
            stream.wait_for(
                lambda lines: {line["probe"] for line in of("probe", lines) if line["gone"]} == {"execs", "users"}
            )
            inside.mkdir()
            stream.wait_for(lambda lines: last("probe", lines)["gone"] == [])
            in_child(programs("back"), cgroup=inside)
            lines = stream.stop()
        inside.rmdir()
    assert words(lines) == [*(f"round-{round_}" for round_ in range(5)), "back"]
    assert {tuple(line["gone"]) for line in of("probe", lines)} == {(), (f"cgroup {path}",)}
    assert f"cgroup {path} is gone" in stream.stderr
    assert "exists again" in stream.stderr


def test_a_process_is_gone_when_all_that_descend_from_it_are() -> None:
    with (
        subprocess.Popen(["sh", "-c", "sleep 600 & exec sleep 600"], start_new_session=True) as parent,
        Stream("--pid", str(parent.pid), probes="users") as stream,
    ):
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert children
        parent.kill()
        parent.wait()
        reading = len(of("users", stream.lines))
        stream.wait_for(lambda lines: len(of("users", lines)) > reading + 1)
        assert not any(line["gone"] for line in of("probe", stream.lines))
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        stream.wait_for(lambda lines: last("probe", lines)["gone"] == [f"pid {parent.pid}"])
        stream.stop()
    assert f"pid {parent.pid} is gone: nothing can match it any more\n" in stream.stderr
