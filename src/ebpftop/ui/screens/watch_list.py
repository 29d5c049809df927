"""Watch for something: what a row or the filter offers, an expression of one's own, and the list of all watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ebpftop.core.escape import escape
from ebpftop.core.format import clock_text, counted
from ebpftop.filters.expression_tokens import ExpressionError
from ebpftop.models.watch import Watch, compile_watch
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.screens.watching import WatchController
from ebpftop.ui.widgets.keyline import KeyLine

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Offer:
    """Something to watch for: in words, and the watch."""

    words: str
    watch: Watch


class WatchScreen(ReadyScreen[float]):
    """Closes with a moment to show, if one was chosen: the last one at which a watch matched."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", key_display="Esc", id="watch.back"),
        Binding("enter", "enter", "Watch, show last", key_display="⏎", id="watch.choose", priority=True),
        Binding("delete,d", "remove", "Remove", key_display="Del", id="watch.remove"),
        Binding("tab,shift+tab", "other", "List, expression", key_display="⇥", id="watch.other", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.controller: WatchController | None = None
        self.offers: Sequence[Offer] = ()
        self.rows: list[Offer | Watch] = []
        """What stands in the list: what is offered, then what is watched for."""

    def fill(self, controller: WatchController, offers: Sequence[Offer]) -> Self:
        """Show what *controller* watches for, and offer more, when this screen is pushed the next time."""
        self.controller, self.offers = controller, offers
        self.filled()
        return self

    def let_go(self) -> None:
        self.offers, self.rows = (), []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog watch") as self._box:
            self._box.border_title = Content("Watch for what matters")
            self._options = OptionList(compact=True, markup=False)
            self._input = Input(placeholder='exit.signal == "SIGSEGV"', select_on_focus=False, compact=True)
            self._input.cursor_blink = False
            self._message = Static(classes="save-note", markup=False)
            yield from (self._options, self._input, self._message)
        yield KeyLine()

    def show_filled(self) -> None:
        with self.prevent(Input.Changed):
            self._input.value = ""
        self._list()
        self._options.highlighted = 0 if self.rows else None
        self._options.scroll_to(y=0, animate=False, immediate=True)
        self._note("Enter watches for it: a match rings the bell, shows a notice, marks the timeline (◆)")
        self.set_focus(self._options if self.rows else self._input)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._input, self._message, self._box

    def _list(self) -> None:
        """Fill the list; the cursor stays where it is."""
        assert self.controller is not None
        watched = self.controller.watches.watches
        labels = {watch.label for watch in watched}
        self.rows = [*(offer for offer in self.offers if offer.watch.label not in labels), *watched]
        at = self._options.highlighted or 0
        self._options.set_options(Option(self._words(row)) for row in self.rows)
        self._options.highlighted = min(at, len(self.rows) - 1) if self.rows else None

    def _words(self, row: Offer | Watch) -> Content:
        if isinstance(row, Offer):
            return Content.assemble(("○ ", "$dim"), escape(row.words))
        # What has matched before, or will in a recording, is known by its last moment alone.
        parts = [counted(row.count, "match", "matches")] if row.count or not row.last else []
        if row.last:
            parts.append(f"last {clock_text(row.last)}: {escape(row.last_words)}")
        found = ", ".join(parts)
        return Content.assemble(("● ", "$success"), (escape(row.label), "bold"), (f"  {found}", "$dim"))

    def _note(self, text: str, *, bad: bool = False) -> None:
        lines = "\n".join(map(escape, text.split("\n")))
        self._message.update(Content.styled(lines, "$error" if bad else "$dim"))

    @property
    def _row(self) -> Offer | Watch | None:
        at = self._options.highlighted
        return self.rows[at] if at is not None and at < len(self.rows) else None

    async def action_enter(self) -> None:
        if self.focused is self._input:
            await self._input.action_submit()
        else:
            self._choose()

    @on(OptionList.OptionSelected)
    def _choose(self) -> None:
        """Watch for what is offered; of what is watched for already, show the last moment."""
        row = self._row
        if isinstance(row, Offer):
            self._add(row.watch)
        elif row is not None and row.last:
            self.dismiss(row.last)
        elif row is not None:
            self._note("It has not matched yet")

    def action_remove(self) -> None:
        row = self._row
        if isinstance(row, Watch) and self.controller is not None and self.focused is self._options:
            self.controller.remove(row)
            self._list()
            self._note(f"No longer watched for: {row.label}")

    def action_other(self) -> None:
        self.set_focus(self._options if self.focused is self._input and self.rows else self._input)

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._note("Enter watches for it; docs/watch.md has the language")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            watch = compile_watch(event.value)
        except ExpressionError as error:
            self._note(str(error), bad=True)
            self._input.cursor_position = error.at
            return
        with self.prevent(Input.Changed):
            self._input.value = ""
        self._add(watch)

    def _add(self, watch: Watch) -> None:
        assert self.controller is not None
        self.controller.add(watch)
        self._list()
        self._options.highlighted = next((at for at, row in enumerate(self.rows) if row is watch), None)
        self.set_focus(self._options)
        self._note(f"Watching for {watch.label}; Del removes it")
