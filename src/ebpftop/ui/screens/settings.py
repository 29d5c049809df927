"""The settings: Enter changes one, Del gives the default back; what is changed is saved at once."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ebpftop.core.escape import escape
from ebpftop.settings import places
from ebpftop.settings.printing import sentence, toml
from ebpftop.settings.rows import (
    BY_NAME,
    COLUMNS,
    KEYS,
    PANES,
    TABLES,
    PaneSize,
    Path,
    default_of,
    kind_of,
)
from ebpftop.ui.screens.kept import KeptSettings
from ebpftop.ui.screens.key_map import others_on
from ebpftop.ui.screens.key_prompt import KeyScreen
from ebpftop.ui.screens.list_settings import lists_of
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.screens.setting_lines import SettingLines
from ebpftop.ui.widgets.columns import Span, clip_front
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self


class SettingsScreen(ReadyScreen[None]):
    """All settings in groups: name, value, what is allowed or what is wrong; below, what the chosen one is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change(1)", "Change", key_display="⏎", id="settings.change", priority=True),
        Binding("right,l", "change(1)", "Next value", show=False, key_display="→", id="settings.next"),
        Binding("left,h", "change(-1)", "Previous value", show=False, key_display="←", id="settings.previous"),
        Binding("delete,backspace", "reset", "Default", key_display="Del", id="settings.default"),
        Binding("escape,f2", "back", "Back", key_display="Esc", id="settings.back"),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
        Binding("g", "edge(0)", "Top", show=False, id="lines.first"),
        Binding("G", "edge(-1)", "Bottom", show=False, id="lines.last"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.kept: KeptSettings
        self.paths: list[Path] = []
        self.lines: SettingLines

    def fill(self, kept: KeptSettings) -> Self:
        """Show these settings when this screen is pushed the next time."""
        self.kept = kept
        self.filled()
        return self

    def compose(self) -> ComposeResult:
        with Vertical(classes="settings"):
            self._title = SheetTitle()
            self._options = OptionList(compact=True, markup=False)
            self._about = Static(classes="settings-about", markup=False)
            self._input = Input(select_on_focus=False, compact=True)
            self._input.cursor_blink = False
            self._input.display = False
            yield from (self._title, self._options, self._about, self._input)
        yield KeyLine()

    def on_mount(self) -> None:
        self._clock = self.set_interval(0.5, self._show_title, pause=True)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._title, self._options, self._about, self._input

    def show_filled(self) -> None:
        self.kept.now_and_then()  # what was changed a moment ago is shown as it is
        self.lines = SettingLines(self.app, self.kept)
        self.paths = list(self.kept.paths())
        self._input.display = False
        self._show(0)
        self.set_focus(self._options)
        self._clock.resume()

    def let_go(self) -> None:
        self._clock.pause()
        self.paths = []

    # ---- what is shown ----

    @property
    def path(self) -> Path:
        """The chosen one."""
        return self.paths[min(self._options.highlighted or 0, len(self.paths) - 1)]

    def _show(self, at: int) -> None:
        lines: list[Option] = []
        group = ""
        for path in self.paths:
            before, group = group, self.lines.group(path)
            lines.append(Option(self.lines.line(path, "" if group == before else group)))
        self._options.set_options(lines)
        self._options.highlighted = min(max(at, 0), len(lines) - 1)
        self._show_title()
        self._show_about()

    def _show_again(self) -> None:
        """Show all of it as it is now; the same one stays chosen."""
        at = self._options.highlighted or 0
        self.paths = list(self.kept.paths())
        self._show(at)

    def _show_title(self) -> None:
        if not self.is_active or not self.paths:
            return
        kept, width = self.kept, self.size.width
        unsaved = kept.settings.unsaved or ("" if kept.settings.path else "no file: nothing is saved")
        where = unsaved or places.short(kept.settings.path)
        saved = f"saved {datetime.fromtimestamp(kept.saved_s):%H:%M:%S}" if kept.saved_s and not unsaved else ""
        if kept.trouble:
            saved = "not saved"
        room = max(1, width - len(" Settings  ") - len(saved) - 4)
        self._title.set_text(
            (Span("Settings  ", "name"), Span(clip_front(escape(where), room), "dim")),
            (Span(saved, "bad" if kept.trouble else "good"),) if saved else (),
        )

    def _show_about(self) -> None:
        if not self.paths:
            return
        path = self.path
        row = BY_NAME.get(path[0]) or TABLES[path[0]]
        default = default_of(path)
        usual = "" if default is None else f"default {toml(kind_of(path).write(default))} · "
        origin = self.kept.settings.origin(path)
        hint, style = self.lines.hint(path)
        problem = self.kept.trouble or (hint if style == "$error" else "")
        text = sentence(row.about) if path[0] != KEYS.name else f"{sentence(hint or path[1])}"
        second = (escape(problem), "$error") if problem else (f"{usual}from {escape(places.short(origin))}", "$dim")
        self._about.update(Content.assemble((f" {escape(text)}\n ", ""), second))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._show_about()

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_change(1)

    def on_resize(self) -> None:
        if self.paths and self.is_active:
            self._show_again()

    # ---- what is changed ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # In the input, keys are what is typed.
        return action == "back" or not self._input.display

    def _change(self, path: Path, value: Any) -> None:
        self.lines.wrong = (None, "")
        self.kept.change(path, value)
        self._show_again()

    def action_change(self, step: int) -> None:
        path = self.path
        if path[0] == COLUMNS.name:
            if step > 0:
                self._choose_columns(path[1])
            return
        if path[0] == KEYS.name:
            if step > 0:
                self._ask_key(path)
            return
        if path[0] == PANES.name:
            size = self.kept.settings.value(path) or PaneSize()
            size = PaneSize(not size.hidden, size.height)
            self._change(path, None if size == PaneSize() else size)
            return
        if choices := self.kept.choices(path):
            value = self.kept.settings.value(path)
            shown = "" if value is None else kind_of(path).shown(value)
            at = choices.index(shown) if shown in choices else -1 if step > 0 else 0
            self._change(path, self.kept.typed(path, choices[(at + step) % len(choices)]))
        elif step > 0:
            self._type(path)

    def action_reset(self) -> None:
        self._change(self.path, None)

    def _type(self, path: Path) -> None:
        value = self.kept.settings.value(path)
        self._input.value = "" if value is None else kind_of(path).shown(value)
        self._input.cursor_position = len(self._input.value)
        self._input.placeholder = kind_of(path).allowed
        self._input.display = True
        self.set_focus(self._input)

    @on(Input.Changed)
    def _typed(self) -> None:
        if not self._input.display:
            return
        self._check_typed()
        self._show_about()

    def _check_typed(self) -> Any:
        """Return the value that is typed, or None if it is not allowed, which is shown."""
        path, text = self.path, self._input.value.strip()
        self.lines.wrong = (None, "")
        if not text:
            return None
        try:
            return self.kept.typed(path, text)
        except argparse.ArgumentTypeError as error:
            self.lines.wrong = (path, str(error))
            return None

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        value = self._check_typed()
        if self.lines.wrong[0] is not None:
            self._show_about()
            return
        path = self.path
        self._close_input()
        self._change(path, value)

    def _close_input(self) -> None:
        self._input.display = False
        self.set_focus(self._options)

    def action_back(self) -> None:
        if self._input.display:
            self.lines.wrong = (None, "")
            self._close_input()
            self._show_about()
        else:
            self.dismiss()

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    def action_edge(self, at: int) -> None:
        self._options.highlighted = at % max(1, len(self.paths))

    def _choose_columns(self, name: str) -> None:
        from ebpftop.ui.screens.column_picker import ColumnsScreen

        view = lists_of(self.kept.main.panes).get(name)
        if view is None:
            return

        def chosen(_: object) -> None:
            self.kept.notice()
            self.kept.save_soon()
            self._show_again()

        self.app.push_screen(ready(self.app, ColumnsScreen).fill(view, name), chosen)

    def _ask_key(self, path: Path) -> None:
        def pressed(key: str | None) -> None:
            if key is None:
                return
            self._change(path, key)
            if key and (others := others_on(key, path[1], self.kept.settings.entries(KEYS))):
                self.app.notify(f"{key} is also the key of {', '.join(others)}", severity="warning", markup=False)

        self.app.push_screen(KeyScreen(self.lines.hint(path)[0] or path[1]), pressed)
