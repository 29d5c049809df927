"""Lines of many hosts in one pipe: which host each is of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.fleet.labels import Labelled, labelled


def of(text: bytes) -> list[Labelled | None]:
    return list(labelled(text))


def test_lines_of_clush_are_grouped_by_host_in_their_order() -> None:
    text = b'web1: {"kind":"a"}\ndb2: {"kind":"b"}\nweb1: {"kind":"c"}\n'
    assert of(text) == [
        Labelled("web1", b'{"kind":"a"}\n{"kind":"c"}\n'),
        Labelled("db2", b'{"kind":"b"}\n'),
    ]


def test_without_a_label_the_field_host_says_it() -> None:
    text = b'{"kind":"exec","host":"web1","pid":1}\n{"pid":1, "kind":"exec", "host":"db2"}\n'
    assert [one and one.host for one in of(text)] == ["web1", "db2"]


def test_a_line_without_a_host_is_of_none() -> None:
    assert of(b'{"kind":"exec","pid":1}\nhello\n\n') == [None, None]


def test_a_message_is_of_the_host_in_front_of_it() -> None:
    assert of(b"ci3: sudo: a password is required\n") == [Labelled("ci3", text=b"sudo: a password is required")]


def test_clush_says_with_what_status_a_host_has_ended() -> None:
    assert of(b"clush: ci3: exited with exit code 255\n") == [Labelled("ci3", status=255)]
    assert of(b"pdsh@here: ci3: ssh exited with exit code 255\n") == [Labelled("ci3", status=255)]


@pytest.mark.parametrize("host", [b"ci3", b"::1", b"fe80::1%eth0"])
def test_a_message_of_ssh_without_a_label_is_of_the_host_that_it_names(host: bytes) -> None:
    for text in (
        b"ssh: connect to host " + host + b" port 22: Connection refused",
        b"ssh: Could not resolve hostname " + host + b": Name or service not known",
    ):
        assert of(text + b"\n") == [Labelled(host.decode(), text=text)]


@pytest.mark.parametrize(
    "text", [b"sudo: a password is required", b"ssh: hello", b"bash: line 1: x: command not found"]
)
def test_a_program_that_says_something_is_no_host(text: bytes) -> None:
    assert of(text + b"\n") == [None]


@pytest.mark.parametrize("name", [b"a b", b"\x1b[31mred", "ü".encode(), b"x" * 254, b"$(reboot)"])
def test_what_is_no_name_of_a_host_is_none(name: bytes) -> None:
    assert of(name + b': {"kind":"a"}\n') == [None]


def test_an_address_of_ipv6_is_a_name() -> None:
    assert of(b'fe80::1%eth0: {"kind":"a"}\n') == [Labelled("fe80::1%eth0", b'{"kind":"a"}\n')]


@given(st.binary(max_size=300))
def test_whatever_comes_is_of_a_host_or_of_none(text: bytes) -> None:
    for one in of(text):
        assert one is None or one.host.isascii()
