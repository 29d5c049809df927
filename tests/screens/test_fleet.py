"""The screen of a fleet: hosts, the merged log, and the panes of one host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from ebpftop.core.source import SourceError
from ebpftop.fleet.prometheus import EVERY_S, FIGURES, HOSTS, OF_HOST, Prometheus, PrometheusReading, Sample
from ebpftop.fleet.rows import News
from ebpftop.settings.store import Settings
from ebpftop.ui.fleet_app import FleetApp, PrometheusApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.fleet import FleetScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.palette import Palette
from ebpftop.ui.screens.settings import SettingsScreen
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.manual import ManualView

from .conftest import until
from .fleet_scene import WALL, FakeReading, Opened, fleet_app, host, whole_fleet

SIZE = (120, 35)


async def shown(pilot: Pilot[Any]) -> FleetScreen:
    """Wait until the list of hosts is on the screen, and has rows."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, FleetScreen) and app.screen.table.end)
    await pilot.pause()
    screen = app.screen
    assert isinstance(screen, FleetScreen)
    return screen


async def panes_shown(pilot: Pilot[Any], name: str, opened: Opened) -> MainScreen:
    """Wait until the panes of a host are on the screen, with all that its source has."""
    app = pilot.app
    assert isinstance(app, FleetApp)
    await until(pilot, lambda: app.opened == name and isinstance(app.screen, MainScreen))
    screen = app.main
    await until(pilot, lambda: screen.playback.present.batches >= opened.sources[name].given)
    return screen


def names(screen: FleetScreen) -> list[str]:
    return [row.name for row in screen.table.rows()]


def notices(app: FleetApp) -> list[str]:
    return [notice.message for notice in app._notifications]


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)])
def test_what_it_looks_like(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    async def run(pilot: Pilot[Any]) -> None:
        await shown(pilot)
        await pilot.press("down", "down", "down")

    assert snap_compare(fleet_app(whole_fleet()), terminal_size=size, run_before=run)


def test_what_a_filter_of_hosts_looks_like(snap_compare: Callable[..., bool]) -> None:
    async def run(pilot: Pilot[Any]) -> None:
        screen = await shown(pilot)
        await pilot.press("slash", *"host:web*", "enter", "tab", "slash", *"host:web*", "enter")
        await until(pilot, lambda: not screen.log_lines.searching and not screen.log_lines.view.behind)
        screen.show()
        screen.show_title(screen._title)
        await pilot.pause()

    assert snap_compare(fleet_app(whole_fleet()), terminal_size=SIZE, run_before=run)


def test_what_it_looks_like_before_anything_has_come(snap_compare: Callable[..., bool]) -> None:
    async def run(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetScreen))
        await pilot.pause()

    assert snap_compare(fleet_app(FakeReading()), terminal_size=(80, 24), run_before=run)


async def test_what_is_wrong_stands_first() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        first = names(screen)[:6]
        assert set(first[:2]) == {"db2", "ci1"}
        assert first[2:4] == ["ci3", "web7"]
        assert first[4] == "web8"


async def test_enter_opens_the_panes_of_the_host_under_the_cursor_and_escape_leads_back() -> None:
    reading, opened = whole_fleet(), Opened()
    app = fleet_app(reading, opened)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("slash", *"^web3", "enter", "g", "enter")
        main = await panes_shown(pilot, "web3", opened)
        assert main.execs.model.view.ring.end > 0
        assert main.source is opened.sources["web3"]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await until(pilot, lambda: "close" in reading.asked)
        assert reading.asked == ["open web3", "close"]
        await until(pilot, lambda: opened.sources["web3"].closed)
        assert names(screen) == ["web3"]
        assert screen.focused is screen.table


async def test_another_host_can_be_opened_after_the_first() -> None:
    opened = Opened()
    app = fleet_app(FakeReading(News(hosts=(host("a"), host("b")))), opened)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        for name in ("a", "b", "a"):
            await pilot.press("g")
            if name == "b":
                await pilot.press("j")
            await pilot.press("enter")
            await panes_shown(pilot, name, opened)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen and "host" not in app._screen_stacks)


async def test_escape_in_the_panes_first_undoes_what_was_done_there() -> None:
    opened = Opened()
    app = fleet_app(FakeReading(News(hosts=(host("a"),))), opened)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("enter")
        main = await panes_shown(pilot, "a", opened)
        await pilot.press("t")
        await until(pilot, lambda: main.execs.as_tree)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is main
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_escape_on_the_list_never_quits() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert app.screen is screen
        assert app.is_running


async def test_a_host_of_which_nothing_came_is_not_opened_and_says_why() -> None:
    reading = FakeReading(News(hosts=(host("ci3", "no root", opens=False, said="sudo asks", remedy="NOPASSWD"),)))
    app = fleet_app(reading)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is screen
        assert notices(app) == ["Nothing has come of ci3 so far: sudo asks: NOPASSWD"]
        assert reading.asked == []


async def test_panes_that_cannot_be_made_leave_the_list_and_can_be_tried_again() -> None:
    reading = FakeReading(News(hosts=(host("a"),)))
    app = fleet_app(reading, Opened(SourceError("no header", "wait")))
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "no header; wait" in notices(app))
        await pilot.press("enter")
        await until(pilot, lambda: reading.asked == ["open a", "open a"])
        assert app.screen is screen


async def test_the_state_of_an_open_host_is_said_when_it_changes() -> None:
    reading, opened = FakeReading(News(hosts=(host("a"),))), Opened()
    app = fleet_app(reading, opened)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot)
        await pilot.press("enter")
        await panes_shown(pilot, "a", opened)
        reading.waiting.append(News(hosts=(host("a", "gone", said="closed"),)))
        await until(pilot, lambda: "a is gone: closed" in notices(app))


async def test_enter_in_the_log_opens_the_host_of_the_program() -> None:
    opened = Opened()
    app = fleet_app(whole_fleet(), opened)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("tab", "G")
        assert screen.log_lines.has_focus
        await pilot.press("enter")
        await panes_shown(pilot, "web1", opened)


async def test_a_filter_of_hosts_shows_those_that_match_and_escape_clears_it() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        everything = len(names(screen))
        await pilot.press("slash", *"host:web*")
        assert not app.screen.query_one(FilterBar).has_class("-closed")
        await pilot.press("enter")
        assert set(names(screen)) == {"web1", "web2", "web3", "web7", "web8"}
        await pilot.press("escape")
        assert len(names(screen)) == everything


async def test_a_filter_of_the_log_is_its_own() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("tab", "slash", *"host:web* ret:ENOENT", "enter")
        await until(pilot, lambda: not screen.log_lines.searching and not screen.log_lines.view.behind)
        assert [row.started.command for row in screen.log_lines.rows()] == ["pg_dump shop"]
        assert len(names(screen)) > 40


async def test_the_line_below_the_table_says_what_is_wrong_and_what_helps() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=(200, 50)) as pilot:
        screen = await shown(pilot)
        await pilot.press("slash", *"^ci3", "enter", "g")
        said = "".join(span.text for span in screen.note.spans)
        assert "sudo does not run ebpftop without a password: log in as root@ci3" in said
        assert "(again in 30s)" in said


async def test_reconnect_asks_for_it_unless_the_host_is_up() -> None:
    reading = FakeReading(News(hosts=(host("a"), host("b", "gone"))))
    app = fleet_app(reading)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot)
        await pilot.press("R")
        assert notices(app) == ["Choose a host first"]
        await pilot.press("g", "R", "j", "R")
        assert reading.asked == ["retry b"]
        assert notices(app)[-1] == "a is connected"


async def test_one_list_can_be_alone() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("m")
        assert (screen.table.display, screen.log_lines.display) == (True, False)
        await pilot.press("m", "tab", "m")
        assert (screen.table.display, screen.log_lines.display) == (False, True)
        await pilot.press("escape")
        assert (screen.table.display, screen.log_lines.display) == (True, True)


async def test_the_log_follows_until_it_is_scrolled_and_shows_how_programs_end() -> None:
    reading = whole_fleet()
    app = fleet_app(reading)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        assert screen.log_lines.follow
        await pilot.press("tab", "k", "k")
        assert not screen.log_lines.follow
        await pilot.press("F")
        assert screen.log_lines.follow


async def test_it_is_said_that_no_line_is_of_a_host() -> None:
    app = fleet_app(FakeReading(News(stray=3)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FleetScreen) and app.screen.table.message)
        screen = app.screen
        assert isinstance(screen, FleetScreen)
        assert "none is of a host" in screen.table.message[0].text
        assert "3 lines of no host" in screen._title.text


async def test_it_is_said_that_the_pipe_has_ended_and_that_the_reader_has() -> None:
    reading = FakeReading(News(hosts=(host("a", "gone"),), input_ended=True))
    app = fleet_app(reading)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        assert "the pipe has ended" in screen._title.text
        reading.waiting.append(News(failed="RuntimeError: x"))
        reading.has_ended = True
        await until(pilot, lambda: "reading has ended: RuntimeError: x" in screen._title.text)


async def test_each_key_of_the_screen_and_each_column_is_in_the_help() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        manual = app.screen.query_one(ManualView)
        assert manual.section.title == "Fleet"
        entries = {entry.term: entry.text for entry in manual.section.entries}
        texts = set(entries.values())
        for binding in FleetScreen.BINDINGS:
            assert isinstance(binding, Binding)
            assert (binding.tooltip or binding.description) in texts
        assert {"HOST", "STATE", "FAIL/s", "LOST", "COST", "AGE", "CLOCK", "OUTCOME", "COMMAND"} <= entries.keys()
        assert "(not explained)" not in texts
        await pilot.press("escape")
        await shown(pilot)


async def test_what_is_about_a_row_of_a_host_is_neither_offered_nor_done() -> None:
    app = fleet_app(whole_fleet())
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("g")
        offered = {key.about for key in screen.query_one(KeyLine)._keys or ()}
        assert {"Open", "Filter", "Reconnect", "Help", "Quit"} <= offered
        assert not {"Go to", "Copy as", "Tree", "Trace"} & offered
        for key in ("t", "o", "C", "a", "T", "X"):
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is screen, key


async def test_the_palette_offers_the_keys_and_each_host() -> None:
    opened = Opened()
    app = fleet_app(FakeReading(News(hosts=(host("a"), host("b")))), opened)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot)
        titles = [command.title for command in app.commands()]
        assert len(titles) == len(set(titles))
        assert {"Open a", "Open b", "Reconnect", "Filter", "Settings", "Quit", "Theme", "Screenshot"} <= set(titles)
        assert not {"Tree", "Copy as", "Watch"} & set(titles)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, Palette))
        await pilot.press(*"open b", "enter")
        main = await panes_shown(pilot, "b", opened)
        assert "Tree" in [command.title for command in app.commands()]
        assert main.source is opened.sources["b"]


async def test_settings_open_above_the_list_and_above_the_panes() -> None:
    opened = Opened()
    app = fleet_app(FakeReading(News(hosts=(host("a"),))), opened)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("enter")
        main = await panes_shown(pilot, "a", opened)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main)


async def test_what_was_arranged_in_the_panes_holds_for_the_next_host() -> None:
    opened, settings = Opened(), Settings()
    app = fleet_app(FakeReading(News(hosts=(host("a"), host("b")))), opened, settings)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        await pilot.press("g", "enter")
        main = await panes_shown(pilot, "a", opened)
        await pilot.press("L")
        preset = main.pane_layout.preset
        assert preset != "all"
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        app.kept.notice()
        await pilot.press("j", "enter")
        main = await panes_shown(pilot, "b", opened)
        assert main.pane_layout.preset == preset


async def test_quitting_works_from_the_list_and_from_the_panes() -> None:
    for keys in (("q",), ("enter", "q")):
        opened = Opened()
        app = fleet_app(FakeReading(News(hosts=(host("a"),))), opened)
        async with app.run_test(size=SIZE) as pilot:
            await shown(pilot)
            if len(keys) > 1:
                await pilot.press(keys[0])
                await panes_shown(pilot, "a", opened)
            await pilot.press(keys[-1])
            await until(pilot, lambda: not app.is_running)  # noqa: B023  # it is waited for here
        assert app.return_code == 0


# As Prometheus knows it.


class AnsweringPrometheus(Prometheus):
    """Answers each question with hosts a and b; remembers the questions."""

    def __init__(self) -> None:
        super().__init__("http://known:9090")
        self.asked: list[str] = []
        self.refuses: SourceError | None = None

    def ask(self, query: str) -> list[Sample]:
        self.asked.append(query)
        if self.refuses is not None:
            raise self.refuses
        if "topk" in query:
            return [Sample({"syscall": "openat", "errno": "ENOENT"}, 12.5)]
        return [Sample({"instance": name, "version": "0.2.0", "kernel": "6.18"}, 1.0) for name in ("a", "b")]


def prometheus_app(prometheus: Prometheus, clock: list[float]) -> PrometheusApp:
    return PrometheusApp(PrometheusReading(prometheus), monotonic=lambda: clock[0], wall=lambda: WALL)


async def test_prometheus_is_asked_for_the_list_while_it_is_shown_and_for_a_host_while_that_is() -> None:
    prometheus, clock = AnsweringPrometheus(), [1000.0]
    app = prometheus_app(prometheus, clock)
    async with app.run_test(size=SIZE) as pilot:
        screen = await shown(pilot)
        assert names(screen) == ["a", "b"]
        assert not screen.log_lines.display
        of_list = [HOSTS, *FIGURES.values()]
        assert prometheus.asked == of_list
        app.take()
        assert prometheus.asked == of_list, "it was asked again before it was due"
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        prometheus.asked.clear()
        app.take()
        await until(pilot, lambda: len(prometheus.asked) == len(OF_HOST))
        assert all('instance="a"' in query for query in prometheus.asked)
        await until(pilot, lambda: not app._is_asking)
        assert app._answers is not None
        assert "12" in app._answers.sheet().content().plain
        clock[0] += EVERY_S
        await until(pilot, lambda: len(prometheus.asked) == 2 * len(OF_HOST))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await until(pilot, lambda: not app._is_asking)
        prometheus.asked.clear()
        clock[0] += EVERY_S
        await until(pilot, lambda: len(prometheus.asked) == len(of_list))
        assert prometheus.asked == of_list


async def test_nothing_is_asked_while_something_else_is_shown() -> None:
    prometheus, clock = AnsweringPrometheus(), [1000.0]
    app = prometheus_app(prometheus, clock)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        prometheus.asked.clear()
        clock[0] += 10 * EVERY_S
        app.take()
        await pilot.pause()
        assert prometheus.asked == []


async def test_what_prometheus_refuses_is_said_until_it_answers() -> None:
    prometheus, clock = AnsweringPrometheus(), [1000.0]
    prometheus.refuses = SourceError("http://known:9090 does not answer", "is Prometheus running there?")
    app = prometheus_app(prometheus, clock)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FleetScreen) and app.fleet.trouble)
        screen = app.fleet_screen
        await until(pilot, lambda: "is Prometheus running there?" in screen._title.text)
        prometheus.refuses = None
        clock[0] += EVERY_S
        await until(pilot, lambda: screen.table.end == 2)
        await until(pilot, lambda: "does not answer" not in screen._title.text)
