"""What is to become of the command of `ebpftop run`, if the user leaves before it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ebpftop.lifecycle.attended import AttendedCommand
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine

if TYPE_CHECKING:
    from typing_extensions import Self

Choice = Literal["end", "kill", "leave"]

_END = ("end", "End it", "SIGTERM to it and to what it started; ebpftop leaves when it has ended")
_KILL = ("kill", "Kill it", "it has not ended yet: SIGKILL to it and to what it started")
_LEAVE = ("leave", "Leave it running", "ebpftop ends; what it prints from then on is thrown away")
_STAY = (None, "Stay", "nothing happens")


class LeaveScreen(ReadyScreen[Choice | None]):
    """Closes with what was chosen; None to stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Stay", key_display="Esc", id="leave.stay"),
        Binding("enter", "choose", "Choose", key_display="⏎", id="leave.choose", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="leave.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="leave.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._choices: Sequence[tuple[Choice | None, str, str]] = ()

    def fill(self, command: AttendedCommand) -> Self:
        """Ask about *command* when this screen is pushed the next time."""
        self._title = f"{command.name} (pid {command.pid}) is running"
        self._choices = (_KILL if command.asked_to_end else _END, _LEAVE, _STAY)  # type: ignore[assignment]  # literals
        self.filled()
        return self

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as self._box:
            self._options = OptionList(markup=False)
            yield self._options
        yield KeyLine()

    def show_filled(self) -> None:
        self._box.border_title = Content(self._title)
        self._options.set_options(
            Option(Content.assemble((f"{label}\n", "bold"), (f"  {what}", "$dim"))) for _, label, what in self._choices
        )
        self._options.highlighted = 0
        self.set_focus(self._options)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._box

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.dismiss(self._choices[self._options.highlighted or 0][0])

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()
