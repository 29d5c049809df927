"""Asks for the key of an action: the one that is pressed."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from ebpftop.ui.screens.ready import ReadyScreen


class KeyScreen(ReadyScreen[str | None]):
    """Waits for the key that an action gets; Del takes it away, Esc leaves it as it was."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self._action_text = action

    def compose(self) -> ComposeResult:
        with Vertical(classes="settings-key"):
            yield Static(
                Content.assemble(
                    (f"Press the key for: {self._action_text}\n", "bold"),
                    ("Del: no key at all; Esc: leave it as it is; more than one key: in the file", "$dim"),
                ),
                markup=False,
            )

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss({"escape": None, "delete": ""}.get(event.key, event.key))
