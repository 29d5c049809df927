"""What is wrong with a host, in words, from what ssh, sudo and ebpftop say there."""

from __future__ import annotations

import pytest

from ebpftop.fleet.connection import Remote
from ebpftop.fleet.trouble import is_trouble, trouble_of

SAID = {
    "unknown key": [
        b"Host key verification failed.\r\n",
        b"No ED25519 host key is known for web1 and you have requested",
    ],
    "refused": [b"ssh: connect to host web1 port 22: Connection refused\r\n"],
    "no such host": [b"ssh: Could not resolve hostname web1: Name or service not known\r\n"],
    "unreachable": [
        b"ssh: connect to host web1 port 22: Connection timed out\r\n",
        b"ssh: connect to host web1 port 22: No route to host\r\n",
    ],
    "no login": [b"root@web1: Permission denied (publickey).\r\n"],
    "no root": [
        b"sudo: a password is required\n",
        b"sudo: a terminal is required to read the password; either use the -S option\n",
        b"bob is not in the sudoers file.\n",
        b"sh: 1: exec: sudo: not found\n",
    ],
    "no ebpftop": [
        b"sudo: ebpftop: command not found\n",
        b"sh: 1: exec: ebpftop: not found\n",
        b"bash: line 1: ebpftop: command not found\n",
    ],
    "failed": [b"ebpftop stream: error: unrecognized arguments: --compress\n"],
}


@pytest.mark.parametrize(("state", "said"), [(state, one) for state, some in SAID.items() for one in some])
def test_each_error_has_a_state_words_and_a_remedy(state: str, said: bytes) -> None:
    trouble = trouble_of("web1", 255, said)
    assert trouble.state == state
    assert trouble.said
    assert trouble.remedy
    assert "{" not in trouble.remedy
    assert is_trouble(said.decode())


def test_a_key_that_has_changed_is_told_from_one_that_is_not_known() -> None:
    said = b"@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@\nHost key verification failed.\r\n"
    assert "ssh-keygen -R web1" in trouble_of("web1", 255, said).remedy


@pytest.mark.parametrize(
    ("status", "state"),
    [(3, "no root"), (127, "no ebpftop"), (255, "gone"), (0, "gone"), (1, "failed"), (-9, "failed")],
)
def test_without_words_the_status_says_it(status: int, state: str) -> None:
    assert trouble_of("web1", status, b"").state == state


def test_what_ebpftop_says_there_is_repeated_and_harmless() -> None:
    trouble = trouble_of("web1", 1, b"Welcome!\nebpftop: no \x1b[31mBTF; update\n")
    assert trouble.said == "ebpftop: no \\x1b[31mBTF; update"


def test_any_line_is_no_trouble() -> None:
    assert not is_trouble("Welcome to web1")


def test_the_options_of_stream_reach_the_host_as_they_were_given() -> None:
    argv = Remote(stream=("--comm", "a b'c")).argv("web1")
    assert argv[0] == "ssh"
    assert argv[-2] == "web1"
    assert "BatchMode=yes" in argv
    assert argv[-1].endswith("""--comm 'a b'"'"'c'""")
    assert "sudo -n" in argv[-1]
    own = Remote(command="/opt/ebpftop").argv("web1")[-1]
    assert own.startswith("/opt/ebpftop stream --compress")
