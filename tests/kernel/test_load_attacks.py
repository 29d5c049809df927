"""What a hostile C file, and a killed process, do to the compiler of the workbench: nothing to anybody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ebpftop.kernel.load import limits, server
from ebpftop.kernel.load.built import Built, CompileRequest
from ebpftop.kernel.load.deadline import Deadline
from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, needs_root, needs_tracefs

pytestmark = needs_root

SMALL = "BPF_HASH(counts, u32, u64);\nint f(void *ctx) { return 0; }\n"
# Sums of 2^40 terms.
BOMB = "#define A0 x\n" + "".join(f"#define A{i} A{i - 1}+A{i - 1}\n" for i in range(1, 41))
ENDLESS = BOMB + "int f(void *ctx) { int x = 1; return A40; }\n"
# Empty, but expanded 2^59 times.
SLOW = "#define C0\n" + "".join(f"#define C{i} C{i - 1} C{i - 1}\n" for i in range(1, 60))
SLOW += "int f(void *ctx) { C59 return 0; }\n"


@pytest.fixture(scope="module")
def running() -> Iterator[LoadServer]:
    one = LoadServer()
    yield one
    one.close()


@pytest.fixture(scope="module")
def hasty() -> Iterator[LoadServer]:
    """A server that ends compilations early, as it would do after five times as long."""
    before, limits.CPU_S = limits.CPU_S, 1
    one = LoadServer()
    limits.CPU_S = before
    yield one
    one.close()


def compiled(
    running: LoadServer,
    text: str,
    deadline: Deadline | None = None,
    *,
    map_bytes_max: int = limits.MAP_BYTES,
    **includes: str,
) -> Built:
    files = {f"{name}.h": what for name, what in includes.items()}
    received = running.compile(CompileRequest("hello.c", text, files, map_bytes_max=map_bytes_max), deadline)
    received.close()
    return received.built


def goes_on(running: LoadServer) -> bool:
    return compiled(running, SMALL).error == ""


def goes_on_at_last(hasty: LoadServer) -> bool:
    """On a busy machine it may end a small one, too."""
    return any(goes_on(hasty) for _ in range(30))


def test_a_file_that_includes_itself(running: LoadServer) -> None:
    built = compiled(running, '#include "own.h"\n' + SMALL, own='#include "own.h"\n')
    assert built.stage == "clang", built
    assert "include nested too deeply" in built.output
    assert goes_on(running)


@pytest.mark.heavy
def test_a_compilation_that_needs_too_much_memory_is_ended(running: LoadServer) -> None:
    built = compiled(running, ENDLESS, map_bytes_max=0)
    assert re.search(r"needs more than \d+ MiB of (memory|address space)", built.error), built
    assert goes_on(running)


@pytest.mark.heavy
def test_a_compilation_that_needs_too_much_time_is_ended(hasty: LoadServer) -> None:
    built = compiled(hasty, SLOW)
    assert re.search(r"within \d+ s( of CPU time)?$", built.error), built
    assert goes_on_at_last(hasty)


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/hostname", "/proc/self/environ", "../../../etc/passwd", "/proc/1/cmdline"]
)
@pytest.mark.parametrize("form", ['#include "{}"\n', "#include <{}>\n", "#define F <{}>\n#include F\n"])
def test_no_file_of_the_machine_is_read(running: LoadServer, path: str, form: str) -> None:
    built = compiled(running, form.format(path) + SMALL)
    assert built.stage == "clang"
    assert re.search("file not found|Operation not permitted|cannot open", built.output), built.output
    assert "root" not in built.output.replace(path, "")


def test_files_that_are_included_are_those_that_came_with_it(running: LoadServer) -> None:
    assert (
        compiled(running, '#include "own.h"\nint f(void *ctx) { return VALUE; }\n', own="#define VALUE 7\n").error == ""
    )
    assert compiled(running, '#include "own.h"\nint f(void *ctx) { return VALUE; }\n').stage == "clang"


def test_an_include_cannot_lead_out_of_the_tree(running: LoadServer) -> None:
    received = running.compile(CompileRequest("hello.c", SMALL, {"../../../../tmp/x.h": ""}))
    assert "leads out" in received.built.output
    assert goes_on(running)


@pytest.mark.parametrize("entries", ["1 << 30", "1 << 27"])
def test_a_map_that_is_too_large_is_refused(running: LoadServer, entries: str) -> None:
    built = compiled(running, f"BPF_ARRAY(huge, u64, {entries});\nint f(void *ctx) {{ return 0; }}\n")
    assert built.stage == "map"
    size = 8192 if "30" in entries else 1024
    assert built.error == f"the map huge takes {size} MiB of the kernel's memory; all maps of a file may take 256 MiB"
    assert built.remedy
    assert goes_on(running)


@needs_tracefs
def test_maps_that_are_larger_than_allowed_are_refused_with_their_size(running: LoadServer, tmp_path: Path) -> None:
    file = File(tmp_path, running)
    text = "BPF_ARRAY(large, u64, 1 << 22);\nRAW_TRACEPOINT_PROBE(sched_process_exec) { return 0; }\n"
    assert file.load(text).ok
    file.file.close()
    file.file._map_bytes_max = 1 << 20
    loading = file.load(text)
    assert (loading.ok, loading.stage) == (False, "map")
    assert "the map large takes 32 MiB" in loading.error
    assert "may take 1 MiB" in loading.error
    assert loading.remedy


def test_more_maps_than_one_message_has_room_for(running: LoadServer) -> None:
    built = compiled(running, "".join(f"BPF_ARRAY(a{i}, u32, 1);\n" for i in range(201)) + SMALL)
    assert built.error == "the file has 202 maps; at most 200 are supported"
    assert goes_on(running)


def test_more_programs_than_a_file_may_have(running: LoadServer) -> None:
    built = compiled(running, "".join(f"int f{i}(void *ctx) {{ return 0; }}\n" for i in range(101)))
    assert (built.stage, built.error) == ("limit", "the file has 101 programs; at most 100 are supported")
    assert built.remedy
    assert goes_on(running)


def test_a_stack_that_is_too_deep_is_an_error_of_the_file(running: LoadServer) -> None:
    text = "int f(void *ctx) { char a[600] = {}; bpf_probe_read_kernel(a, 600, ctx); return a[9]; }\n"
    built = compiled(running, text)
    assert built.stage == "clang"
    assert "stack" in built.output
    assert goes_on(running)


@pytest.mark.parametrize("name", ["a\x1b[2Jb.c", 'with"quote.c', "back\\slash.c", "new\nline.c", "ünï.c", "%s%n.c"])
@needs_tracefs
def test_names_with_escapes(running: LoadServer, tmp_path: Path, name: str) -> None:
    file = File(tmp_path, running, name)
    text = "RAW_TRACEPOINT_PROBE(sched_process_exec) {\n    return bpf_get_smp_processor_id();\n}\n"
    loading = file.load(text)
    assert loading.ok, loading
    assert any(line.line == 2 for line in loading.programs[0].lines)
    failed = file.load(text.replace("bpf_", "no_"))
    assert failed.stage == "clang"
    assert "\x1b" not in failed.output
    file.file.close()


def test_messages_without_end_are_cut(running: LoadServer) -> None:
    built = compiled(running, "\n".join(f'#warning "{i} {"x" * 4000}"' for i in range(600)) + "\n" + SMALL)
    assert "it was not" not in built.error, built.error
    assert 1 << 17 < len(built.output) <= 1 << 18
    assert goes_on(running)


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def being_compiled(
    running: LoadServer, thread: ThreadPoolExecutor, text: str, deadline: Deadline | None = None
) -> tuple[Future[Built], int]:
    """Have *text* compiled; return what will be made of it, and the process that is about it."""
    assert running.pid is not None
    until_s = time.monotonic() + 60
    while children_of(running.pid):  # one that has answered, and is on its way out
        assert time.monotonic() < until_s
        time.sleep(0.005)
    asked = thread.submit(compiled, running, text, deadline)
    while not (found := children_of(running.pid)):
        assert time.monotonic() < until_s
        time.sleep(0.005)
    return asked, found[0]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pid: int) -> None:
    until_s = time.monotonic() + 60
    while not is_gone(pid):
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_child_that_is_killed_is_an_error_of_the_compilation() -> None:
    running = LoadServer()
    try:
        with ThreadPoolExecutor(1) as thread:
            asked, child = being_compiled(running, thread, SLOW)
            os.kill(child, signal.SIGKILL)
            built = asked.result()
        assert (built.stage, built.error) == ("limit", "the compiler crashed (SIGKILL)")
        assert goes_on(running)
    finally:
        running.close()


def kill_server(running: LoadServer) -> int:
    """Kill the server; return its pid."""
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    return running.pid


def test_a_server_that_is_killed_takes_its_child_along_and_another_one_is_asked() -> None:
    running = LoadServer()
    try:
        with ThreadPoolExecutor(1) as thread:
            asked, child = being_compiled(running, thread, ENDLESS)
            first = kill_server(running)
            wait_until_gone(child)
            until_s = time.monotonic() + 60
            while running.pid in (first, None) or not children_of(running.pid):
                assert time.monotonic() < until_s
                time.sleep(0.005)
            assert not Path(f"/proc/{first}").exists(), "a zombie"
            kill_server(running)
            built = asked.result()
        assert (built.stage, built.error) == ("limit", server.GONE)
        assert built.remedy
        assert goes_on(running)
        kill_server(running)
        assert compiled(running, SMALL).error == server.ENDS
    finally:
        running.close()


def test_if_its_parent_is_killed_the_server_goes_on_and_then_nothing_does() -> None:
    running = LoadServer()
    try:
        os.kill(running.parent_pid, signal.SIGKILL)
        assert goes_on(running)
        kill_server(running)
        built = compiled(running, SMALL)
        assert (built.error, built.remedy) == (server.GONE, server.GONE_REMEDY)
    finally:
        running.close()


def test_what_is_abandoned_is_compiled_no_further() -> None:
    running = LoadServer()
    deadline = Deadline()
    try:
        with ThreadPoolExecutor(1) as thread:
            asked, child = being_compiled(running, thread, ENDLESS, deadline)
            deadline.abandon()
            wait_until_gone(child)
            assert asked.result().error == "abandoned"
        assert goes_on(running)
    finally:
        running.close()


def test_a_server_that_is_stopped_goes_on_when_it_is_asked() -> None:
    running = LoadServer()
    try:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        assert goes_on(running)
    finally:
        running.close()


def test_closing_ends_what_is_being_compiled() -> None:
    running = LoadServer()
    server_pid = running.pid
    assert server_pid is not None
    with ThreadPoolExecutor(1) as thread:
        asked, child = being_compiled(running, thread, ENDLESS)
        running.close()
        assert asked.result().stage == "limit"
    wait_until_gone(child)
    assert left_over(server_pid) == []


def left_over(server_pid: int) -> list[Path]:
    """Return the cgroups that stay. One is busy until the kernel is done with the process that was in it."""
    place = limits.MemoryCgroups()._place
    until_s = time.monotonic() + 20
    while found := list(place.folder.glob(f"ebpftop-load-{server_pid}")) if place else []:
        if time.monotonic() > until_s:
            break
        time.sleep(0.1)
        limits.MemoryCgroups()  # the next run removes what one that was killed has left
    return found


KILLED = """\
import os, signal, sys, threading
from ebpftop.kernel.load.built import CompileRequest
from ebpftop.kernel.load.server import LoadServer
running = LoadServer()
print(running.pid, flush=True)
running.compile(CompileRequest("hello.c", sys.argv[1]))
"""


def test_if_ebpftop_is_killed_server_and_child_end_and_leave_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, ENDLESS], stdout=subprocess.PIPE, text=True) as ebpftop:
        assert ebpftop.stdout is not None
        server_pid = int(ebpftop.stdout.readline())
        until_s = time.monotonic() + 60
        while not (children := children_of(server_pid)):
            assert time.monotonic() < until_s
            time.sleep(0.005)
        ebpftop.kill()
    for pid in (server_pid, *children):
        wait_until_gone(pid)
    assert left_over(server_pid) == []


def test_the_server_and_its_children_have_few_rights(running: LoadServer) -> None:
    assert goes_on(running)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{running.pid}/status").read_text().splitlines())
    kept = int(status["CapPrm"], 16)
    assert not kept >> 21 & 1, "CAP_SYS_ADMIN"
    assert not kept >> 1 & 1, "CAP_DAC_OVERRIDE"
    assert status["NoNewPrivs"] == "1"


def test_a_compilation_that_is_late_is_ended(hasty: LoadServer) -> None:
    """It is stopped, so that it does not use up its CPU time before."""
    with ThreadPoolExecutor(1) as thread:
        asked, child = being_compiled(hasty, thread, SLOW)
        os.kill(child, signal.SIGSTOP)
        assert asked.result().error.startswith("it was not compiled within")
    wait_until_gone(child)
    assert goes_on_at_last(hasty)
