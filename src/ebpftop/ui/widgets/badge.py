"""The large PAUSED badge, and the line below the timeline. They cover nothing."""

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

    def spell(self, *, small: bool) -> None:
        """Show the word; *small*, for terminals without half blocks."""
        self.update("\nPAUSED" if small else _PAUSED, layout=False)


class PausedHint(Static):
    """Shows below the timeline how many records are buffered, or how far back it is, and the key that leaves."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)

    def away(self, back: str, *, recording: bool) -> None:
        """Show how far back from the present the moment is."""
        self._set_text(
            f"{back or '0:00'} · " + ("Space plays on · l goes back" if recording else "Space or l: back to live")
        )

    def held(self, records: int, full: bool) -> None:
        """Show how many records are buffered."""
        words = counted(records, "record buffered", "records buffered", whole=True)
        if full:
            words = f"{records:,} wait: memory full, oldest move on"
        self._set_text(f"{words} · Space goes on")

    def _set_text(self, words: str) -> None:
        # Its size is fixed: other text needs no new layout of the screen.
        self.update(words, layout=False)
