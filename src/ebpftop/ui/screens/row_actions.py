"""What the keys of the main screen do with the row under the cursor: filter by it, copy it, watch for its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding

from ebpftop.probes.registry import registry
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.filtering import FilterController
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.profiling import ProfileController
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.watching import WatchController
from ebpftop.ui.widgets.sheet import Details

if TYPE_CHECKING:
    from ebpftop.models.copy_as import CommandLine
    from ebpftop.models.seccomp import CallsSeen
    from ebpftop.models.subject import Subject
    from ebpftop.models.watch import Watch

ROW_KEYS: tuple[Binding, ...] = (
    Binding("u", "user", "User", show=False, tooltip="Only this row's user in all panes, and back", id="user"),
    Binding("U", "container", "Container", show=False, tooltip="Only this row's container, and back", id="container"),
    Binding("C", "copy_as", "Copy as", show=False, tooltip="The row or filter as a command line", id="copy_as"),
    Binding("a", "watch", "Watch", show=False, tooltip="Watch for what matters: list, add, remove", id="watch"),
    Binding("y", "copy", "Copy", show=False, tooltip="Send the row to the terminal's clipboard", id="copy"),
)
"""The keys for the row; the main screen has their actions."""


class RowController:
    """Acts on the row under the cursor of the pane that has the focus."""

    def __init__(
        self,
        app: Callable[[], App[Any]],
        pane: Callable[[], Pane],
        filters: FilterController,
        watching: WatchController,
        playback: PlaybackController,
        profiles: ProfileController,
        find: Callable[[str, str], None],
    ) -> None:
        """*find* filters the exec log, and the list of system calls, each by a text."""
        self._app = app
        self._pane = pane
        self._filters = filters
        self._watching = watching
        self._playback = playback
        self._profiles = profiles
        self.find = find

    def filter_user(self) -> None:
        pane = self._pane()
        if isinstance(pane, UsersPane) and pane.view.name != "users":
            self._filter_row(pane)
        else:
            self._filters.toggle("uids", pane.user_level(), "a user")

    def _filter_row(self, pane: UsersPane) -> None:
        """Filter all panes to the row; clear the filter if that was done already."""
        level, levels = pane.level(), self._filters.stack.levels
        row = pane.lines.selected()
        if level is not None and levels and levels[-1] == level:
            self._filters.pop()
        elif level is not None:
            self._filters.push(level)
        elif row is not None and any(pane.view.list_filter(row)):
            self.find(*pane.view.list_filter(row))
        else:
            self._app().notify(f"Choose the row of a {pane.view.one} that has a name: j and k move")

    def filter_container(self) -> None:
        self._filters.toggle("containers", self._pane().container_level(), "a program of a container")

    def copy(self) -> None:
        """Send the row to the terminal's clipboard."""
        pane = self._pane()
        row = pane.lines.selected()
        self.copy_details(None if row is None else pane.details(row))

    def copy_details(self, details: Details | None) -> None:
        """Send what *details* are about to the terminal's clipboard; None: there is no row."""
        app = self._app()
        if details is None:
            app.notify("Choose a row first: j and k move")
            return
        app.copy_to_clipboard(details.copies)
        # The terminal does not answer, so it is unknown whether it accepted the text.
        app.notify(f"{details.copies_what} sent to the terminal's clipboard")

    def copy_as(self) -> None:
        """Offer the row, and the filter, as command lines."""
        pane = self._pane()
        row = pane.lines.selected()
        if row is None:
            self.copy_subject(None, pane.label, is_row=False)
        else:
            self.copy_subject(pane.subject(row), pane.details(row).title, seen=pane.calls_seen(row))

    def seen(self) -> tuple[CallsSeen | None, Subject | None]:
        """Return the calls that were seen of the row, and what it is about."""
        pane = self._pane()
        row = pane.lines.selected()
        return (None, None) if row is None else (pane.calls_seen(row), pane.subject(row))

    def copy_subject(
        self, subject: Subject | None, title: str, *, is_row: bool = True, seen: CallsSeen | None = None
    ) -> None:
        """Offer what *subject* is about, and the filter, as command lines; unless *is_row*, no row was chosen."""
        from ebpftop.models.copy_as import command_lines
        from ebpftop.ui.screens.copy_as import CopyScreen

        app, pane = self._app(), self._pane()
        is_usual = registry().rows[pane.probe].on or pane.probe not in registry().names
        named = () if is_usual else (pane.probe,)
        lines = command_lines(subject, self._filters.stack.filter, named)
        lines += self._profiles.lines(seen, subject)
        if not lines:
            app.notify(
                "Choose a row (j, k, a click), or set a filter (/): C makes a line of ebpftop, jq, bpftrace .. of it"
                if not is_row
                else "This row is no process, user or call of which a command line could be made: choose another one"
            )
            return

        def copy(line: CommandLine | None) -> None:
            if line is not None:
                app.copy_to_clipboard(line.text)
                what = "seccomp profile" if line.tool == "seccomp" else f"{line.tool} line"
                app.notify(f"{what} sent to the terminal's clipboard")

        app.push_screen(ready(app, CopyScreen).fill(lines, title), copy)

    def watch(self) -> None:
        """Offer what can be watched for on this row, and list what is watched for."""
        pane = self._pane()
        row = pane.lines.selected()
        self.watch_subject(None if row is None else pane.subject(row), pane.watch_of_filter())

    def watch_subject(self, subject: Subject | None, typed: Watch | None = None) -> None:
        """Offer what can be watched for of *subject*, after what is *typed*; list what is watched for."""
        from ebpftop.models.watch import compile_watch
        from ebpftop.models.watch_choices import watch_choices
        from ebpftop.ui.screens.watch_list import Offer, WatchScreen

        app = self._app()
        choices = watch_choices(subject) if subject is not None else ()
        offers = [Offer(choice.words, compile_watch(choice.expression)) for choice in choices]
        if typed is not None:
            offers.insert(0, Offer(typed.label, typed))

        def show(moment: float | None) -> None:
            if moment is not None:
                self._playback.seek(moment)

        app.push_screen(ready(app, WatchScreen).fill(self._watching, offers), show)
