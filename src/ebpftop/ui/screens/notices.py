"""Where notices are shown: as toasts, or in the line that the screen on top has for them."""

from __future__ import annotations

from textual.app import App

from ebpftop.ui.widgets.notice_line import NoticeLine


class NoticeApp(App[int]):
    """An app whose screens may have a `NoticeLine`."""

    def _refresh_notifications(self) -> None:
        line = next(iter(self.screen.query(NoticeLine)), None) if self._screen_stack else None
        if line is None:
            super()._refresh_notifications()
        else:
            self.call_later(line.show, list(self._notifications))
