"""Where settings are kept: of the user behind sudo, then of the machine. Also what else is in the user's home."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

from ebpftop.lifecycle.invoker import invoker

SYSTEM = "/etc/ebpftop/config.toml"
"""The settings of all users of the machine; the user's own come first."""

VARIABLE = "EBPFTOP_CONFIG"
"""An environment variable that names the file, as --config does; empty: no file at all."""

_FILE = os.path.join("ebpftop", "config.toml")


def user_file() -> str | None:
    """Return the file of the user behind sudo, or of the user who runs this; None if they have no home.

    Call it with that user's rights. The environment of root is not that of the user who called sudo: its
    $XDG_CONFIG_HOME and its $HOME count only if they are that user's.
    """
    folder = _folder("XDG_CONFIG_HOME", ".config")
    return None if folder is None else os.path.join(folder, _FILE)


def data_folder() -> str | None:
    """Return the folder for what that user makes with ebpftop, as copies of the lesson's files; None without a home.

    As `user_file`: call it with that user's rights.
    """
    folder = _folder("XDG_DATA_HOME", os.path.join(".local", "share"))
    return None if folder is None else os.path.join(folder, "ebpftop")


def _folder(variable: str, below_home: str) -> str | None:
    behind = invoker_uid()
    uid = os.geteuid() if behind is None else behind
    home = _home(uid)
    folder = os.environ.get(variable, "")
    if os.path.isabs(folder) and _belongs_to(folder, uid, home):
        return folder
    return None if home is None else os.path.join(home, below_home)


def invoker_uid() -> int | None:
    """Return the uid of the user behind sudo; None if there is none."""
    user = invoker()
    return None if user is None else user.uid


def _home(uid: int) -> str | None:
    home = os.environ.get("HOME", "")
    if os.path.isabs(home) and _owner(home) == uid:
        return home
    with suppress(KeyError):
        home = pwd.getpwuid(uid).pw_dir
        return home if os.path.isabs(home) else None
    return None


def _belongs_to(folder: str, uid: int, home: str | None) -> bool:
    """Is *folder* that user's, or will it be, because it will be made in their home?"""
    owner = _owner(folder)
    if owner is not None:
        return owner == uid
    return home is not None and os.path.commonpath((home, folder)) == os.path.normpath(home)


def _owner(path: str) -> int | None:
    with suppress(OSError, ValueError):
        return os.stat(path).st_uid
    return None


def short(path: str) -> str:
    """Return *path* as people write it: ~ann/.config/ebpftop/config.toml."""
    with suppress(KeyError):
        user = pwd.getpwuid(os.getuid() if invoker_uid() is None else invoker_uid() or 0)
        if user.pw_dir != "/" and path.startswith(user.pw_dir.rstrip("/") + "/"):
            return f"~{user.pw_name}{path[len(user.pw_dir.rstrip('/')) :]}"
    return path
