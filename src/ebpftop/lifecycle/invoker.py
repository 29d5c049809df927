"""The user behind root: who called sudo, doas or pkexec."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

INVOKER_VARIABLES = ("SUDO_UID", "DOAS_USER", "PKEXEC_UID")
"""How sudo, doas and pkexec name the user who called them; the first that is there counts."""

_NO_ID = 0xFFFFFFFF  # (uid_t)-1 and (gid_t)-1 mean "no change" to setresuid(2)
_NOBODY = 65534  # kernel.overflowuid, where the user database does not know nobody


class User(NamedTuple):
    """Whom to become."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str


def invoker() -> User | None:
    """Return the user behind sudo, doas or pkexec; None where nobody is: a login of root, or no root at all.

    Only root asks: what the environment says is then said by the program that made us root, or by root. A user id that
    is no number, or root's, names nobody.
    """
    if os.geteuid() != 0:
        return None
    for variable in INVOKER_VARIABLES:
        if (named := os.environ.get(variable)) is None:
            continue
        if variable == "DOAS_USER":  # doas(1) gives the name alone
            try:
                named = str(pwd.getpwnam(named).pw_uid)
            except (KeyError, ValueError):
                return None
        return _user(named, os.environ.get("SUDO_GID") if variable == "SUDO_UID" else None)
    return None


def _user(uid_text: str, gid_text: str | None) -> User | None:
    uid, gid = _id(uid_text), _id(gid_text or "")
    if uid is None:
        return None
    try:
        # sudo itself has just asked the user database for this user, so it answers.
        known = pwd.getpwuid(uid)
    except KeyError:
        return None if gid is None else User(uid, gid, (gid,), str(uid))
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return User(uid, gid if gid in groups else known.pw_gid, tuple(groups), known.pw_name)


def _id(text: str) -> int | None:
    """Return the user or group that *text* names by number; None for root's and for what is no such number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text) if 0 < int(text) < _NO_ID else None


def nobody() -> User:
    """Return the user who owns nothing."""
    try:
        known = pwd.getpwnam("nobody")
    except KeyError:
        return User(_NOBODY, _NOBODY, (), "nobody")
    return User(known.pw_uid, known.pw_gid, (), "nobody")


@contextmanager
def as_invoker() -> Iterator[None]:
    """Open, make and remove files with the rights of the user behind sudo; with one's own if nobody is behind.

    The whole process changes its user meanwhile: for the start, and for the end. Root that may not become anybody else
    (in a container) keeps its own.
    """
    user = invoker()
    if user is None:
        yield
        return
    before = os.getegid(), os.getgroups()
    undo: list[Callable[[], None]] = []
    try:
        with suppress(PermissionError):
            os.setgroups(user.groups)
            undo.append(lambda: os.setgroups(before[1]))
            os.setegid(user.gid)
            undo.append(lambda: os.setegid(before[0]))
            os.seteuid(user.uid)
            undo.append(lambda: os.seteuid(0))
        yield
    finally:
        for step in reversed(undo):
            step()
