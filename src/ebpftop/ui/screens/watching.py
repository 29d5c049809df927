"""Watches on the screen: a bell, a notice and a mark for what matches; and the moments at which it matched before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol

from ebpftop.core.source import Batch
from ebpftop.models.watch import Match, Watch, Watches, compile_watch
from ebpftop.recording.timeline import Timeline

if TYPE_CHECKING:
    from ebpftop.lifecycle.run_command import CommandRunner
    from ebpftop.sources.when import WhenActions

BELL_EVERY_S = 2.0
NOTICE_EVERY_S = 5.0
"""So many seconds are between two bells, and two notices. What matches meanwhile is counted in the next one."""

SEARCH_RECORDS = 500
SEARCH_REST_S = 0.005
"""What is remembered is searched so many records at a time, with such a rest in between: keys go first."""


@dataclass
class WatchOptions:
    """What the command line asks for."""

    watches: list[Watch] = field(default_factory=list)
    runner: CommandRunner | None = None
    folder: str | None = None


class WatchHost(Protocol):
    """What the controller needs of the screen."""

    def ring_bell(self) -> None:
        """Ring the bell of the terminal."""

    def notify_of(self, message: str, *, title: str = "", is_warning: bool = False) -> None:
        """Show a message."""

    def describe_marks(self) -> None:
        """Show the marks on the timeline anew."""

    def report_watched(self) -> None:
        """Have the source read what is looked at now."""

    def post(self, do: Callable[[], None]) -> None:
        """Have *do* called on the screen's thread. Any thread may call this."""

    def search_in_thread(self, search: Callable[[], None]) -> None:
        """Run *search* in a thread, until the screen ends."""

    @property
    def is_ending(self) -> bool:
        """Whether the screen ends, so that nobody waits for a search any more."""


class WatchController:
    """Gives every batch to the watches, and says what matched. While there is no watch it costs nothing."""

    def __init__(self, options: WatchOptions, timeline: Timeline | None, host: WatchHost, *, rings: bool) -> None:
        """*rings*: a match is news, so it rings the bell; in a recording it is not."""
        self.watches = Watches(list(options.watches))
        self._host = host
        self._rings = rings
        self._timeline = timeline
        self._unsaid: list[Match] = []
        self._unsaid_count = 0
        self._said_s = self._rang_s = -NOTICE_EVERY_S
        self._actions: WhenActions | None = None
        if options.runner is not None or options.folder is not None:
            from ebpftop.sources.when import WhenActions

            self._actions = WhenActions(self._report, options.runner, options.folder, timeline)

    @property
    def marks(self) -> tuple[float, ...]:
        """The moments at which something matched (Unix seconds)."""
        return tuple(self.watches.moments)

    def begin(self) -> None:
        """Search what is remembered for the watches of the command line."""
        if self.watches:
            self._host.report_watched()
        for watch in self.watches.watches:
            self._search(watch)

    def add(self, watch: Watch) -> None:
        """Look out for *watch* from now on, and mark where it matched before."""
        self.watches.add(watch)
        if watch in self.watches.watches:
            self._host.report_watched()
            self._search(watch)

    def replace(self, before: Sequence[str], now: Sequence[str]) -> None:
        """Look out for the expressions *now*, and no more for those that were there *before*."""
        for watch in [one for one in self.watches.watches if one.label in before and one.label not in now]:
            self.remove(watch)
        for text in now:
            self.add(compile_watch(text))

    @property
    def expressions(self) -> tuple[str, ...]:
        """What can be looked out for the next time too: what is more than words of a row or a filter."""
        return tuple(watch.label for watch in self.watches.watches if watch.named)

    def remove(self, watch: Watch) -> None:
        """Forget *watch*, and the marks if it was the last one."""
        self.watches.remove(watch)
        self._host.report_watched()
        if not self.watches:
            self.watches.moments.clear()
        self._host.describe_marks()

    def take(self, batch: Batch) -> None:
        """Look at what came."""
        if not self.watches:
            return
        matches = self.watches.feed(batch.records)
        if not matches:
            return
        if self._actions is not None:
            self._actions.matched(matches)
        self._unsaid_count += len(matches)
        self._unsaid = [*self._unsaid, *matches][-1:]
        self._ring()
        self._notify()
        self._host.describe_marks()

    def pulse(self) -> None:
        """Say what waited, and save what is due. Call it about once a second."""
        if self._unsaid:
            self._notify()
        if self._actions is not None:
            self._actions.pulse()

    def finish(self) -> None:
        """Save what waits to be saved: the screen has ended."""
        if self._actions is not None:
            self._actions.finish(0.1)

    def _ring(self) -> None:
        now = monotonic()
        if self._rings and now - self._rang_s >= BELL_EVERY_S:
            self._rang_s = now
            self._host.ring_bell()

    def _notify(self) -> None:
        now = monotonic()
        if now - self._said_s < NOTICE_EVERY_S:
            return
        self._said_s = now
        newest, count = self._unsaid[-1], self._unsaid_count
        self._unsaid, self._unsaid_count = [], 0
        more = f"\n{count - 1:,} more matched" if count > 1 else ""
        self._host.notify_of(f"{newest.summary}{more}", title=f"◆ {newest.watch.label}", is_warning=True)

    def _report(self, text: str) -> None:
        self._host.post(partial(self._host.notify_of, text))

    # What is remembered.

    def _search(self, watch: Watch) -> None:
        if self._timeline is not None:
            self._host.search_in_thread(partial(self._search_all, watch, self._timeline))

    def _search_all(self, watch: Watch, timeline: Timeline) -> None:
        """Mark where *watch* matched in what is remembered. Only keys and what comes go before."""
        searched = Watches([Watch(watch.label, watch.tests, watch.named)])
        waiting = []
        for record in timeline.records():
            waiting.append(record)
            if len(waiting) >= SEARCH_RECORDS:
                searched.feed(waiting)
                waiting.clear()
                if self._host.is_ending or watch not in self.watches.watches:
                    return
                sleep(SEARCH_REST_S)
        searched.feed(waiting)
        self._host.post(partial(self._found, watch, searched.moments))

    def _found(self, watch: Watch, moments: Mapping[float, str]) -> None:
        if watch in self.watches.watches:
            self.watches.mark(moments)
            for time, words in moments.items():
                watch.matched(time, words)
            self._host.describe_marks()
