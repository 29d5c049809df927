"""What makes the start quick, held against what it leaves out."""

from __future__ import annotations

import argparse
import gc
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebpftop.cli.commands import parser
from ebpftop.cli.main import main
from ebpftop.commands import kernel_options, live
from ebpftop.kernel.root_work import RootWork
from ebpftop.lifecycle import terminal
from ebpftop.lifecycle.limits import LIVE_SCREEN
from ebpftop.sources.live_options import Options

# ---- Garbage ----


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(
    ("words", "collects"), [(["live"], False), (["demo"], False), (["replay", "-"], False), (["check"], True)]
)
def test_garbage_is_collected_from_the_first_picture_on_or_where_there_is_none_from_the_start(
    words: list[str], collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def run(_args: argparse.Namespace) -> int:
        seen.append(gc.isenabled())
        return 0

    monkeypatch.setattr("ebpftop.cli.main.import_module", lambda _name: SimpleNamespace(run=run))
    assert main(words) == 0
    assert seen == [collects]


# ---- The order of things ----


@pytest.mark.parametrize("opened_s", [0.0, 3600.0])
def test_the_screen_is_imported_when_the_kernel_is_open_or_while_that_waits_for_the_compiler(
    opened_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    imported = threading.Event()

    def import_app() -> None:
        happened.append("imported")
        imported.set()

    def open_kernel(*_args: object, **_named: object) -> SimpleNamespace:
        if not opened_s:
            imported.wait()
        happened.append("open")
        return SimpleNamespace(
            attach_soon=lambda: happened.append("attaching"),
            close=lambda: happened.append("closed"),
            options=SimpleNamespace(interval_s=1.0),
            probes=(),
            live=True,
            filter=None,
            notes=(),
        )

    def show(*_args: object, **_named: object) -> int:
        happened.append("shown")
        return 0

    monkeypatch.setattr(live, "OPENED_AFTER_S", opened_s)
    monkeypatch.setattr(live, "import_app", import_app)
    monkeypatch.setattr(live, "open_kernel", open_kernel)
    monkeypatch.setattr(live, "refused", lambda: False)
    for name in ("check_machine", "root_work", "options_of", "HistorySource"):
        monkeypatch.setattr(live, name, lambda *_args, **_named: None)
    monkeypatch.setattr(live, "redirect_stdio", lambda: SimpleNamespace(stdout_fd=1, stderr_fd=2, log_path=None))
    monkeypatch.setattr("ebpftop.lifecycle.stdio.require_terminal", lambda _text: None)
    monkeypatch.setattr("ebpftop.lifecycle.stdio.draw_on_terminal", lambda *_: None)
    monkeypatch.setattr("ebpftop.ui.app.run", show)
    assert live._run(parser().parse_args(["live"])) == 0
    before = ["imported"] if not opened_s else []
    assert happened == [*before, "open", "attaching", "shown", "closed"]


@pytest.mark.parametrize(("uid", "checks"), [(0, 0), (1000, 1)])
def test_the_threads_are_tried_again_by_the_user_that_we_have_become_unless_that_is_root(
    uid: int, checks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    monkeypatch.setattr("ebpftop.sources.live.KernelSource", lambda *_args, **_named: SimpleNamespace(notes=()))
    monkeypatch.setattr("ebpftop.kernel.capabilities.give_up_all_but_watching", lambda: None)
    monkeypatch.setattr("os.getuid", lambda: uid)
    monkeypatch.setattr("ebpftop.lifecycle.limits.require_threads", tried.append)
    kernel_options.open_kernel(Options(), RootWork(Path("none")), LIVE_SCREEN)
    assert tried == [LIVE_SCREEN] * checks


# ---- Keys that are typed before ----


def test_who_reads_keys_ahead_sleeps_until_there_is_one_and_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[object] = []

    class Poll:
        def __init__(self) -> None:
            self._poll = select.poll()
            self.register = self._poll.register

        def poll(self, *timeout: object) -> list[tuple[int, int]]:
            waits.append(timeout)
            return self._poll.poll()

    reading, writing = os.pipe()
    stdin = os.dup(0)
    os.dup2(reading, 0)
    try:
        monkeypatch.setattr(terminal, "select", SimpleNamespace(poll=Poll, POLLIN=select.POLLIN))
        quits = threading.Event()
        ahead = terminal._KeysAhead(quits.set)
        os.write(writing, b"q")
        assert quits.wait(30)
        assert ahead.stop() == b"q"
    finally:
        os.dup2(stdin, 0)
        for fd in (stdin, reading, writing):
            os.close(fd)
    assert set(waits) == {()}


def test_what_loads_files_of_users_is_not_imported_without_one() -> None:
    code = (
        "import sys, ebpftop.commands.live, ebpftop.commands.stream, ebpftop.sources.live\n"
        "print([name for name in sys.modules if name.startswith('ebpftop.kernel.load.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
