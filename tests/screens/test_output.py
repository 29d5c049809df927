"""The pane of what a command prints, and leaving a screen that is about a command."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from textual.pilot import Pilot

from ebpftop.core.records import Probe, Record
from ebpftop.core.source import Batch
from ebpftop.lifecycle.attended import AttendedCommand
from ebpftop.lifecycle.started import StartedCommand
from ebpftop.models.output import Output
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.output import OutputPane
from ebpftop.ui.screens.leaving import LeaveScreen
from tests.screens.conftest import Look, pane, settle, until
from tests.screens.scene import EVERY_CHANNEL, START, FakeSource, batch, minute

ON = Probe(time=START, probe="output", state="on", via="a terminal of its own", reason=None)


def printed(*texts: str, first: int = 1) -> Batch:
    rows: list[Record] = [
        Output(time=START + 50 + line / 10, line=line, text=text) for line, text in enumerate(texts, first)
    ]
    return batch("output", 50, ON, *rows)


def ended(line: int, text: str) -> Batch:
    return batch("output", 59, Output(time=START + 59, line=line, text=text, part="end"))


MAKE = (
    printed("cc -O2 -c -o src/basket.o src/basket.c", "src/cart.c:12: warning: unused variable 'n'", "ld -o shop"),
    batch("output", 55, Output(time=START + 55, line=1200, text="", part="lost")),
    batch("output", 56, Output(time=START + 56, line=4, text="[=====>    ] 50%", part="open")),
    batch("output", 57, Output(time=START + 57, line=4, text="[=========>] 100%")),
    printed(r"tests: \x07 failed, 한국어 ok", "make: *** [Makefile:3: test] Error 1", first=5),
    ended(6, "exit 2 after 41.3s"),
)


class Started:
    """What the screen needs of a command, which never was one."""

    argv = ("/usr/bin/make", "-j4")
    pid = 4711

    def __init__(self) -> None:
        self.code: int | None = None
        self.sent: list[int] = []
        self.sizes: list[tuple[int, int]] = []

    @property
    def status(self) -> int:
        assert self.code is not None
        return self.code

    def send_to_group(self, number: int) -> None:
        self.sent.append(number)

    def set_size(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))


def of_a_run(*batches: Batch) -> FakeSource:
    return FakeSource(batches, probes=EVERY_CHANNEL)


@pytest.mark.parametrize("size", [(120, 35), (60, 15)], ids=["120x35", "60x15"])
def test_what_a_command_prints_is_a_pane(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(of_a_run(*minute(), *MAKE), size, "0")


Test = Callable[[EbpftopApp, Pilot[int], AttendedCommand, Started], Coroutine[Any, Any, None]]


async def with_command(test: Test, size: tuple[int, int] = (80, 24)) -> int | None:
    """Run *test* on a screen about a command; return what the app ended with."""
    source, started = of_a_run(*MAKE[:1]), Started()
    command = AttendedCommand(cast(StartedCommand, started))
    app = EbpftopApp(source, command=command)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        await test(app, pilot, command, started)
    return app.return_value


async def test_its_terminal_is_as_large_as_the_pane() -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        output = pane(app, "output")
        assert isinstance(output, OutputPane)
        await until(pilot, lambda: started.sizes and started.sizes[-1][1] == output.content_size.height)
        before = started.sizes[-1]
        await pilot.press("0", "m")
        await until(pilot, lambda: started.sizes[-1][1] > before[1])
        assert started.sizes[-1][0] == output.content_size.width - 2

    await with_command(test)


async def test_q_asks_what_becomes_of_a_command_that_runs() -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, LeaveScreen))
        await pilot.press("q")  # stays
        await until(pilot, lambda: app.screen is app.main)
        assert (started.sent, command.leaves_at_end, app.is_running) == ([], False, True)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, LeaveScreen))
        await pilot.press("enter")
        await until(pilot, lambda: started.sent == [15])
        assert command.leaves_at_end
        await until(pilot, lambda: app.screen is app.main)
        await pilot.press("q")  # it does not obey
        await until(pilot, lambda: isinstance(app.screen, LeaveScreen))
        await pilot.press("enter")
        await until(pilot, lambda: started.sent == [15, 9])
        assert app.is_running

    await with_command(test)


@pytest.mark.parametrize("key", ["question_mark", "f2", "X", "P"])
async def test_q_asks_on_any_screen(key: str) -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        await pilot.press(key)
        await until(pilot, lambda: app.screen is not app.main)
        sheet = app.screen
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, LeaveScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is sheet)
        assert (started.sent, app.is_running) == ([], True)

    await with_command(test)


async def test_it_can_be_left_running() -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, LeaveScreen))
        await pilot.press("j", "enter")
        await until(pilot, lambda: not app.is_running)
        assert started.sent == []

    assert not await with_command(test)


async def test_q_leaves_with_the_status_of_a_command_that_has_ended() -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        started.code = 3
        command.has_ended()
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    assert await with_command(test) == 3


async def test_ctrl_c_goes_to_the_command_and_a_second_one_leaves() -> None:
    async def test(app: EbpftopApp, pilot: Pilot[int], command: AttendedCommand, started: Started) -> None:
        assert command._interrupt()
        assert started.sent == [2]
        assert not command._interrupt()
        started.code = 130
        assert command._interrupt()
        assert command.status == 130

    await with_command(test)


async def test_without_a_command_there_is_no_pane_and_its_key_says_why() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        assert not app.main.query("#output")
        await pilot.press("0")
        await until(pilot, lambda: any("ebpftop run" in str(note.message) for note in app._notifications))
        assert source.toggled == []
