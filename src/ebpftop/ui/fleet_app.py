"""The app of a fleet: the list of hosts, and above it the panes of one host, as the app of that host alone has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Protocol

from textual import work

from ebpftop.core.source import Source, SourceError
from ebpftop.fleet.model import FleetModel, Logged
from ebpftop.fleet.prometheus import EVERY_S, Prometheus, PrometheusReading
from ebpftop.fleet.rows import News
from ebpftop.models import relatives
from ebpftop.models.subject import Subject
from ebpftop.settings.rows import CONFIRM
from ebpftop.settings.store import Settings
from ebpftop.sources.idle import IdleSource
from ebpftop.ui.app import EbpftopApp, run_app
from ebpftop.ui.panes.fleet_answers import HostAnswers
from ebpftop.ui.screens.details import SheetScreen, open_sheet
from ebpftop.ui.screens.fleet import OF_A_HOST, FleetScreen
from ebpftop.ui.screens.fleet_commands import fleet_commands
from ebpftop.ui.screens.key_actions import Command
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.sheet import Details

TAKE_S = 0.5
"""Seconds between two looks at what is new."""
_HOST = "host"
"""The mode of the app in which the panes of a host are shown."""
_FIND_EVERY_S, _FINDS = 0.25, 12


class HostNews(Protocol):
    """What brings the news of the hosts."""

    has_ended: bool

    def news(self) -> list[News]:
        """Return what is new; waits for nothing."""


class Reading(HostNews, Protocol):
    """The process that reads them: `FleetReading`."""

    def open(self, name: str) -> int:
        """Return a descriptor of a pipe with the lines of a host; the caller owns it."""

    def close_host(self) -> None:
        """The panes of the host are closed."""

    def retry(self, name: str) -> None:
        """Connect to a host now."""


class HostsApp(EbpftopApp):
    """Shows a list of hosts. A subclass says what Enter opens."""

    DEFAULT_MODE = "fleet"
    has_log = True
    """Programs of the hosts are known, and not only figures."""

    def __init__(
        self,
        reading: HostNews,
        settings: Settings | None,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        super().__init__(IdleSource("fleet"), settings=settings)
        self.add_mode(self.DEFAULT_MODE, self.get_default_screen)
        self.fleet = FleetModel()
        self.opened = ""
        """The host whose panes are shown; empty: the list is."""
        self._monotonic, self._wall = monotonic, wall
        self._news = reading
        self._has_failed = False

    def open_host(self, name: str, process: Logged | None = None) -> None:
        """Show a host, and there a process."""
        raise NotImplementedError

    def retry(self, name: str) -> None:
        """Connect to a host now."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in OF_A_HOST and not self.opened:
            return False
        return super().check_action(action, parameters)

    def get_default_screen(self) -> MainScreen:
        screen = super().get_default_screen()
        screen.lists_made = self._show_list
        for pane in screen.panes:
            pane.stop_collecting()  # nothing comes, so no thread need wait for it
        return screen

    def _show_list(self) -> None:
        self.kept.arrange()
        self.take()
        self.fleet_screen = FleetScreen(has_log=self.has_log)
        self.push_screen(self.fleet_screen.fill_with(self.fleet, self, self._wall))
        self.set_interval(TAKE_S, self.take)

    def take(self) -> None:
        """Take what is new of the hosts."""
        self.fleet.take(self._news.news(), self._monotonic())
        if self._news.has_ended and not self._has_failed:
            self._has_failed = True
            self.fleet.failed = self.fleet.failed or "the process that reads the hosts has ended"
            self.notify("Nothing more comes: the process that reads the hosts has ended", severity="error", timeout=60)

    def commands(self) -> Iterator[Command]:
        if self.screen_stack[-1] is not self.fleet_screen and self.fleet_screen not in self.screen_stack:
            yield from super().commands()
        else:
            yield from fleet_commands(self, self.fleet_screen, self.open_host, self._picture_soon)


class FleetApp(HostsApp):
    """Shows the hosts of a reading. *open_source* makes a source of a name and a pipe with lines of that host."""

    def __init__(
        self,
        reading: Reading,
        open_source: Callable[[str, int], Source],
        settings: Settings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reading, settings, monotonic, wall)
        self._reading = reading
        self._open_source = open_source
        self._state_then = ""
        self._is_opening = False

    def take(self) -> None:
        super().take()
        row = self.fleet.hosts.get(self.opened)
        if row is not None and row.state != self._state_then:
            self._state_then = row.state
            what = f": {row.said}" if row.said else ""
            self.notify(f"{row.name} is {row.state}{what}", severity="information" if row.state == "up" else "warning")

    # The panes of a host.

    def open_host(self, name: str, process: Logged | None = None) -> None:
        """Show the panes of a host; *process*: with the tree at it."""
        row = self.fleet.hosts.get(name)
        if row is None or not row.opens:
            why = "" if row is None else "".join(f": {part}" for part in (row.said, row.remedy) if part)
            self.notify(f"Nothing has come of {name} so far{why}", severity="warning")
        elif not self._is_opening:
            self._is_opening = True
            self._connect(name, process)

    @work(thread=True, group="open", exit_on_error=False)
    def _connect(self, name: str, process: Logged | None) -> None:
        try:
            source = self._open_source(name, self._reading.open(name))
        except SourceError as error:
            self.call_from_thread(self._not_opened, str(error))
        else:
            self.call_from_thread(self._show_host, name, source, process)

    def _not_opened(self, why: str) -> None:
        self._is_opening = False
        self.notify(why, title="Its panes cannot be shown", severity="error")

    def _show_host(self, name: str, source: Source, process: Logged | None) -> None:
        screen = MainScreen(source, self.interval_s)
        screen.lists_made = self.kept.arrange
        screen.probes.asks_first = lambda: self.kept.settings[CONFIRM]
        screen.go_back = self.leave_host
        self.kept.notice()
        self.opened, self._state_then = name, self.fleet.hosts[name].state
        self.add_mode(_HOST, lambda: screen)
        self.switch_mode(_HOST)
        self._is_opening = False
        if process is not None:
            self._find(screen, process, _FINDS)

    def _find(self, screen: MainScreen, process: Logged, tries: int) -> None:
        """Show a process in the tree, as soon as it is known there."""
        started = process.started
        subject = Subject("process", started.comm, started.pid, start_ns=started.start_ns, time=started.time)
        if not self._screen_stack or self.screen is not screen:
            return
        with suppress(relatives.NowhereError):
            relatives.process(screen.execs.model.processes, subject)
            tries = 0
        if tries:
            self.set_timer(_FIND_EVERY_S, partial(self._find, screen, process, tries - 1))
        else:
            screen.finding.process(subject)

    def leave_host(self) -> None:
        """Show the list of hosts again."""
        if not self.opened or self.current_mode != _HOST:
            return
        screen = self.main
        self.kept.notice()
        self.opened = ""
        self.fleet_screen.fill_with(self.fleet, self, self._wall)
        self.switch_mode(self.DEFAULT_MODE)
        self.kept.look_again()
        screen.end_collecting()
        self._release(screen)

    @work(group="release", exit_on_error=False)
    async def _release(self, screen: MainScreen) -> None:
        await self.remove_mode(_HOST)
        if not self.opened:
            self._reading.close_host()
        self._close(screen.source)

    @work(thread=True, group="release", exit_on_error=False)
    def _close(self, source: Source) -> None:
        source.close()  # waits for its thread

    def retry(self, name: str) -> None:
        """Connect to a host now."""
        self._reading.retry(name)


def run(reading: Reading, open_source: Callable[[str, int], Source], settings: Settings | None = None) -> int:
    """Show the hosts of *reading* until the user leaves; return the exit status. *open_source* as for `FleetApp`."""
    return run_app(FleetApp(reading, open_source, settings))


class PrometheusApp(HostsApp):
    """Shows the hosts that a Prometheus knows: it is asked for the list, or for one host, while that is shown."""

    has_log = False

    def __init__(
        self,
        reading: PrometheusReading,
        settings: Settings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reading, settings, monotonic, wall)
        self._prometheus = reading
        self._asked_s = float("-inf")
        self._is_asking = False
        self._answers: HostAnswers | None = None

    def take(self) -> None:
        super().take()
        now_s = self._monotonic()
        if self._is_asking or not self._screen_stack or now_s - self._asked_s < EVERY_S:
            return
        answers = self._answers
        if isinstance(self.screen, SheetScreen) and answers is not None and self.screen.details.title == answers.title:
            self._begin(now_s)
            self._ask_host(answers)
        elif isinstance(self.screen, FleetScreen) or len(self.screen_stack) == 1:
            self._begin(now_s)
            self._ask()

    def _begin(self, now_s: float) -> None:
        self._asked_s, self._is_asking = now_s, True

    @work(thread=True, group="ask", exit_on_error=False)
    def _ask(self) -> None:
        self._prometheus.ask()
        self.call_from_thread(self._answered)

    @work(thread=True, group="ask", exit_on_error=False)
    def _ask_host(self, answers: HostAnswers) -> None:
        answers.ask(self._prometheus)
        self.call_from_thread(self._answered)

    def _answered(self) -> None:
        self._is_asking = False
        self.take()

    def open_host(self, name: str, process: Logged | None = None) -> None:
        self._answers = HostAnswers(name)
        open_sheet(self, Details(self._answers.title, self._answers.sheet, copies=name, copies_what="Name"))
        self._asked_s = float("-inf")  # it is asked for at once

    def retry(self, name: str) -> None:
        """Ask now."""
        self._asked_s = float("-inf")


def run_prometheus(url: str, settings: Settings | None = None) -> int:
    """Show the hosts of the Prometheus at *url* until the user leaves; return the exit status."""
    return run_app(PrometheusApp(PrometheusReading(Prometheus(url)), settings))
