"""The large PAUSED badge, and the line beside it. Both have a place of their own: they cover nothing."""

from __future__ import annotations

from textual.widgets import Static

from ebpftop.core.format import counted

# Three lines of half blocks are five rows of a bitmap: large enough to see from across the room.
_PAUSED = """\
█▀▄ ▄▀▄ █ █ ▄▀▀ █▀▀ █▀▄
█▀  █▀█ █ █ ▀▀▄ █▀  █ █
▀   ▀ ▀ ▀▀▀ ▀▀  ▀▀▀ ▀▀ """


class PausedBadge(Static):
    """Stands left of the timeline while the display is frozen."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(_PAUSED, id=id, markup=False)


class PausedHint(Static):
    """Says below the timeline what is held back, or where one is, and which key leads out of it."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)

    def away(self, back: str, *, recording: bool) -> None:
        """Say how far from the present the moment shown is."""
        self._say(
            f"{back or '0:00'} · " + ("Space plays on · l goes back" if recording else "Space or l: back to live")
        )

    def held(self, records: int, full: bool) -> None:
        """Show how many records are buffered."""
        words = counted(records, "record buffered", "records buffered", whole=True)
        if full:
            words = f"{records:,} wait: memory full, oldest move on"
        self._say(f"{words} · Space goes on")

    def _say(self, words: str) -> None:
        # Its size is fixed: no new layout of the screen for other words.
        self.update(words, layout=False)
