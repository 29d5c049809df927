"""Keys come faster than what they ask for is done: the last wish wins, and is shown at once."""

from __future__ import annotations

import re
import threading

import pytest
from textual.events import Key

from ebpftop.core.records import ProbeName
from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Handler
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import user_level
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.requests import LatestRequests
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import pane, until
from .scene import FakeSource, minute
from .test_screen_keys import running
from .typed import settled


@pytest.mark.parametrize("presses", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize(("key", "probe"), [("1", "execs"), ("4", "trace")])
async def test_even_presses_end_with_the_probe_on_and_odd_ones_with_it_off(
    key: str, probe: ProbeName, presses: int
) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        source.turning.clear()
        for _ in range(presses):
            app.post_message(Key(key, key))
        await until(pilot, lambda: app._settling is None and app._settled)
        # Nothing has been done yet, but it is shown what will be.
        if pane(app, probe).busy:
            assert pane(app, probe).lines.message[0].text == ("detaching …" if presses % 2 else "attaching …")
        source.turning.set()
        await until(pilot, lambda: not pane(app, probe).busy)
        assert source.is_on(probe) is (presses % 2 == 0)
        await until(pilot, lambda: pane(app, probe).state == ("off" if presses % 2 else "on"))


async def test_presses_while_it_is_toggled_change_the_wish() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        source.turning.clear()
        await pilot.press("1")
        await until(pilot, lambda: pane(app, "execs").busy)
        assert pane(app, "execs").lines.message[0].text == "detaching …"
        assert "1 Exec log …  detaching" in pane(app, "execs").title_text
        await until(pilot, lambda: re.search(r"detaching \(0\.[1-9]s\)", pane(app, "execs").title_text))
        await pilot.press("1")
        assert pane(app, "execs").lines.message[0].text == "attaching …"
        source.turning.set()
        await until(pilot, lambda: pane(app, "execs").state == "on")
        assert source.toggled == ["execs", "execs"]


async def test_a_toggle_that_fails_ends_the_wish() -> None:
    source = FakeSource(minute())
    source.refuses = SourceError("the map is gone")
    async with running(source) as (pilot, app):
        await pilot.press("1", "1", "1")
        await until(pilot, lambda: not pane(app, "execs").busy)
        assert pane(app, "execs").state == "on"
        source.refuses = None
        await pilot.press("1")
        await until(pilot, lambda: pane(app, "execs").state == "off")


@pytest.mark.parametrize(("keys", "last"), [("iii", "ignore"), ("ii", "count"), ("iiii", "count")])
async def test_the_last_handler_asked_for_is_the_one_that_is_set(keys: str, last: Handler) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        syscalls = app.main.query_one(SyscallsPane)
        await pilot.press("tab", "tab", "j")
        await until(pilot, lambda: syscalls.table.selected() is not None)
        call = syscalls.table.selected()
        assert call is not None
        source.turning.clear()
        for key in keys:
            app.post_message(Key(key, key))
        await settled(app)
        assert syscalls.model.handler(call) == last
        source.turning.set()
        await until(pilot, lambda: source.handlers and source.handlers[-1] == (*call.key, last))
        assert len(source.handlers) <= 2


@pytest.mark.parametrize("presses", [1, 2, 5, 6])
async def test_the_last_filter_is_the_one_that_decides(presses: int) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        source.turning.clear()
        for press in range(presses):
            if press % 2:
                app.main.filters.pop()
            else:
                app.main.filters.push(user_level(0, "root"))
            await pilot.pause()
        wanted = Filter(uids=(0,)) if presses % 2 else Filter()
        assert app.main.filters.stack.filter == wanted
        source.turning.set()
        await until(pilot, lambda: app.main.filters.requests.last("filter") is None)
        assert (source.filters[-1] if source.filters else Filter()) == wanted
        assert len(source.filters) <= 3
        await until(pilot, lambda: presses % 2 == 0 or app.main.playback.view_filter.kernel_filter_since < float("inf"))


async def test_interval_and_pause_follow_every_press() -> None:
    source = FakeSource(minute())
    async with running(source) as (_, app):
        for key in ("+", "+", "-", "+", " ", " ", " "):
            app.post_message(Key({"+": "plus", "-": "minus", " ": "space"}[key], key))
        await settled(app)
        assert source.intervals == [2.0, 5.0, 2.0, 5.0]
        assert app.main.query_one(StatusBar).status.interval_s == 5.0
        assert app.main.playback.paused


@pytest.mark.parametrize("seed", range(3))
def test_wishes_of_many_threads_end_with_the_last_of_each(seed: int) -> None:
    wishes: LatestRequests[int, int] = LatestRequests()
    done: dict[int, int] = {}
    fulfillers: list[threading.Thread] = []

    def fulfil() -> None:
        for key, value in wishes:
            done[key] = value

    def wish(key: int) -> None:
        for value in range(500):
            if wishes.put(key, value):
                one = threading.Thread(target=fulfil)
                fulfillers.append(one)
                one.start()

    threads = [threading.Thread(target=wish, args=(key + 10 * seed,)) for key in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in fulfillers:
        one.join()
    assert done == {key + 10 * seed: 499 for key in range(4)}


class OneByOne(FakeSource):
    """Puts each filter when it is told to."""

    def __init__(self, *answers: SourceError | None) -> None:
        super().__init__(minute())
        self.answers = answers
        self.told = [threading.Event() for _ in answers]
        self.asked: list[Filter] = []

    def set_filter(self, wanted: Filter) -> float:
        number = len(self.asked)
        self.asked.append(wanted)
        assert self.told[number].wait(30)
        self.refuses_filter = self.answers[number]
        return super().set_filter(wanted)


@pytest.mark.parametrize("answer", [None, SourceError("no such user")], ids=["put", "refused"])
async def test_what_became_of_a_filter_that_nobody_wishes_for_any_more_changes_nothing(
    answer: SourceError | None,
) -> None:
    source = OneByOne(answer, None)
    ada = Filter(uids=(1000,))
    async with running(source) as (pilot, app):
        app.main.filters.push(user_level(0, "root"))
        await until(pilot, lambda: len(source.asked) == 1)
        app.main.filters.push(user_level(1000, "ada"))
        source.told[0].set()
        await until(pilot, lambda: source.asked[1:] == [ada])
        heard = threading.Event()
        app.main.call_later(heard.set)  # behind the news of the first
        await until(pilot, heard.is_set)
        assert app.main.filters.stack.filter == ada
        assert app.main.playback.view_filter == ViewFilter(ada)
        source.told[1].set()
        await until(pilot, lambda: app.main.playback.view_filter.kernel_filter_since < float("inf"))
        assert app.main.playback.view_filter.filter == app.main.filters.stack.filter == ada
