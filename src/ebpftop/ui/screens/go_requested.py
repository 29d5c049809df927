"""The request of a list above the panes to go from a row to what belongs to it. The main screen goes there."""

from __future__ import annotations

from textual.message import Message

from ebpftop.models.subject import Subject


class GoRequested(Message):
    """A request to go to a place of `ebpftop.ui.screens.going.PLACES`, from *subject*."""

    def __init__(self, place: str, subject: Subject | None) -> None:
        super().__init__()
        self.place = place
        self.subject = subject
