"""User names, looked up without ever making anybody wait: NSS may ask a directory server that does not answer."""

from __future__ import annotations

import pwd
import threading
from queue import SimpleQueue

from ebpftop.text import escape

PATIENCE_S = 0.05
_NAMES_MAX = 200_000


class UserNames:
    """A cache of uid to name, filled by one thread in the background."""

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}
        self._asked: set[int] = set()
        self._questions: SimpleQueue[tuple[int, threading.Event]] = SimpleQueue()
        self._stuck = False
        self._thread: threading.Thread | None = None

    def get(self, uid: int, patience_s: float = PATIENCE_S) -> str | None:
        """Return the name of *uid*; None where it has none, or none is known yet.

        The first question about a uid waits up to *patience_s* for the answer, and 50 ms are plenty for /etc/passwd;
        once a lookup took longer, nobody waits until it came back.
        """
        try:
            return self._names[uid]
        except KeyError:
            pass
        if uid not in self._asked:
            if len(self._asked) >= _NAMES_MAX:
                self._asked.clear()
                self._names.clear()
            self._asked.add(uid)
            answered = threading.Event()
            self._questions.put((uid, answered))
            if self._thread is None:
                self._thread = threading.Thread(target=self._answer, name="user-names", daemon=True)
                self._thread.start()
            if patience_s > 0 and not self._stuck and not answered.wait(patience_s):
                self._stuck = True
        return self._names.get(uid)

    def knows(self, uid: int) -> bool:
        """Tell whether the answer about *uid* came, be it that it has no name."""
        return uid in self._names

    def _answer(self) -> None:
        while True:
            uid, answered = self._questions.get()
            try:
                name = escape(pwd.getpwuid(uid).pw_name)
            except (KeyError, OverflowError):  # (uid_t)-1 overflows
                name = None
            self._names[uid] = name
            self._stuck = False
            answered.set()
