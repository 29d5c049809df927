"""What pane 2 puts together: the keys for it, and the probe of the groups, attached only while one of them is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.binding import Binding

from ebpftop.models.groups import PROBE, GroupsModel
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.probe_feed import ProbeFeed

VIEW_KEYS: tuple[Binding, ...] = (
    Binding("v", "view(1)", "View by", tooltip="Users, units, containers, cgroups, programs, errnos", id="view.next"),
    Binding("V", "view(-1)", "View before", show=False, tooltip="The view before that of v", id="view.previous"),
)


class ViewController:
    """Shows the views of pane 2, each with its probe."""

    def __init__(
        self,
        pane: UsersPane,
        feed: ProbeFeed,
        calls: Callable[[], SyscallsModel],
        shown: Callable[[], Sequence[Pane]],
        show_pane: Callable[[], None],
        describe: Callable[[], None],
    ) -> None:
        """*feed* is of the groups; *shown* returns the panes of the layout, and *show_pane* adds *pane* to them.

        *describe* brings all that is around the panes up to date.
        """
        self.pane = pane
        self.feed = feed
        self._shown = shown
        self._show_pane = show_pane
        self._describe = describe
        self._is_open = False
        pane.groups = lambda: self.model
        pane.calls = calls
        pane.doing = lambda: (feed.doing, feed.trouble)
        pane.toggle_groups = self._toggle
        feed.shown_in = lambda: pane if pane.shown_probe == PROBE else None

    @property
    def model(self) -> GroupsModel:
        """The groups at the moment that is shown."""
        model = self.feed.model
        assert isinstance(model, GroupsModel)
        return model

    def step(self, steps: int) -> None:
        """Show the next view, or the one before; the pane first, if it is hidden."""
        if self.pane in self._shown():
            self.pane.step(steps)
        self._come()

    def choose(self, name: str) -> None:
        """Show the view of this name."""
        self.pane.choose(name)
        self._come()

    def _come(self) -> None:
        if self.pane not in self._shown():
            self._show_pane()
        was_open = self._is_open
        self._describe()
        if self._is_open and not was_open and self.feed.doing and self._is_detached:
            label = self.pane.view.label
            self.pane.app.notify(f"{label} attach a probe of their own while they are shown. V goes back")

    @property
    def _is_detached(self) -> bool:
        """Whether the pane's own probe is off, so that nobody expects a view of it to attach one."""
        return self.pane.source.is_on(self.pane.probe) is False

    def follow(self) -> None:
        """Attach the probe, or detach it, as what is shown needs it. Call it whenever that may have changed."""
        is_needed = self.pane.shown_probe == PROBE and self.pane in self._shown()
        if is_needed is self._is_open:
            return
        self._is_open = is_needed
        (self.feed.open if is_needed else self.feed.close)()
        self.pane.describe()

    def _toggle(self) -> None:
        self.feed.toggle()
        self.pane.describe()
