"""User names, looked up in the background: NSS may ask a directory server that does not answer."""

from __future__ import annotations

import pwd
import threading
import time
from queue import SimpleQueue

from ebpftop.core.escape import escape
from ebpftop.core.source import SourceError

PATIENCE_S = 0.05
# The time that all lookups may wait together, for example at a start that finds hundreds of users; later a share of the
# time. If a directory server took 40 ms for each answer, all of them together would wait for ten seconds.
_PATIENCE_TOGETHER_S = 0.25
_PATIENCE_SHARE = 0.02
_UID_PATIENCE_S = 5.0
_NAMES_MAX = 200_000


class UserNames:
    """A cache of uid to name, filled by one thread in the background."""

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}
        self._asked: set[int] = set()
        self._questions: SimpleQueue[tuple[int, threading.Event]] = SimpleQueue()
        self._late: threading.Event | None = None  # a question whose answer was waited for too long
        self._patience_s = _PATIENCE_TOGETHER_S
        self._spent = time.monotonic()
        self._thread: threading.Thread | None = None

    def get(self, uid: int, patience_s: float = PATIENCE_S) -> str | None:
        """Return the name of *uid*; None if it has none, or if none is known yet.

        The first lookup of a uid waits at most *patience_s* for the answer; 50 ms are plenty for /etc/passwd. If a
        lookup took longer, no other waits until its answer has come. All waiting together takes at most a quarter of a
        second, and later a fiftieth of the time.
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
            if self._late is None or self._late.is_set():
                self._wait(answered, patience_s)
        return self._names.get(uid)

    def _wait(self, answered: threading.Event, patience_s: float) -> None:
        begin = time.monotonic()
        left_s = self._patience_s + (begin - self._spent) * _PATIENCE_SHARE
        left_s = min(left_s, _PATIENCE_TOGETHER_S)
        if min(patience_s, left_s) > 0 and not answered.wait(min(patience_s, left_s)):
            self._late = answered
        self._spent = time.monotonic()
        self._patience_s = left_s - (self._spent - begin)

    def uid(self, name: str) -> int | None:
        """Return the uid that has *name*, as far as it was looked up here."""
        return next((uid for uid, known in list(self._names.items()) if known == name), None)

    def knows(self, uid: int) -> bool:
        """Return whether the answer for *uid* has come, even if it has no name."""
        return uid in self._names

    def _answer(self) -> None:
        while True:
            uid, answered = self._questions.get()
            try:
                name = escape(pwd.getpwuid(uid).pw_name)
            except (KeyError, OverflowError):  # (uid_t)-1 overflows
                name = None
            self._names[uid] = name
            answered.set()


def uid_of(name: str, patience_s: float = _UID_PATIENCE_S) -> int | None:
    """Return the uid of the user *name*, None if there is no such user; SourceError if no answer comes in time."""
    found: list[int | None] = []

    def ask() -> None:
        try:
            found.append(pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError):
            found.append(None)

    asking = threading.Thread(target=ask, name="user-name", daemon=True)
    asking.start()
    asking.join(patience_s)
    if not found:
        raise SourceError(f"no answer within {patience_s:g} s to who {name!r} is", "give the number of the uid")
    return found[0]
