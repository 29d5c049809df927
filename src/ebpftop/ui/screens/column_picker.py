"""Choose the columns of a pane, and their widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.widgets.columns import Column
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_view import RowView

if TYPE_CHECKING:
    from typing_extensions import Self

NARROWEST, WIDEST = 3, 200


class ColumnsScreen(ReadyScreen[None]):
    """Every change shows at once in the pane below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,c", "dismiss", "Back", key_display="Esc", id="columns.back"),
        Binding("space,enter", "show_or_hide", "Show/hide", key_display="␣", id="columns.show", priority=True),
        Binding("left,h", "widen(-1)", "Narrower", key_display="←", id="columns.narrower"),
        Binding("right,l", "widen(1)", "Wider", key_display="→", id="columns.wider"),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lines: RowView[Any]
        self._columns: Sequence[Column[Any]] = ()
        self.title_text = self._explained = ""

    def fill(self, lines: RowView[Any], title: str) -> Self:
        """Show the columns of *lines* when this screen is pushed the next time."""
        self.lines = lines
        self._columns = lines.columns
        self.title_text = title
        self.filled()
        return self

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small") as self._box:
            self._options = OptionList(compact=True, markup=False)
            yield self._options
            self._about = Static("", classes="column-about", markup=False)
            yield self._about
        yield KeyLine()

    def show_filled(self) -> None:
        self._box.border_title = Content(f"Columns: {self.title_text}")
        self._options.set_options(Option(self._words(c), id=c.key) for c in self._columns)
        self._options.highlighted = 0
        self._explain()
        self._options.scroll_to(y=0, animate=False, immediate=True)
        self.set_focus(self._options)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._box

    def _words(self, column: Column[Any]) -> Content:
        shown = column.always or column.key not in self.lines.hidden
        fits = any(slot.column.key == column.key for slot in self.lines.slots)
        empty = column.key in self.lines.empty
        width = self.lines.widths.get(column.key, column.width)
        size = f"{width}+" if column.flexible else str(width)
        return Content.assemble(
            ("● " if shown else "○ ", "$success" if shown else "$dim"),
            (f"{column.title or column.key:<14}", "bold" if shown else "$dim"),
            (f"{size:>5}  ", "$dim"),
            ("(empty) " if shown and empty else "(no room) " if shown and not fits else "", "$warning"),
            (column.about, "$dim"),
        )

    @on(OptionList.OptionHighlighted)
    def _explain(self) -> None:
        if self._column.about != self._explained:
            self._explained = self._column.about
            self._about.update(self._explained, layout=False)

    @property
    def _column(self) -> Column[Any]:
        return self._columns[self._options.highlighted or 0]

    def _changed(self) -> None:
        if self.lines.columns is not self._columns:
            self.dismiss()  # it lists something else by now
            return
        self.lines.rearrange()
        options = self._options
        for column in self._columns:
            options.replace_option_prompt(column.key, self._words(column))

    def action_show_or_hide(self) -> None:
        if self._column.always:
            self.app.notify("This column names the rows: it stays")
            return
        hidden = self.lines.hidden ^ {self._column.key}
        if len(hidden) < len(self.lines.columns):
            self.lines.hidden = hidden
            self._changed()

    def action_widen(self, cells: int) -> None:
        key = self._column.key
        width = self.lines.widths.get(key, self._column.width) + cells
        self.lines.widths[key] = min(max(width, NARROWEST), WIDEST)
        self._changed()

    def action_cursor(self, step: int) -> None:
        options = self._options
        if step > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()


def pick_columns(app: App[Any], lines: RowView[Any], label: str) -> None:
    """Let the columns of *lines* be chosen; *label* says of what."""
    if not lines.columns:
        app.notify(f"{label}: there are no columns")
        return
    app.push_screen(ready(app, ColumnsScreen).fill(lines, label))
