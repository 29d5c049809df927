"""Names of users never make anybody wait for long, whatever answers for them, or does not."""

from __future__ import annotations

import pwd
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from ebpftop.core.source import SourceError
from ebpftop.probes.user_names import UserNames, uid_of


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A directory server that does not answer before the end of the test."""
    ended = threading.Event()

    def ask(_: object) -> pwd.struct_passwd:
        ended.wait(60)
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", ask)
    monkeypatch.setattr(pwd, "getpwnam", ask)
    yield ended
    ended.set()


def test_hundreds_of_users_wait_for_a_slow_server_together_and_not_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(uid: int) -> pwd.struct_passwd:
        time.sleep(0.04)
        return pwd.struct_passwd((f"user{uid}", "", uid, uid, "", "", ""))

    monkeypatch.setattr(pwd, "getpwuid", ask)
    names = UserNames()
    begin = time.monotonic()
    for uid in range(300):  # 12 s, one after the other
        names.get(uid)
    assert time.monotonic() - begin < 6
    assert names.get(0) == "user0"
    wait_until_known(names, [5])
    assert names.get(5) == "user5"


def test_a_server_that_never_answers_is_waited_for_once(never: threading.Event) -> None:
    names = UserNames()
    begin = time.monotonic()
    assert [names.get(uid) for uid in range(300)] == [None] * 300
    assert time.monotonic() - begin < 6


def wait_until_known(names: UserNames, uids: Iterable[int]) -> None:
    until_s = time.monotonic() + 60
    for uid in uids:
        while not names.knows(uid):
            assert time.monotonic() < until_s
            time.sleep(0.01)


def test_every_user_gets_the_name_of_the_system() -> None:
    names = UserNames()
    uids = [user.pw_uid for user in pwd.getpwall()[:50]] + [4_000_000_000, 0xFFFFFFFF]
    for uid in uids:
        names.get(uid)
    wait_until_known(names, uids)
    assert [names.get(uid) for uid in uids] == [*(pwd.getpwuid(uid).pw_name for uid in uids[:-2]), None, None]


def test_a_server_that_answers_again_is_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()

    def ask(uid: int) -> pwd.struct_passwd:
        if uid == 0:
            slow.wait(60)
        return pwd.struct_passwd((f"user{uid}", "", uid, uid, "", "", ""))

    monkeypatch.setattr(pwd, "getpwuid", ask)
    names = UserNames()
    assert names.get(0, 0.01) is None
    assert names.get(1, 60) is None  # nobody waits while the first is on its way
    slow.set()
    wait_until_known(names, [0, 1])
    assert names._late is not None
    assert names._late.is_set()


def test_a_name_that_nobody_answers_for_is_told(never: threading.Event) -> None:
    with pytest.raises(SourceError, match=r"no answer within 0\.1 s to who 'root' is; give the number of the uid"):
        uid_of("root", 0.1)


def test_a_user_is_found_by_name() -> None:
    assert uid_of("root") == 0
    assert uid_of("no user of this name") is None


def test_a_name_that_would_repaint_the_terminal_is_shown_in_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd(("ro\x1b[2Jot\u202e\udcff\n", "", uid, uid, "", "", ""))

    monkeypatch.setattr(pwd, "getpwuid", ask)
    assert UserNames().get(7, 60) == r"ro\x1b[2Jot\u202e\udcff\x0a"
