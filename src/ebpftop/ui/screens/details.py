"""Sheets above the main screen: details of a row, help, diagnostics. Esc goes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ebpftop.models.subject import Subject
from ebpftop.ui.screens.list_filters import STEPS
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.widgets.action_line import Action, ActionLine
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_steps import AT_THE_END
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self

REFRESH_S = 1.0

_EARLIER_MAX = 100
"""Sheets that Esc goes back to."""

_MARGIN = 3
"""Cells beside the lines: the padding of the box, and its scroll bar."""

_WIDEST = 160
"""Cells of a line, at most: max-width of .sheet-text."""

_NOTHING = Details("", Sheet)


class Keyed(NamedTuple):
    """A key that does an action of the line below, if it is offered there."""

    id: str
    key: str
    label: str
    about: str


KEYED = (
    Keyed("execs.tree", "t", "Tree", "Its process in the tree"),
    Keyed("T", "T", "Trace", "Trace calls of it: asks which, and when"),
    Keyed("watch", "a", "Watch", "Watch for its like: list, add, remove"),
    Keyed("user", "u", "Only this user", "Only its user in all panes"),
    Keyed("copy_as", "C", "Copy as", "As a command line of ebpftop, bpftrace, strace, jq"),
)
"""The keys of a sheet that do what the line of actions offers."""


Step: TypeAlias = Callable[[int], "tuple[Details, Sequence[Action]] | None"]
"""What returns the details of the next row (1) of the list that a sheet was opened from, or of the one before (-1)."""


class _Earlier(NamedTuple):
    """What a sheet showed before, and which line was on top."""

    details: Details
    actions: tuple[Action, ...]
    step: Step | None
    top: float


class SheetScreen(ReadyScreen[None]):
    """One sheet: scrollable, and updated while it is open. It may go on to another one, and Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "act", "Do", key_display="⏎", tooltip="Do what is chosen below", id="sheet.act"),
        Binding(
            *("n", "step(1)", "Next row"),
            tooltip="The next row of the list that the sheet was opened from",
            id="match.next",
            group=STEPS,
        ),
        Binding(*("N", "step(-1)", "Previous row"), tooltip="The row before it", id="match.previous", group=STEPS),
        Binding("y", "copy", "Copy sheet", tooltip="Send it to the terminal's clipboard, as text", id="copy"),
        Binding("escape,enter", "back", "Back", key_display="Esc", id="sheet.back"),
        Binding("tab,right", "choose(1)", "Next action", show=False, priority=True, id="sheet.next"),
        Binding("shift+tab,left", "choose(-1)", "Previous action", show=False, priority=True, id="sheet.previous"),
        Binding("j", "scroll(1)", "Down", show=False, id="lines.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="lines.up"),
        Binding("g", "scroll(-1000000)", "Top", show=False, id="lines.first"),
        Binding("G", "scroll(1000000)", "Bottom", show=False, id="lines.last"),
        Binding("ctrl+d", "half_page(1)", "Half a page down", show=False, id="lines.half_down"),
        Binding("ctrl+u", "half_page(-1)", "Half a page up", show=False, id="lines.half_up"),
        Binding("o", "app.go_to", "Go to", tooltip="To its process, its parent, and so on", id="go_to"),
        *(
            Binding(one.key, f"act_by_key('{one.key}')", one.label, show=False, tooltip=one.about, id=one.id)
            for one in KEYED
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.details = _NOTHING
        self.actions: tuple[Action, ...] = ()
        self._step: Step | None = None
        self._before: list[_Earlier] = []
        self._shown = Content("")
        self._rendered: tuple[Content, str, str] | None = None
        """What the widgets have rendered last: text, title, theme."""

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        with VerticalScroll(classes="sheet") as self._box:
            self._text = Static(self._shown, classes="sheet-text", markup=False)
            yield self._text
        self._line = ActionLine()
        yield self._line
        yield KeyLine()

    def on_mount(self) -> None:
        self.set_focus(self._box)
        self._clock = self.set_interval(REFRESH_S, self.update_sheet, pause=True)

    def fill(self, details: Details, actions: Sequence[Action] = (), step: Step | None = None) -> Self:
        """Show *details* from the top when this screen is pushed the next time."""
        self.details, self.actions, self._step = details, tuple(actions), step
        self._shown = self._content()
        self.filled()
        return self

    def show_filled(self) -> None:
        rendered = self._shown, self.details.title, self.app.theme
        if rendered != self._rendered:
            self._rendered = rendered
            self._text.update(self._shown, layout=False)
        self._update_title()
        self._line.offer(self.actions)
        self._lift_notices()
        self._box.scroll_to(y=0, animate=False, immediate=True)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._text, self._box, self._line

    def let_go(self) -> None:
        self.details, self.actions, self._step = _NOTHING, (), None
        self._before.clear()
        self._line.offer(())
        self._shown = Content("")
        self._rendered = None
        self._text.update(self._shown, layout=False)

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        self._clock.resume()

    def on_screen_suspend(self) -> None:
        self._clock.pause()

    def go_on(self, details: Details, actions: Sequence[Action], step: Step | None = None) -> None:
        """Show *details* now; Esc then shows what was shown before."""
        self._before.append(_Earlier(self.details, self.actions, self._step, self._box.scroll_offset.y))
        del self._before[:-_EARLIER_MAX]
        self._put(_Earlier(details, tuple(actions), step, 0))

    def _put(self, shown: _Earlier) -> None:
        self.details, self.actions, self._step = shown.details, shown.actions, shown.step
        self._line.offer(self.actions)
        self._lift_notices()
        self.update_sheet()
        self.query_one(KeyLine).update_keys()
        # Its height is known only once it has been laid out.
        self.call_after_refresh(self._box.scroll_to, y=shown.top, animate=False, immediate=True)

    def update_sheet(self) -> None:
        """Rebuild the sheet, and show it if it has changed."""
        self._update_title()
        content = self._content()
        if content != self._shown:
            # Laying it out again costs as much as opening it.
            self._shown = content
            self._rendered = content, self.details.title, self.app.theme
            self._text.update(content)

    def _content(self) -> Content:
        return self.details.sheet().content(max(1, min(self.app.size.width - _MARGIN, _WIDEST)))

    def _update_title(self) -> None:
        shown = self.details
        spans = shown.headline() if shown.headline is not None else (Span(shown.title, "name"),)
        self._title.set_spans(spans, shown.when)

    def _lift_notices(self) -> None:
        """Let notices appear above the line of actions."""
        height = self._line.get_content_height(self.app.size, self.app.size, self.app.size.width - 2)
        for rack in self.query("ToastRack"):
            rack.styles.margin = (0, 0, 1 + height, 0)

    def on_resize(self) -> None:
        """Lay the lines out in the new width."""
        if self.details is not _NOTHING:
            self._lift_notices()
            self.update_sheet()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "act":
            return bool(self.actions)
        if action == "act_by_key":
            return any(one.key == parameters[0] for one in self.actions)
        if action == "app.go_to":
            return self.subject is not None and self.subject.pid is not None
        if action == "step":
            return self._step is not None
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """Show what this sheet showed before; if it showed nothing else, close it."""
        if self._before:
            self._put(self._before.pop())
        else:
            self.dismiss()

    def action_step(self, by: int) -> None:
        """Show the next row of the list that this sheet was opened from, or the one before; Esc goes back as before."""
        if self._step is None:
            return
        found = self._step(by)
        if found is None:
            self.app.notify(AT_THE_END[by])
        else:
            details, actions = found
            self._put(_Earlier(details, tuple(actions), self._step, 0))

    def action_choose(self, step: int) -> None:
        self._line.choose(step)

    def action_act(self) -> None:
        if (chosen := self._line.chosen) is not None:
            chosen.run()

    def action_act_by_key(self, key: str) -> None:
        """Do what has this key on the line of actions."""
        for one in self.actions:
            if one.key == key:
                one.run()
                return

    @on(ActionLine.Acted)
    def _clicked(self, event: ActionLine.Acted) -> None:
        event.stop()
        event.action.run()

    def action_scroll(self, lines: int) -> None:
        self._box.scroll_relative(y=lines, animate=False)

    def action_half_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self._box.size.height // 2))

    @property
    def subject(self) -> Subject | None:
        return self.details.subject

    def action_copy(self) -> None:
        lines = (self._title.text, "", self._shown.plain)
        self.app.copy_to_clipboard("\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n")
        # The terminal does not reply, so nobody knows whether it accepted the text.
        self.app.notify("Sheet sent to the terminal's clipboard")


def open_sheet(app: App[Any], details: Details, actions: Sequence[Action] = (), step: Step | None = None) -> None:
    """Show *details*, with *actions* to choose from below."""
    app.push_screen(ready(app, SheetScreen).fill(details, actions, step))
