"""Each key finds what the key before it did, however fast they are typed."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import random
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.terminal import opened
from textual.events import Event, Key
from textual.keys import _character_to_key

import ebpftop
from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.probes.registry import registry
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.trace import TracePane

from .conftest import settle
from .scene import FakeSource, minute
from .typed import reset, settled, state

OPENS = {"/": "/", "E": "E", "\x13": "ctrl+s", "\x10": "ctrl+p", "?": "?", "c": "c"}
"""What opens an input or a dialog: what a terminal sends, and Textual's name of it."""

BEFORE = ("m", "t", "tab", "k enter", "tab tab m", "/ a enter", "!")
"""What may have been typed right before, and still be under way."""

TYPED = ("/", "E", "ctrl+s", "ctrl+p")
"""What opens a text field."""

AFTER = "1m/2"
"""Digits detach probes, m maximises, a slash opens the filter: where they are not typed into something."""


def key(name: str) -> Key:
    return Key(_character_to_key(name) if len(name) == 1 else name, name if len(name) == 1 else None)


@pytest.mark.parametrize("opening", OPENS.values())
async def test_keys_typed_at_once_do_what_they_do_when_typed_slowly(opening: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        for before in BEFORE:
            keys = [*before.split(), opening, *AFTER]
            await reset(app)
            for name in keys:
                app.post_message(key(name))
                await settled(app)
            slowly = state(app)
            await reset(app)
            for name in keys:
                app.post_message(key(name))
            await settled(app)
            assert state(app) == slowly, (before, opening)
            assert not app._exit


MOVING = ("j", "k", "pagedown", "G", "g", "tab", "left", "right", "space", "left_square_bracket", "l", "up")


@pytest.mark.parametrize("seed", range(4))
async def test_the_key_that_quits_does_not_wait_for_those_that_only_move(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moves take a while each on a busy machine; after the one that is under way, none is made."""
    source = FakeSource(minute())
    app = EbpftopApp(source)
    struck: list[str] = []
    strike = app._strike

    async def note(event: Event) -> None:
        struck.append(event.key if isinstance(event, Key) else type(event).__name__)
        await strike(event)

    chance = random.Random(seed)
    moves = [chance.choice(MOVING) for _ in range(300)]
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        monkeypatch.setattr(app, "_strike", note)
        for name in (*moves, "q"):
            app.post_message(key(name))
        await settled(app)
    assert app._exit
    assert struck == moves[: len(struck)]
    assert len(struck) < len(moves)


@pytest.mark.parametrize("opening", ["?", "c", "enter", "exclamation_mark"])
async def test_the_key_that_quits_waits_for_one_that_may_open_a_sheet(
    opening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    struck = 0
    strike = app._strike

    async def note(event: Event) -> None:
        nonlocal struck
        struck += 1
        await strike(event)

    typed = (*["k"] * 40, opening, "q")
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        monkeypatch.setattr(app, "_strike", note)
        for name in typed:
            app.post_message(key(name))
        await settled(app)
    assert app._exit
    assert struck == len(typed)


@pytest.mark.parametrize("opening", TYPED)
async def test_the_key_that_quits_waits_for_one_that_may_open_a_text_field(opening: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        for first in (0, 1, 40):
            await reset(app)
            for name in (*["k"] * first, opening, *["j"] * 5, "q"):
                app.post_message(key(name))
            await settled(app)
            assert not app._exit


class Typist:
    """The screen in a terminal, and somebody who types."""

    def __init__(self, pid: int, fd: int, told: int) -> None:
        self.pid = pid
        self.fd = fd
        self.told = told
        self._read = b""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def answer(self, number: int | None = signal.SIGUSR1) -> dict[str, object]:
        """Send a signal and return what the screen says."""
        if number is not None:
            os.kill(self.pid, number)
        while b"\n" not in self._read:
            ready = select.select([self.fd, self.told], [], [], 30)[0]
            assert ready, "the screen says nothing"
            if self.fd in ready:
                os.read(self.fd, 1 << 16)
            if self.told in ready:
                more = os.read(self.told, 1 << 16)
                assert more, "the screen ended"
                self._read += more
        line, _, self._read = self._read.partition(b"\n")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


@contextmanager
def typist() -> Iterator[Typist]:
    told, tells = os.pipe()
    os.set_inheritable(tells, True)
    root = str(Path(__file__).parents[2])
    script = f"import os; os.dup2({tells}, 3); from tests.screens.typed import main; main()"
    environment = dict(os.environ)
    os.environ["PYTHONPATH"] = root
    try:
        pid, fd = opened([sys.executable, "-c", script], 120, 35)
    finally:
        os.environ.clear()
        os.environ.update(environment)
    os.close(tells)
    try:
        one = Typist(pid, fd, told)
        one.answer(None)
        one.answer()
        yield one
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
        os.close(told)


@pytest.mark.parametrize("pane", [ExecsPane, TracePane])
async def test_keys_do_not_wait_for_a_search_that_the_key_before_began(pane: type[Pane]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        searching = app.main.query_one(pane)
        assert isinstance(searching, (ExecsPane, TracePane))
        searching.model.view.scan = lambda rows: True  # type: ignore[method-assign]  # there is always more
        searching.apply_filter(ViewFilter(Filter(uids=(0,)), 0.0))
        await asyncio.wait_for(settled(app), 30)
        assert searching._searching is not None


def test_nothing_calls_itself_later_for_ever() -> None:
    """Keys wait for callbacks. What takes many steps goes on by a timer."""
    later = {"call_later", "call_next", "call_after_refresh"}
    for path in Path(ebpftop.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args]
                for call in calls:
                    named = isinstance(call.func, ast.Attribute) and call.func.attr in later
                    called = call.args[0]
                    itself = isinstance(called, ast.Attribute) and called.attr == function.name
                    assert not (named and itself), f"{path}:{call.lineno}"


@pytest.mark.parametrize("opening", OPENS)
def test_what_one_write_types_does_what_it_does_key_by_key(opening: str) -> None:
    with typist() as screen:
        for before in ("m", "t", "\r"):
            for one in before + opening + AFTER:
                screen.type(one)
                slowly = screen.answer()
            screen.answer(signal.SIGUSR2)
            screen.type(before + opening + AFTER)
            assert screen.answer() == slowly, before
            screen.answer(signal.SIGUSR2)


def test_a_filter_takes_all_that_is_typed_behind_the_slash() -> None:
    with typist() as screen:
        for before in ("m", "t", "\t", "tm"):
            screen.answer(signal.SIGUSR2)
            screen.type(f"{before}/1q{AFTER}")
            told = screen.answer()
            assert told["inputs"] == [f"1q{AFTER}"]
            assert told["probes"] == [0] * len(registry().names)


def test_nobody_gives_the_focus_by_a_deferred_call() -> None:
    for path in Path(ebpftop.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "focus":
                raise AssertionError(f"{path}:{node.lineno}: set_focus() of the screen acts at once, focus() later")
