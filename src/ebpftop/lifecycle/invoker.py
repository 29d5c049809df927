"""The user behind root: who called sudo, doas or pkexec."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

INVOKER_VARIABLES = ("SUDO_UID", "DOAS_USER", "PKEXEC_UID")
"""How sudo, doas and pkexec name the user who called them; the first that is set counts."""

_NO_ID = 0xFFFFFFFF  # (uid_t)-1 and (gid_t)-1 mean "no change" to setresuid(2)
_NOBODY = 65534  # kernel.overflowuid, if the user database has no user "nobody"


class User(NamedTuple):
    """A user that a process can become."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str


def invoker() -> User | None:
    """Return the user behind sudo, doas or pkexec. None if there is none: root logged in, or we are not root.

    The environment is only read as root: then the program that made us root, or root, has set it. A user id that is not
    a number, or is root's, counts as none.
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
        # sudo itself has just read this user from the user database, so the database works.
        known = pwd.getpwuid(uid)
    except KeyError:
        return None if gid is None else User(uid, gid, (gid,), str(uid))
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return User(uid, gid if gid in groups else known.pw_gid, tuple(groups), known.pw_name)


def _id(text: str) -> int | None:
    """Return the uid or gid in *text*; None if it is root's, or not such a number."""
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
    """Open, make and remove files with the rights of the user behind sudo, or with our own if there is none.

    The whole process changes its user meanwhile, so use it only at the start and at the end. If root may not become
    another user (in a container), it keeps its own rights.
    """
    user = invoker()
    if user is None:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    with ExitStack() as undo:
        with suppress(PermissionError):
            os.setgroups(user.groups)
            undo.callback(os.setgroups, groups)
            os.setegid(user.gid)
            undo.callback(os.setegid, gid)
            os.seteuid(user.uid)
            undo.callback(os.seteuid, 0)
        yield
