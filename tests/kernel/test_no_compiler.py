"""The compiler is 60 MB of memory: it is in no process that has nothing to compile, and never in ebpftop itself."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from ebpftop.kernel import compile_helper
from ebpftop.kernel.capabilities import Cap
from ebpftop.kernel.compile_helper import Answer, CompileHelper, Request
from ebpftop.kernel.stub_headers import keep_tree
from ebpftop.lifecycle import helpers
from tests.kernel.support import Stream, needs_root
from tests.kernel.test_live import Terminal
from tests.kernel.test_privileges import SUDO, children_of

pytestmark = needs_root

LIBRARIES = ("libLLVM", "libclang", "libbcc", "libbpf")


def compilers_in(pid: int) -> list[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in LIBRARIES if name in maps]


def parts_of_the_compiler(pid: int) -> dict[str, list[str]]:
    """Return what ebpftop and each of its helpers have loaded of it."""
    return {
        "ebpftop": compilers_in(pid),
        **{name: compilers_in(child) for name, child in children_of(pid).items()},
    }


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EBPFTOP_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_nothing_of_the_compiler_is_loaded_if_all_is_cached_and_never_into_ebpftop(cache: Path) -> None:
    stream = Stream()
    stream.forked = False  # what it has loaded is what this is about
    with stream:
        assert len(list(cache.iterdir())) >= 5  # it was compiled
        # The helper ends; until ebpftop does, its pid is kept.
        until_s = time.monotonic() + 20
        while any(parts_of_the_compiler(stream.pid).values()):
            assert compilers_in(stream.pid) == []
            assert time.monotonic() < until_s
            time.sleep(0.02)
    screen = Terminal()
    try:
        screen.wait_for("1● 2● 3● 4●".encode())  # all is attached
        assert parts_of_the_compiler(screen.pid) == {
            name: [] for name in ("ebpftop", "ebpftop-guard", "ebpftop-root", "ebpftop-compile")
        }
    finally:
        screen.press(b"q")
        assert screen.wait() == 0


@pytest.mark.parametrize("env", [SUDO, {}], ids=["sudo", "root"])
def test_what_a_screen_compiled_at_its_start_is_kept(
    env: Mapping[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    screen = Terminal()
    try:
        screen.wait_for("1● 2● 3● 4●".encode())
        # The offsets, the filter and four probes, of which one may have a second entry.
        assert 6 <= len(list(cache.iterdir())) <= 7
    finally:
        screen.press(b"q")
        assert screen.wait() == 0


SOURCE = "BPF_ARRAY(one, u32, 1);\nint f(void *ctx) { return one.lookup(&(u32){0}) ? 1 : 0; }\n"


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> CompileHelper:
    tree_fd = keep_tree()
    assert tree_fd is not None
    made = CompileHelper(tree_fd)
    monkeypatch.setattr(compile_helper, "_started", [made])
    return made


def test_the_helper_compiles_with_no_more_rights_than_ebpftop_has_when_all_is_attached(helper: CompileHelper) -> None:
    try:
        answer = helper.ask(Request(SOURCE, ["-g0"], {}))
        assert answer is not None
        assert answer.error == ""
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{helper.helper_pid}/status").read_text().splitlines()
        )
        assert int(status["CapPrm"], 16) == 1 << Cap.BPF | 1 << Cap.DAC_READ_SEARCH
        assert status["NoNewPrivs"] == "1"
        assert compilers_in(helper.helper_pid or 0) != []
    finally:
        compile_helper.close()


def test_what_does_not_compile_has_the_words_of_the_compiler(helper: CompileHelper) -> None:
    try:
        answer = helper.ask(Request("struct s { int a; }; char (*of1)[sizeof(struct s) + 1] = 0.5;", None, {}))
        assert answer is not None
        assert answer.compiled is None
        # Where this kernel has no headers of its own, that is what is said.
        assert re.search(r"'char \(\*\)\[5\]'|headers", answer.error)
        assert helper.ask(Request("int f(void *ctx) { return nonsense; }", ["-g0"], {})) == Answer(
            None, "Failed to compile BPF module <text>"
        )
    finally:
        compile_helper.close()


@pytest.mark.parametrize("raised", ["ImportError('no libbcc')", "OSError('cut short')", "SystemExit", "KeyError"])
@pytest.mark.parametrize("flags", [["-g0"], None], ids=["compiled", "asked for errors"])
def test_whatever_breaks_in_the_compiler_is_an_answer(
    raised: str, flags: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks waits, so an answer that never comes would be waited for to the end of ebpftop."""
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc/__init__.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name == "bcc" or name.startswith(("bcc.", "ebpftop.kernel.bcc_"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("ebpftop.kernel.bcc_compiler", raising=False)
    tree_fd = keep_tree()
    assert tree_fd is not None
    broken = CompileHelper(tree_fd)
    answers: list[Answer | None] = []
    asking = threading.Thread(target=lambda: answers.append(broken.ask(Request(SOURCE, flags, {}))), daemon=True)
    asking.start()
    asking.join(60)
    broken.close()
    assert [answer and (answer.compiled, bool(answer.error)) for answer in answers] == [(None, True)]


@pytest.mark.parametrize("ends", ["killed", "at rest"])
def test_if_the_helper_has_ended_the_process_that_asks_compiles(helper: CompileHelper, ends: str) -> None:
    assert helper.helper_pid is not None
    try:
        if ends == "killed":
            os.kill(helper.helper_pid, signal.SIGKILL)
        else:
            assert helper.ask(Request(SOURCE, ["-g0"], {})) is not None
            compile_helper.rest()
        assert helper.ask(Request(SOURCE, ["-g0"], {})) is None
        assert compile_helper.ask(Request(SOURCE, ["-g0"], {})).error == ""
    finally:
        compile_helper.close()
    assert helpers.pids == []


def test_a_helper_that_somebody_stops_while_it_compiles_goes_on(helper: CompileHelper) -> None:
    pid = helper.helper_pid
    assert pid is not None
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(helper.ask, Request(SOURCE, ["-g0"], {}))
        try:
            while len(os.listdir(f"/proc/{pid}/task")) < 2 and not asked.done():  # it has read the request
                time.sleep(0.001)
            os.kill(pid, signal.SIGSTOP)
            answer = asked.result(timeout=30)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            compile_helper.close()
    assert answer is not None
    assert answer.error == ""


def test_a_helper_that_was_not_needed_waits_for_what_is_attached_later(helper: CompileHelper) -> None:
    try:
        compile_helper.rest()
        assert helper.ask(Request(SOURCE, ["-g0"], {})) is not None
    finally:
        compile_helper.close()
