"""Where the panes are: which are shown, how high they are, which one is alone, and tabs in a small terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.geometry import Size
from textual.widget import Widget

from ebpftop.core.escape import printable
from ebpftop.probes.registry import registry
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import FORMS, Form, PaneLayout, arrange, panes
from ebpftop.ui.screens.over import LayoutOnResize
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.status_bar import MARKS
from ebpftop.ui.widgets.tabs_line import Tab, TabsLine

TABS_BELOW = Size(70, 20)
"""In a terminal that is smaller in one direction, one pane is shown, and tabs for the others."""
LEAST = Size(40, 8)
"""In a terminal that is smaller in one direction, there is no room for anything."""
PALETTE_FROM = 60
"""In a terminal that is narrower, other keys need the room of the palette's."""


class PanesScreen(LayoutOnResize[None]):
    """A screen of panes in a grid `#panes`, with a line of tabs. A subclass sets `panes` and `front`."""

    panes: tuple[Pane, ...]
    front: Pane
    """The pane that has, or last had, the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Next pane", show=False, key_display="⇥", id="pane.next"),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False, id="pane.previous"),
        Binding("m", "maximise", "Max", tooltip="This pane alone, and back", id="pane.maximise"),
        Binding(
            "right_curly_bracket",
            "size(1)",
            "Grow",
            show=False,
            key_display="}",
            tooltip="More lines for this pane",
            id="pane.grow",
        ),
        Binding(
            "left_curly_bracket",
            "size(-1)",
            "Shrink",
            show=False,
            key_display="{",
            tooltip="Fewer lines for this pane",
            id="pane.shrink",
        ),
        Binding("x", "hide", "Hide", show=False, tooltip="Hide this pane; its probe stays as it is", id="pane.hide"),
        Binding(
            "L", "layout", "Layout", tooltip="Which panes: all, logs, calls and execs, users and execs", id="layout"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.pane_layout = PaneLayout()
        """Which panes are shown, and their heights; `set_layout` changes it."""
        self._placed: tuple[Form, tuple[Pane, ...], PaneLayout] | None = None

    @property
    def focusable_besides(self) -> tuple[Widget, ...]:
        """What else the key to the next pane goes to, after the last pane."""
        return ()

    def describe(self) -> None:
        """Bring all that is around the panes up to date."""
        raise NotImplementedError

    # The panes that are shown.

    @property
    def shown_panes(self) -> tuple[Pane, ...]:
        """The panes that take room: one alone, if maximised or in a small terminal; else those of the layout."""
        alone = tuple(pane for pane in self.panes if pane.has_class("-max"))
        if not alone and self.has_class("-tabbed"):
            return (self.front,)
        return alone or self.choice_of_panes

    @property
    def choice_of_panes(self) -> tuple[Pane, ...]:
        """The panes of the layout, but not the unusual ones that are off."""
        usual = tuple(pane for pane in self.panes if self._takes_room(pane))
        rows = panes().rows
        return tuple(pane for pane in usual if self.pane_layout.shows(pane.probe, rows[pane.probe])) or usual

    def _takes_room(self, pane: Pane) -> bool:
        if registry().rows[pane.probe].on or pane.state not in ("off", "waiting", "absent"):
            return True
        if not pane.number and pane.source.is_on(pane.probe):
            return True
        return self.focused is not None and pane in self.focused.ancestors

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self.front = self.pane
        self.place_panes(self.app.size)

    def _screen_resized(self, size: Size) -> None:
        self.place_panes(size)
        super()._screen_resized(size)

    def keys_also_shown(self) -> dict[str, str]:
        """Return the actions that the line of keys shows besides: the palette, and the other panes if they are tabs."""
        shown = {"pane(1)": "Next pane"} if self.has_class("-tabbed") else {}
        return shown if self.app.size.width < PALETTE_FROM else shown | {"command_palette": "All"}

    def place_panes(self, size: Size) -> None:
        """Give the panes that are shown their places in a terminal of this size."""
        tabbed = size.width < TABS_BELOW.width or size.height < TABS_BELOW.height
        if tabbed != self.has_class("-tabbed"):
            self.set_class(tabbed, "-tabbed")
            for line in self.query(KeyLine):
                line.update_keys()
        too_small = size.width < LEAST.width or size.height < LEAST.height
        if self.has_class("-too-small") and not too_small:
            self.call_after_refresh(self._focus_again)
        self.set_class(too_small, "-too-small")
        shown = self.shown_panes
        form = next(form for least, form in reversed(FORMS) if size.width >= least)
        if self._placed == (form, shown, self.pane_layout):
            return
        grid = next(iter(self.query("#panes").results(Grid)), None)
        if grid is None:
            return
        self._placed = form, shown, self.pane_layout
        places = arrange({pane.probe: panes().rows[pane.probe] for pane in shown}, form, self.pane_layout)
        grid.styles.grid_size_columns = len(places.columns)
        grid.styles.grid_size_rows = len(places.rows)
        grid.styles.grid_columns = " ".join(f"{part}fr" for part in places.columns)
        grid.styles.grid_rows = " ".join(f"{part}fr" for part in places.rows)
        order = list(places.spans)
        for pane in self.panes:
            pane.display = pane in shown
            pane.set_class(pane.probe in places.beside, "-beside")
            pane.styles.column_span, pane.styles.row_span = places.spans.get(pane.probe, (1, 1))
        wanted = sorted(self.panes, key=lambda pane: order.index(pane.probe) if pane in shown else len(order))
        if wanted != list(grid.children):
            grid.sort_children(key=wanted.index)  # type: ignore[arg-type]  # all of them are panes

    def _focus_again(self) -> None:
        # What a terminal without room hid has lost the focus.
        if self.focused is None:
            self.set_focus(self.front.lines)

    def describe_tabs(self) -> None:
        """Bring the tabs up to date, if there are any."""
        if not self.has_class("-tabbed"):
            return
        self.query_one(TabsLine).tabs = tuple(
            Tab(
                pane.number,
                printable(pane.tab_label or pane.label),
                Span(*MARKS[pane.state]) if pane.state != "on" else None,
                pane.tab_count(),
                chosen=pane is self.front,
            )
            for pane in self.choice_of_panes
        )

    @on(TabsLine.Chosen)
    def _tab_chosen(self, event: TabsLine.Chosen) -> None:
        self.go_to_pane(next(pane for pane in self.panes if pane.number == event.number))

    @property
    def pane(self) -> Pane:
        """The pane that has the focus, at once after the key that gave it: styles and messages come later."""
        alone = (pane for pane in self.panes if pane.has_class("-max"))
        around = self.focused.ancestors_with_self if self.focused is not None else ()
        return next(alone, None) or next((pane for pane in self.panes if pane in around), self.front)

    def action_maximise(self) -> None:
        self._maximise(None if self.has_class("-maximised") else self.pane)

    def _maximise(self, pane: Pane | None) -> None:
        for other in self.panes:
            other.set_class(other is pane, "-max")
        self.set_class(pane is not None, "-maximised")
        self.front = pane or self.front
        self.place_panes(self.app.size)
        if pane is not None:
            self.set_focus(pane.lines)

    def action_pane(self, step: int) -> None:
        """Go to the next pane; a maximised one makes room for it."""
        choice: list[Pane | Widget] = [*self.choice_of_panes]
        if not self.has_class("-maximised"):
            choice += self.focusable_besides
        now = self.focused if self.focused in self.focusable_besides else self.pane
        at = choice.index(now) if now in choice else -step
        chosen = choice[(at + step) % len(choice)]
        if isinstance(chosen, Pane):
            self.go_to_pane(chosen)
        else:
            self.set_focus(chosen)

    def go_to_pane(self, pane: Pane) -> None:
        """Give *pane* the focus, and room if it has none: then what had it makes room."""
        if self.has_class("-maximised"):
            self._maximise(pane)
            return
        self.front = pane
        self.place_panes(self.app.size)
        self.set_focus(pane.lines)
        self.describe_tabs()

    def set_layout(self, layout: PaneLayout) -> None:
        """Show the panes of *layout*, as high as it says."""
        self.pane_layout = layout
        if self.has_class("-maximised"):
            self._maximise(None)
        choice = self.choice_of_panes
        self.go_to_pane(self.front if self.front in choice else choice[0])
        self.describe()

    def action_layout(self) -> None:
        self.set_layout(self.pane_layout.next_preset())
        self.app.notify(f"Layout: {self.pane_layout.preset}")

    def action_size(self, steps: int) -> None:
        """Make the pane that has the focus higher, or lower."""
        if self.has_class("-maximised") or self.has_class("-tabbed") or len(self.shown_panes) < 2:
            self.app.notify("There is one pane: it has all the room")
            return
        self.set_layout(self.pane_layout.grown(self.pane.probe, steps))

    def action_hide(self) -> None:
        pane = self.pane
        if len(self.choice_of_panes) == 1:
            self.app.notify("The last pane stays. L shows others")
            return
        self.show_pane(pane, shown=False)
        self.app.notify(f"{pane.label} is hidden; its probe is as it was. L until all, or the palette, shows it")

    def show_pane(self, pane: Pane, *, shown: bool) -> None:
        """Show or hide a pane."""
        layout = self.pane_layout.with_hidden(pane.probe, not shown)
        if shown and not layout.shows(pane.probe, panes().rows[pane.probe]):
            others = {other.probe for other in self.panes if other not in self.choice_of_panes}
            layout = replace(layout, preset="all", hidden=frozenset(others - {pane.probe}))
        self.set_layout(layout)
