"""What a pane says while it has nothing to show, and what helps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from ebpftop.core.records import Attempt
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen

from .conftest import pane, settle, until
from .scene import FakeSource, batch, minute, probe_state


@asynccontextmanager
async def running(source: FakeSource) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        yield pilot, app


def message(app: EbpftopApp, probe: str) -> str:
    return " ".join(span.text for span in pane(app, probe).lines.message)


ON = [batch(probe, 1, probe_state(probe, "on")) for probe in ("execs", "users", "syscalls", "trace", "opens")]


@pytest.mark.parametrize(
    ("probe", "text"),
    [
        ("execs", "No program has started since 13:00:00. Try: ls"),
        ("users", "Nobody has started a program since 13:00:00."),
        ("syscalls", "No system call was made since 13:00:00."),
        ("trace", "No BPF program has printed a line since 13:00:00. Each program that starts makes ebpftop print one"),
    ],
)
async def test_empty_it_says_since_when_and_what_makes_something_happen(probe: str, text: str) -> None:
    async with running(FakeSource(ON)) as (_, app):
        assert message(app, probe).startswith(text)


async def test_an_empty_recording_does_not_say_since_when() -> None:
    async with running(FakeSource(ON, live=False)) as (_, app):
        assert message(app, "execs") == "No program has started."


async def test_off_it_says_what_that_costs_the_key_and_what_was_counted() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("1")
        await until(pilot, lambda: pane(app, "execs").state == "off")
        await until(pilot, lambda: "Detached" in message(app, "execs"))
        assert "1 Exec log ○  off" in pane(app, "execs").title_text
        assert message(app, "execs").startswith("Detached: it costs nothing. 1 attaches it. Last: 13 ")
        await pilot.press("3")
        await until(pilot, lambda: "Detached" in message(app, "syscalls"))
        assert re.search(r"Last: [\d.]+[kM]? calls$", message(app, "syscalls"))


async def test_failed_it_says_why_what_helps_and_enter_shows_each_attempt() -> None:
    attempts = tuple(Attempt(via=via, cost="little", reason="EPERM") for via in ("fentry", "kprobe", "raw_tracepoint"))
    failed = replace(probe_state("syscalls", "failed", reason="EPERM", remedy="run as root"), attempts=attempts)
    async with running(FakeSource([batch("syscalls", 1, failed)])) as (pilot, app):
        said = message(app, "syscalls")
        assert "3 Syscalls ✗  failed" in pane(app, "syscalls").title_text
        assert "EPERM" in said
        assert "run as root" in said
        assert said.endswith("Enter: all 3 attempts")
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
