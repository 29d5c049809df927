"""The line of what can be done with what a sheet is about: Tab or the arrows choose, Enter or a click acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.row_drawing import POINT
from ebpftop.ui.widgets.span_line import SpanLine

HEAD = "ACTIONS"
_LEFT = len(HEAD) + 2
_APART = 1


class Action(NamedTuple):
    """What can be done, its key if it has one, and what does it."""

    label: str
    run: Callable[[], None]
    key: str = ""

    @property
    def text(self) -> str:
        return f"{self.label} {self.key}".rstrip()


class ActionLine(SpanLine):
    """Actions side by side, on as many lines as they need; none: no line."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"action--head", "action--chosen", "action--key"}
    prefix = "action"

    class Acted(Message):
        """A click on an action."""

        def __init__(self, action: Action) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.actions: tuple[Action, ...] = ()
        self._chosen = 0

    def offer(self, actions: Sequence[Action]) -> None:
        """Show *actions*; the first is chosen."""
        before, self.actions, self._chosen = self.actions, tuple(actions), 0
        self.display = bool(actions)
        self.refresh(layout=[one.text for one in before] != [one.text for one in self.actions])

    @property
    def chosen(self) -> Action | None:
        """The action that Enter does; None if there is none."""
        return self.actions[self._chosen] if self.actions else None

    def choose(self, step: int) -> None:
        """Choose the next action, or the one before."""
        if self.actions:
            self._chosen = (self._chosen + step) % len(self.actions)
            self.refresh()

    def places(self, width: int) -> list[tuple[int, int, int]]:
        """Return line, and first and last cell, of each action, with a cell for the mark of the chosen one."""
        places, x, y = [], _LEFT, 0
        for action in self.actions:
            end = x + 1 + cell_len(action.text)
            if end > width and x > _LEFT:
                x, y = _LEFT, y + 1
                end = x + 1 + cell_len(action.text)
            places.append((y, x, end))
            x = end + _APART
        return places

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        places = self.places(width)
        return places[-1][0] + 1 if places else 0

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        spans = [Span(f"{HEAD if y == 0 else '':<{_LEFT}}", "head")]
        x = _LEFT
        for at, (line, start, end) in enumerate(self.places(width)):
            if line == y:
                action, is_chosen = self.actions[at], at == self._chosen
                spans.append(
                    Span(
                        " " * (start - x) + (POINT if is_chosen else " "),
                        "chosen",
                    )
                )
                spans.append(Span(action.label, "chosen" if is_chosen else ""))
                spans.append(Span(f" {action.key}" if action.key else "", "key"))
                x = end
        return self.line_of(layout_cell(tuple(spans), width))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        for action, (line, start, end) in zip(self.actions, self.places(self.content_size.width), strict=True):
            if line == offset.y and start <= offset.x < end:
                event.stop()
                self.post_message(self.Acted(action))
                return
