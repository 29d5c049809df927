"""Who is behind root: what the environment says, and what of it is believed."""

from __future__ import annotations

import os
import pwd

import pytest

from ebpftop.lifecycle import invoker
from ebpftop.lifecycle.invoker import User

VARIABLES = ("SUDO_UID", "SUDO_GID", "DOAS_USER", "PKEXEC_UID")


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def daemon() -> User:
    """A user of every Linux machine who is not root."""
    known = pwd.getpwnam("daemon")
    return User(known.pw_uid, known.pw_gid, tuple(os.getgrouplist("daemon", known.pw_gid)), "daemon")


def test_nobody_is_behind_a_login_of_root() -> None:
    assert invoker.invoker() is None


@pytest.mark.parametrize("program", ["sudo", "doas", "pkexec"])
def test_the_user_behind_each_program_is_found(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    user = daemon()
    variables = {
        "sudo": {"SUDO_UID": str(user.uid), "SUDO_GID": str(user.gid)},
        "doas": {"DOAS_USER": "daemon"},
        "pkexec": {"PKEXEC_UID": str(user.uid)},
    }
    for name, value in variables[program].items():
        monkeypatch.setenv(name, value)
    assert invoker.invoker() == user
    monkeypatch.setattr(os, "geteuid", lambda: user.uid)  # sudo -u daemon: there is no root to give up
    assert invoker.invoker() is None


def test_a_user_whom_the_database_does_not_know_has_sudos_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "123456789")
    assert invoker.invoker() is None
    monkeypatch.setenv("SUDO_GID", "123456788")
    assert invoker.invoker() == User(123456789, 123456788, (123456788,), "123456789")


@pytest.mark.parametrize("group", ["0", "-1", "", "x", "4294967295", "123456788"])
def test_a_group_that_is_not_the_users_is_not_taken(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(daemon().uid))
    monkeypatch.setenv("SUDO_GID", group)
    assert invoker.invoker() == daemon()


@pytest.mark.parametrize(
    "value", ["0", "-1", "+5", " 5", "5 ", "0x5", "1e3", "", "root", "٣", "4294967295", "9" * 5000]
)
def test_what_is_no_user_id_names_nobody(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SUDO_UID", "PKEXEC_UID"):
        monkeypatch.setenv(variable, value)
        monkeypatch.setenv("SUDO_GID", "5")
        assert invoker.invoker() is None
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("value", ["root", "no-such-user-here", "", "a\x1bb"])
def test_what_is_no_users_name_names_nobody(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOAS_USER", value)
    assert invoker.invoker() is None
