"""The large PAUSED badge."""

from __future__ import annotations

from textual.widgets import Static

# Three lines of half blocks are five rows of a bitmap: large enough to see from across the room.
_PAUSED = """\
█▀▄ ▄▀▄ █ █ ▄▀▀ █▀▀ █▀▄
█▀  █▀█ █ █ ▀▀▄ █▀  █ █
▀   ▀ ▀ ▀▀▀ ▀▀  ▀▀▀ ▀▀ """


class PausedBadge(Static):
    """Stands above the panes while the display is frozen; says what is held back."""

    ALLOW_SELECT = False

    def away(self, back: str, *, recording: bool) -> None:
        """Say how far from the present the moment shown is."""
        words = f"{back or '0:00'} · " + ("Space plays on · l goes back" if recording else "Space or l: back to live")
        self.update(f"{_PAUSED}\n{words}")

    def held(self, records: int, full: bool) -> None:
        """Say how many records wait."""
        words = f"{records:,} records wait" if not full else f"{records:,} wait: memory full, oldest move on"
        self.update(f"{_PAUSED}\n{words} · Space goes on")
