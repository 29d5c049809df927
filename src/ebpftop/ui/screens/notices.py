"""Where notices are shown: as toasts, or in the line that the screen on top has for them."""

from __future__ import annotations

from typing import Any

from textual.app import App

from ebpftop.ui.widgets.notice_line import NoticeLine


class NoticeApp(App[int]):
    """An app whose screens may have a `NoticeLine`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_line: set[str] = set()
        """Notices, by identity, that were shown in the line of a screen."""

    def _refresh_notifications(self) -> None:
        line = next(iter(self.screen.query(NoticeLine)), None) if self._screen_stack else None
        if line is None:
            # What a screen below had in its line was read there: no toast repeats it here.
            for notice in [one for one in self._notifications if one.identity in self._in_line]:
                self._unnotify(notice, refresh=False)
            self._in_line.clear()
            super()._refresh_notifications()
        else:
            self._in_line.update(one.identity for one in self._notifications)
            self.call_later(line.show, list(self._notifications))
