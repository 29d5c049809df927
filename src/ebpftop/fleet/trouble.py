"""What went wrong with a host, from what ssh, sudo and ebpftop say there: a state, words, and what helps."""

from __future__ import annotations

import re
from typing import NamedTuple

from ebpftop.core.escape import escape
from ebpftop.fleet.rows import HostState

_SAID_MAX = 300

NO_PRIVILEGE, NOT_FOUND, OF_SSH = 3, 127, 255
"""Exit statuses: of ebpftop, of a shell, of ssh itself."""


class Trouble(NamedTuple):
    """A state of a host that sends nothing; what is wrong in words, and what helps."""

    state: HostState
    said: str
    remedy: str


_INSTALL = "install it there, or say where it is: --remote '/opt/bin/ebpftop'"
_AS_ROOT = "log in as root@{host}, or NOPASSWD in its sudoers (docs/fleet.md)"

# The first that is found counts. ssh's words are those of OpenSSH; sudo's need LC_ALL=C where they are translated.
_KNOWN: tuple[tuple[str, HostState, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "unknown key",
        "its host key is another one than before",
        "find out why; if it is right: ssh-keygen -R {host}, then ssh {host} once",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "unknown key",
        "its host key is not known here",
        "ssh {host} once, and compare the key",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "no login",
        "ssh gets in only with a password, or not at all",
        "ssh-copy-id {host}, or an agent that has the key (ssh-add)",
    ),
    (r"Connection refused", "refused", "nothing listens on its ssh port", "is sshd running there, on this port?"),
    (
        r"Could not resolve hostname|Name or service not known",
        "no such host",
        "its name has no address",
        "is it spelt right? A Host entry in ~/.ssh/config may name it",
    ),
    (
        r"[Tt]imed out|No route to host|[Nn]etwork is unreachable|Host is down",
        "unreachable",
        "no answer from its address",
        "is it switched on, is a firewall between?",
    ),
    (r"exec: sudo: |sudo: not found", "no root", "the user is not root, and there is no sudo", _AS_ROOT),
    (
        r"sudo: (?:.*\bnot found|command not found)|sudo.*No such file",
        "no ebpftop",
        "ebpftop is not there, or not in the PATH of sudo",
        _INSTALL,
    ),
    (
        r"password is required|terminal is required|not in the sudoers|may not run sudo|not allowed to (?:run|execute)"
        r"|a tty to run sudo|no tty present",
        "no root",
        "sudo does not run ebpftop without a password",
        _AS_ROOT,
    ),
    (
        r"ebpftop: (?:command )?not found|not found.*ebpftop|ebpftop: No such file",
        "no ebpftop",
        "ebpftop is not there, or not in PATH",
        _INSTALL,
    ),
    (
        r"unrecognized arguments|invalid choice",
        "failed",
        "the ebpftop there does not know an option: it is too old",
        "install the same version there: ebpftop --version",
    ),
)
_PATTERNS = [(re.compile(pattern), state, said, remedy) for pattern, state, said, remedy in _KNOWN]
_PROGRAMS = re.compile(r"(?:^|\s)(?:ssh|sudo|ebpftop|sh|bash|clush|kex_exchange_identification|Warning)\b.*:")


def trouble_of(host: str, status: int | None, stderr: bytes) -> Trouble:
    """Return what is wrong with *host*, whose command ended with *status* (None: not known) and said *stderr*."""
    text = stderr.decode("utf-8", "backslashreplace")
    for pattern, state, said, remedy in _PATTERNS:
        if pattern.search(text):
            return Trouble(state, said, remedy.format(host=host))
    last = next((escape(line.strip())[:_SAID_MAX] for line in reversed(text.splitlines()) if line.strip()), "")
    if status == NO_PRIVILEGE:
        return Trouble("no root", last or "ebpftop has no privilege there", _AS_ROOT.format(host=host))
    if status == NOT_FOUND:
        return Trouble("no ebpftop", last or "ebpftop is not there, or not in PATH", _INSTALL)
    if status == OF_SSH:
        return Trouble("gone", last or "the connection was closed", f"ssh {host} says more")
    if not status:
        return Trouble("gone", last or "its stream has ended", "")
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    return Trouble("failed", last or f"the command there ended {ended}", f"ssh {host} ebpftop check says more")


def is_trouble(text: str) -> bool:
    """Return whether *text* is a message of ssh, sudo, a shell or ebpftop, and not just any line."""
    return _PROGRAMS.search(text) is not None or any(pattern.search(text) for pattern, *_ in _PATTERNS)
