"""Screens of rows above the main screen, updated with every reading."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.compose import compose
from textual.containers import Vertical

from ebpftop.core.clock import whole_text
from ebpftop.models.subject import Subject
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.screens.go_requested import GoRequested
from ebpftop.ui.screens.list_filters import FILTER_KEYS, ListFilters
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.columns import Column
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_steps import AT_THE_END, RowSteps
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self

UPDATE_S = 0.25

_NOTHING = SyscallsModel()


class LiveScreen(ListFilters[None], ReadyScreen[None]):
    """A title, the widgets that a subclass yields in `contents`, and keys. `show` is called if the model changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", key_display="Esc", id="live.back"),
        Binding("t", "app.tree", "Tree", show=False, tooltip="Its process in the tree", id="execs.tree"),
        Binding("o", "app.go_to", "Go to", tooltip="To its process, its parent, and so on", id="go_to"),
        Binding("C", "app.copy_as", "Copy as", tooltip="As a command line of other tools", id="copy_as"),
        Binding("a", "app.watch", "Watch", show=False, tooltip="Watch for its like: list, add", id="watch"),
        Binding("T", "app.trace", "Trace", show=False, tooltip="Trace calls of it: asks which, and when", id="T"),
        *FILTER_KEYS,
    ]

    label: ClassVar[str]
    """What it is called in the help."""
    about: ClassVar[str] = ""
    """What it shows, for the help: sentences."""
    headings: ClassVar[Mapping[str, str]] = {}
    """What the help calls each list of it, by the list's id."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: RowSteps[Any] | None = None
        """To what is beside what is shown, if it was opened from a row of a list."""
        self.model = _NOTHING
        self._shown: Hashable = None

    def fill(self, model: SyscallsModel) -> Self:
        """Show what *model* holds when this screen is pushed the next time."""
        self.model = model
        self.filled()
        return self

    def beside(self, steps: RowSteps[Any]) -> Self:
        """Let `n` and `N` show what is beside it, by *steps*, when this screen is pushed the next time."""
        self.steps = steps
        return self

    def show_row(self, row: Any) -> None:
        """Set what this screen is about to *row*, to which `n` or `N` stepped."""
        raise NotImplementedError

    def contents(self) -> ComposeResult:
        """Yield the widgets below the title; the first focusable one gets the focus."""
        raise NotImplementedError

    def show(self) -> None:
        """Show the current rows of the model."""
        raise NotImplementedError

    def show_title(self, line: SheetTitle) -> None:
        """Show title and time in the first line."""
        line.set_name(self.title_text(), self.time_text())

    def title_text(self) -> str:
        """The title."""
        raise NotImplementedError

    def time_text(self) -> str:
        """The time of what is shown."""
        latest = self.model.latest
        return whole_text(latest.time, date=False) if latest else ""

    def state(self) -> Hashable:
        """What changes if, and only if, what is shown must be shown again."""
        return self.model.readings, self.model.requests, self.model.traced.end, self.model.since, self.model.view_filter

    def go(self, place: str, subject: Subject | None) -> None:
        """Ask the main screen to go to what belongs to a row."""
        self.app.screen_stack[0].post_message(GoRequested(place, subject))

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        """Return the columns that the help explains, each list's with its heading."""
        if not self.is_mounted:
            compose(self)
        lists = dict.fromkeys(lines for lines in vars(self).values() if isinstance(lines, RowView))
        return tuple((self.headings.get(lines.id or "", "Columns"), lines.columns) for lines in lists)

    def begin(self) -> None:
        """Reset to the initial state: the rows before were those of something else."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        with Vertical(classes="sheet"):
            yield from self.contents()
            yield FilterBar()
        yield KeyLine(self.keys_also_shown)

    @property
    def _is_stepping(self) -> bool:
        """Whether `n` and `N` are steps in the list below, and not to matches in a list of this screen."""
        row_filter = self.filter_in_focus
        return self.steps is not None and (row_filter is None or row_filter.query is None)

    def keys_also_shown(self) -> dict[str, str]:
        """Return the actions that the footer has too, and what they are called there."""
        return {"match(1)": "Next", "match(-1)": "Previous"} if self.steps is not None else {}

    def action_match(self, step: int) -> None:
        if self.steps is None or not self._is_stepping:
            super().action_match(step)
        elif (row := self.steps.step(step)) is None:
            self.app.notify(AT_THE_END[step])
        else:
            self.show_row(row)
            self.show_filled()

    def action_back(self) -> None:
        """Clear the filter of the list; if it has none, close this screen."""
        row_filter = self.filter_in_focus
        if row_filter is None or not row_filter.clear():
            self.dismiss()

    def on_mount(self) -> None:
        self._clock = self.set_interval(UPDATE_S, self.update_if_changed, pause=True)

    def show_filled(self) -> None:
        self._shown = None
        self.begin()
        self.update_if_changed()
        self._clock.resume()

    def let_go(self) -> None:
        self._clock.pause()
        self.query_one(FilterBar).close()
        self.model, self.steps = _NOTHING, None

    def update_if_changed(self) -> None:
        """Show what has changed, if anything."""
        state = self.state()
        if state != self._shown:
            self._shown = state
            self.show()
            self.show_title(self._title)
