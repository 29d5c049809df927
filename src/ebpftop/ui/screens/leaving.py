"""What is to become of the command of `ebpftop run`, if the user leaves before it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.content import Content

from ebpftop.lifecycle.attended import AttendedCommand
from ebpftop.ui.screens.choice import ChoiceScreen

if TYPE_CHECKING:
    from typing_extensions import Self

Choice = Literal["end", "kill", "leave"]

_END = ("end", "End it", "SIGTERM to it and to what it started; ebpftop leaves when it has ended")
_KILL = ("kill", "Kill it", "it has not ended yet: SIGKILL to it and to what it started")
_LEAVE = ("leave", "Leave it running", "ebpftop ends; what it prints from then on is thrown away")
_STAY = (None, "Stay", "nothing happens")


class LeaveScreen(ChoiceScreen[Choice | None]):
    """Closes with what was chosen; None to stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Stay", key_display="Esc", id="leave.stay"),
        Binding("enter", "choose", "Choose", key_display="⏎", id="leave.choose", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
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

    def show_filled(self) -> None:
        choices = [Content.assemble((f"{label}\n", "bold"), (f"  {what}", "$dim")) for _, label, what in self._choices]
        self.show_choices(self._title, choices)

    def choice(self, index: int) -> Choice | None:
        return self._choices[index][0]
